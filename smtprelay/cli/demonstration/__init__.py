"""What `smtprelay demo` is made of: the configuration, the stage with the daemon on it, and the acts."""

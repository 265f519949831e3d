"""What `smtprelay send` is made of: the order, the way to the relay, the run, and what is shown of it."""

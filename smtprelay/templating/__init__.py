"""Mail from templates. Jinja is imported by `engine` alone, and nothing here by the daemon's own process but `job`."""

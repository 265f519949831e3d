"""Mail from templates. Jinja is imported by `library` alone, and by nothing in the daemon's own process."""

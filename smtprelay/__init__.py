"""smtprelay: an SMTP relay for apps that must send through a bulk and triggered-mail provider."""

__version__ = "0.1.0"

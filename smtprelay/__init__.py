"""smtprelay: an SMTP relay for apps that must send through a bulk and triggered-mail provider.

Here are the names of the send API. They are imported when they are asked for: the daemon needs none of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; the import of typing would cost `smtprelay sendmail` 8 ms
if TYPE_CHECKING:
    from smtprelay.client.aio import AsyncRelay
    from smtprelay.client.message import Message
    from smtprelay.client.receipt import Receipt, Result
    from smtprelay.client.sync import Relay
    from smtprelay.compose import Attachment
    from smtprelay.config import ConfigError
    from smtprelay.contacts import Contact
    from smtprelay.errors import Ambiguous, InvalidMessage, Refused, SMTPRelayError, TemplateError, Unreachable

__version__ = "0.1.0"

__all__ = [
    "Ambiguous",
    "AsyncRelay",
    "Attachment",
    "ConfigError",
    "Contact",
    "InvalidMessage",
    "Message",
    "Receipt",
    "Refused",
    "Relay",
    "Result",
    "SMTPRelayError",
    "TemplateError",
    "Unreachable",
]

_HOMES = {
    "smtprelay.client.aio": ("AsyncRelay",),
    "smtprelay.client.message": ("Message",),
    "smtprelay.client.receipt": ("Receipt", "Result"),
    "smtprelay.client.sync": ("Relay",),
    "smtprelay.compose": ("Attachment",),
    "smtprelay.config": ("ConfigError",),
    "smtprelay.contacts": ("Contact",),
    "smtprelay.errors": ("Ambiguous", "InvalidMessage", "Refused", "SMTPRelayError", "TemplateError", "Unreachable"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

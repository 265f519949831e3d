"""Header fields that a template makes: no value can begin another field, or another address."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import quote

from smtprelay.message import parse_address
from smtprelay.repair.fields import Field
from smtprelay.repair.mending import mend_field
from smtprelay.repair.words import encode_words


def field_of(name: str, text: str) -> Field:
    """A field in ASCII, as its kind wants it: encoded words in text, per cent in URLs."""
    # What looks like an encoded word in a value would be read as one (RFC 2047 §6).
    field = Field.compose(name, encode_words(text) if name == "Subject" and "=?" in text else text)
    mend_field(field, ("utf-8",), "", [])
    return field


def mailbox(source: str, render: Callable[[str], str]) -> str:
    """The value of a field of one address: ``{{ shop }} <shop@example.com>``, or the address alone.

    Name and address are rendered each for itself, so that no value makes another address of it.

    :raises AddressError: where what stands for the address is none.
    """
    source = source.strip()
    if not source.endswith(">"):
        return parse_address(render(source))
    phrase, _, bracketed = source[:-1].rpartition("<")
    name, address = render(phrase).strip('"'), parse_address(render(bracketed))
    if not name:
        return address
    # RFC 5322 §3.2.5, RFC 2047 §5 (3)
    return (
        f'"{quote(name)}" <{address}>' if name.isascii() and "=?" not in name else f"{encode_words(name)} <{address}>"
    )

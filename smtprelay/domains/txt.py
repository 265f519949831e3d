"""TXT records as text, and the lists of tags that DKIM's and DMARC's are (RFC 6376 §3.2, RFC 9989 §4.7)."""

from __future__ import annotations

from collections.abc import Iterable

from smtprelay.resolver import TXT

MAX_TERM = 80  # characters of a term in a sentence


def text_of(record: TXT) -> str:
    """The strings of a record as one, joined without a space; a character is an octet."""
    return b"".join(record).decode("latin-1")


def shown(text: str) -> str:
    """A record's text, as `text_of` gives it, for a person and a terminal."""
    return readable(text.encode("latin-1", "backslashreplace"))


def listed(texts: Iterable[str]) -> str:
    """Several records for a person."""
    return " and ".join(f'"{shown(text)}"' for text in texts)


def split_tags(text: str) -> list[tuple[str, str]]:
    """``"k=rsa; p=MIG…"`` → names and values in their order, without the white space around them. What has no ``=`` is
    a value without a name; nothing is said of names that occur twice."""
    specs = text.split(";")
    if not specs[-1].strip():
        specs.pop()  # the last semicolon is allowed
    parts = (spec.partition("=") if "=" in spec else ("", "", spec) for spec in specs)
    return [(name.strip(), value.strip()) for name, _, value in parts]


def readable(octets: bytes) -> str:
    """For a person and a terminal: what cannot be shown is escaped."""
    text = octets.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str) -> str:
    """For a sentence."""
    return text if len(text) <= MAX_TERM else text[:MAX_TERM] + "…"

"""What the tests of repair share: a message goes in, and the standard library's parser reads what comes out."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

from smtprelay.message import Envelope, Origin, Recipient
from smtprelay.repair import Repaired, repair

ENVELOPE = Envelope("app@example.com", (Recipient("bob@example.net"),))
ORIGIN = Origin("192.0.2.7", "printer.lan", "ESMTP")
ID = "0123456789abcdef"
NOW = 1_700_000_000_123  # Tue, 14 Nov 2023 22:13:20 +0000

# What every message needs; a test puts its fault below.
WHOLE = (
    b"From: App <app@example.com>\r\n"
    b"Date: Mon, 6 Nov 2023 08:00:00 +0800\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"MIME-Version: 1.0\r\n"
)


def mend(content: bytes, **changed: Any) -> Repaired:
    arguments: dict[str, Any] = {
        "envelope": ENVELOPE,
        "origin": ORIGIN,
        "id": ID,
        "now": NOW,
        "hostname": "relay.example.com",
        "charsets": ("gb18030", "latin-1"),
    }
    return repair(content, **(arguments | changed))


def mend_whole(rest: bytes, **changed: Any) -> Repaired:
    """Repairs a message that lacks nothing but has more fields or a body; below `rest` no blank line is added."""
    return mend(WHOLE + rest, **changed)


def without_received(content: bytes) -> bytes:
    """The content below the field that repair puts on top."""
    assert content.startswith(b"Received: ")
    lines = content.split(b"\r\n")
    first = next(i for i, line in enumerate(lines) if i and not line.startswith((b" ", b"\t")))
    return b"\r\n".join(lines[first:])


def field(content: bytes, name: bytes) -> bytes:
    """The one field of that name, unfolded, as it stands in the header."""
    header = content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    values = [line.partition(b":")[2].strip() for line in header.split(b"\r\n") if line.lower().startswith(name + b":")]
    assert len(values) == 1, values
    return values[0]


def has_field(content: bytes, name: bytes) -> bool:
    return b"\r\n" + name + b":" in (b"\r\n" + content.partition(b"\r\n\r\n")[0]).lower()


def read(content: bytes) -> EmailMessage:
    """The message as an independent reader understands it."""
    return email.message_from_bytes(content, policy=email.policy.default)


def text(part: Any) -> str:
    """The decoded text of a leaf."""
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")

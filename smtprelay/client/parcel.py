"""A message on its way: octets and an envelope. Whole messages are read here, never changed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.policy import EmailPolicy

from smtprelay.errors import InvalidMessage
from smtprelay.instructions import IDEMPOTENCY_KEY
from smtprelay.message import AddressError, parse_address
from smtprelay.repair.addresses import read_addresses
from smtprelay.repair.fields import Header, parse_header
from smtprelay.repair.lines import normalise
from smtprelay.repair.words import decode_words
from smtprelay.reply import Reject

Addresses = str | Iterable[str]

_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # the last are halves of characters
_RECIPIENTS = ("to", "cc", "bcc")


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message and its envelope.

    :param reverse_path: ``""`` leaves the author to the relay, or to the template.
    :param recipients: at least one.
    :param content: every line ended by <CRLF>.
    :param key: the idempotency key in its header, or ``""``.
    """

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    key: str = ""


async def whole(content: bytes) -> AsyncIterator[bytes]:
    """Octets as a body to be streamed."""
    yield content


def pack(message: Message | bytes, *, from_: str = "", to: Addresses | None = None, default: str = "") -> Parcel:
    """A whole message with its envelope: that of its header, as far as none is given.

    Octets are sent as they are, but for the ends of lines, which SMTP knows as <CRLF> only. A `Message` of the
    email package is written once.

    :param from_: the reverse-path.
    :param to: the recipients, in place of those in the header.
    :param default: the reverse-path where neither `from_` nor the header has one.
    :raises InvalidMessage: there is no recipient, or an address that is none.
    """
    content = normalise(message if isinstance(message, bytes) else _written(message))
    try:
        header, _ = parse_header(content, 0, len(content), "", [])
    except Reject as error:
        raise InvalidMessage(error.reply.text) from None
    kind = "resent-" if header.first("resent-to") else ""  # RFC 5322 §3.6.6: to whom it goes this time
    if to is None:
        recipients = [address for name in _RECIPIENTS for address in _addresses(header, kind + name)]
    else:
        recipients = list(read("to", to)[0])
    if not recipients:
        raise InvalidMessage("there is no recipient: the message needs a To field, or the call its argument to")
    senders = read("from_", from_)[0] if from_ else _authors(header, kind) or read("from_", default)[0]
    key = decode_words(header.value(IDEMPOTENCY_KEY.lower()).decode("utf-8", "replace"))
    return Parcel(senders[0] if senders else "", tuple(dict.fromkeys(recipients)), content, key)


def read(what: str, given: Addresses) -> tuple[tuple[str, ...], str]:
    """Addresses, bare and in normal form, and the value of their header field.

    >>> read("to", "王芳 <wang@example.org>, bob@Example.org")
    (('wang@example.org', 'bob@example.org'), '=?utf-8?b?546L6Iqz?= <wang@example.org>, bob@Example.org')

    :param what: the argument's name.
    :raises InvalidMessage: one of them is none.
    """
    addresses: list[str] = []
    shown: list[str] = []
    for text in [given] if isinstance(given, str) else given:
        check_text(what, text)
        try:
            addresses.append(parse_address(text))  # most are bare, and this is faster
        except AddressError as error:
            found = read_addresses(text)
            if not all(mailbox.address for mailbox in found.mailboxes):
                raise InvalidMessage(f"{what}: {error}") from None
            addresses += [mailbox.address for mailbox in found.mailboxes]
            shown += filter(None, [found.text])
        else:
            shown.append(addresses[-1])
    return tuple(addresses), ", ".join(shown)


def check_text(what: str, value: str) -> None:
    """:raises InvalidMessage: for what could end a header field and begin another (CRLF injection)."""
    if match := _FORBIDDEN.search(value):
        raise InvalidMessage(f"{what} holds {match[0]!r} at {match.start()}, which no header field may: take it out")


def _authors(header: Header, kind: str) -> tuple[str, ...]:
    """RFC 5322 §3.6.2: who sends it, where that is another than who wrote it."""
    return tuple(_addresses(header, kind + "sender")) or tuple(_addresses(header, kind + "from"))


def _addresses(header: Header, name: str) -> Iterator[str]:
    for value in header.all(name):
        for mailbox in read_addresses(value.value.decode("utf-8", "replace")).mailboxes:
            if not mailbox.address:
                raise InvalidMessage(f"{value.written_name}: {mailbox.text!r} is not an address")
            yield mailbox.address


def _written(message: Message) -> bytes:
    if not isinstance(message.policy, EmailPolicy):  # of the old API: email.mime
        return message.as_bytes(policy=message.policy.clone(linesep="\r\n", mangle_from_=False))
    addresses = [
        address.addr_spec
        for name in ("from", "sender", "reply-to", *_RECIPIENTS)
        for value in message.get_all(name, [])
        for address in getattr(value, "addresses", ())
    ]
    # Without SMTPUTF8 the email package puts encoded words into addresses, where they mean nothing (RFC 2047 §5).
    utf8 = not all(map(str.isascii, addresses))
    return message.as_bytes(policy=message.policy.clone(linesep="\r\n", utf8=utf8))

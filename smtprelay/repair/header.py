"""The header of a message: what must be there once, what must not be there, and who wrote it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal

from smtprelay.message import AddressError, Envelope, Origin, domain_of, parse_address
from smtprelay.repair.addresses import Mailbox
from smtprelay.repair.fields import Field, Header
from smtprelay.repair.mending import ADDRESSES, charsets_of, mend_addresses, mend_field
from smtprelay.repair.words import decode_words
from smtprelay.reply import Reject

MAX_RECEIVED = 30

CONTROL = ("x-smtprelay-", "x-mc-", "x-mailgun-")  # instructions to a relay, ours or another's
_PRIVATE = frozenset(("bcc", "resent-bcc", "return-path"))  # RFC 5322 §3.6.3, RFC 5321 §4.4
_ONCE = (
    *("date", "from", "sender", "reply-to", "to", "cc", "message-id", "in-reply-to", "references", "subject"),
    *("mime-version", "content-type", "content-transfer-encoding"),
)  # RFC 5322 §3.6, RFC 2045 §3
_MERGED = frozenset(("to", "cc"))
_OF_LISTS = frozenset(("list-unsubscribe", "list-id"))  # RFC 2369 §3.2, RFC 2919
_PRECEDENCES = frozenset((b"bulk", b"list", b"junk"))  # RFC 3834 §2
_BARE_ID = re.compile(r"[!-;=?-~]+")
_MESSAGE_ID = re.compile(rf"<{_BARE_ID.pattern}>")
_NOT_IN_HELO = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_MAX_HELO = 255  # RFC 5321 §4.5.3.1.2


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known about a message beside its octets; `repair` says what each is."""

    envelope: Envelope
    origin: Origin
    id: str
    now: int
    hostname: str
    charsets: Sequence[str]
    rewrite: Literal["never", "envelope", "from"]
    username: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What a repaired header says; `Repaired` says what each is."""

    authors: tuple[str, ...]
    from_domain: str
    subject: str
    message_id: str
    needs_smtputf8: bool
    bulk: bool


def repair_header(header: Header, known: Circumstances, repairs: list[str]) -> Identity:
    """Repairs the header of a message.

    :raises Reject: where it loops, or where nobody can tell who wrote it.
    """
    _refuse_loop(header)
    _remove_private(header, repairs)
    _keep_one_each(header, repairs)
    charsets = charsets_of(header, known.charsets)
    if known.envelope.smtputf8:
        charsets = ("utf-8", *charsets)  # RFC 6532 §3.2: the client says that it is so
    authors = _repair_from(header, charsets, known, repairs)
    for field in header.fields:
        if field.name in ADDRESSES and field.name != "from":
            _repair_addresses(field, charsets, repairs)
        else:
            mend_field(field, charsets, "", repairs)
    header.remove(lambda field: not field.raw)
    from_domain = domain_of(_username(known) if known.rewrite == "from" else authors[0])
    message_id = _add_missing(header, known, from_domain, repairs)
    header.fields.insert(0, _received(known))
    return Identity(
        authors=authors,
        from_domain=from_domain,
        subject=decode_words(header.value("subject").decode("ascii")).strip(),
        message_id=message_id,
        needs_smtputf8=not all(field.raw.isascii() for field in header.fields),
        bulk=any(_is_of_bulk(field) for field in header.fields),
    )


def _is_of_bulk(field: Field) -> bool:
    return field.name in _OF_LISTS or (field.name == "precedence" and field.value.lower() in _PRECEDENCES)


def _refuse_loop(header: Header) -> None:
    """RFC 5321 §6.3."""
    if len(header.all("received")) >= MAX_RECEIVED:
        raise Reject(
            554,
            "4.6",
            f"mail loop: the message has passed {MAX_RECEIVED} servers, see its Received: fields; "
            "look for a forwarding rule that sends mail back to this relay",
        )


def _remove_private(header: Header, repairs: list[str]) -> None:
    removed = header.remove(lambda field: field.name in _PRIVATE or field.name.startswith(CONTROL))
    repairs.extend(dict.fromkeys(f"removed {field.written_name}" for field in removed))


def _keep_one_each(header: Header, repairs: list[str]) -> None:
    """Leaves one of each field that may stand once.

    :raises Reject: for different ``From:`` fields: which one would policy and signature be about?
    """
    for name in _ONCE:
        fields = header.all(name)
        if len(fields) < 2:
            continue
        by_value: dict[bytes, Field] = {}
        for field in fields:
            by_value.setdefault(b" ".join(field.value.split()), field)
        different = [field for value, field in by_value.items() if value] or fields[:1]
        first = different[0]
        header.keep_only(first)
        if len(different) > 1 and name == "from":
            raise Reject(550, "6.0", "the message has different From: fields; send exactly one")
        if len(different) > 1 and name in _MERGED:
            values = b",\r\n ".join(field.value for field in different)
            first.raw = first.written_name.encode("ascii") + b": " + values + b"\r\n"
            repairs.append(f"{first.written_name}: {len(fields)} fields merged into one")
        else:
            repairs.append(f"{first.written_name}: first of {len(fields)} fields kept")


def _repair_from(header: Header, charsets: Sequence[str], known: Circumstances, repairs: list[str]) -> tuple[str, ...]:
    """Makes ``From:`` say who wrote it, rewrites it where the smarthost insists, and returns the authors' addresses.

    :raises Reject: where nobody can tell who wrote it.
    """
    field = header.first("from")
    if field is None:
        header.append("From", _substitute_author(known))
        repairs.append("added From")
        return (_substitute_author(known),)
    mailboxes = mend_addresses(field, charsets, "", repairs, join_names=True).mailboxes
    authors = [mailbox for mailbox in mailboxes if mailbox.address]
    if not authors:
        author = _substitute_author(known)
        field.rewrite(_name_addr(mailboxes[0].phrase if mailboxes else "", author))
        repairs.append(f"From: held no address, {author} put in")
        return (author,)
    if len(authors) < len(mailboxes):
        field.rewrite(", ".join(mailbox.text for mailbox in authors))
        repairs.append("From: what is no address removed")
    if known.rewrite == "from":
        _rewrite_from(header, field, authors, known, repairs)
    elif len(authors) > 1 and not header.value("sender"):  # RFC 5322 §3.6.2
        header.set("Sender", authors[0].address)
        repairs.append("added Sender")
    return tuple(mailbox.address for mailbox in authors)


def _substitute_author(known: Circumstances) -> str:
    author = _username(known) if known.rewrite == "from" else known.envelope.reverse_path
    if not author:
        raise Reject(
            550,
            "6.0",
            "the message names no author and its reverse-path is null; send a From: field with an address",
        )
    return author


def _username(known: Circumstances) -> str:
    try:
        return parse_address(known.username)
    except AddressError as error:
        raise Reject(554, "3.5", f"rewrite_sender needs a username that is an address: {error}") from error


def _rewrite_from(
    header: Header, field: Field, authors: Sequence[Mailbox], known: Circumstances, repairs: list[str]
) -> None:
    username = _username(known)
    if [mailbox.address.lower() for mailbox in authors] == [username.lower()]:
        return
    repairs.append(f"From: rewritten to {username}")
    if not header.value("reply-to"):
        header.set("Reply-To", ", ".join(mailbox.text for mailbox in authors))
        repairs.append("added Reply-To with the old From")
    field.rewrite(_name_addr(authors[0].phrase, username))


def _name_addr(phrase: str, address: str) -> str:
    return f"{phrase} <{address}>" if phrase else address


def _repair_addresses(field: Field, charsets: Sequence[str], repairs: list[str]) -> None:
    name = field.written_name
    if not mend_addresses(field, charsets, "", repairs).text:  # RFC 5322 §3.6.3: at least one address
        field.raw = b""
        repairs.append(f"removed empty {name}")


def _add_missing(header: Header, known: Circumstances, from_domain: str, repairs: list[str]) -> str:
    """Adds what every message needs, and returns the Message-ID."""
    if not header.value("date"):
        header.set("Date", _date(known.now))
        repairs.append("added Date")
    value = header.value("message-id").decode("ascii")
    message_id = _MESSAGE_ID.search(value)
    bare = value.strip("<>")
    if message_id is None and _BARE_ID.fullmatch(bare):
        header.set("Message-ID", f"<{bare}>")
        repairs.append("Message-ID: angle brackets added")
    elif message_id is None:
        header.set("Message-ID", f"<{known.id}@{from_domain}>")
        repairs.append("added Message-ID")
    if not header.value("mime-version"):
        header.set("MIME-Version", "1.0")
        repairs.append("added MIME-Version")
    return message_id[0] if message_id else header.value("message-id").decode("ascii")


def _received(known: Circumstances) -> Field:
    """RFC 5321 §4.4."""
    client = _address_literal(known.origin.client)
    helo = _NOT_IN_HELO.sub("", known.origin.helo)[:_MAX_HELO] or "unknown"
    from_clause = [f"from {helo} ({client})"] if client else []
    protocol = f" with {known.origin.protocol}" if client else ""
    recipients = known.envelope.recipients
    # With several recipients, the clause would tell whom Bcc named.
    alone = len(recipients) == 1 and recipients[0].address.isascii()
    for_clause = f"for <{recipients[0].address}>; " if alone else ""
    by_clause = f"by {known.hostname}{protocol} id {known.id}{'' if alone else ';'}"
    return Field.compose("Received", *from_clause, by_clause, f"{for_clause}{_date(known.now)}")


def _address_literal(client: str) -> str:
    """RFC 5321 §4.1.3; ``""`` for what is no address on the network."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        return f"[{address.ipv4_mapped}]" if address.ipv4_mapped else f"[IPv6:{address}]"
    return f"[{address}]"


def _date(now: int) -> str:
    """RFC 5322 §3.3, in UTC."""
    return format_datetime(datetime.fromtimestamp(now // 1000, UTC))

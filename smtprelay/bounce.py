"""Delivery status notifications (RFC 3464, RFC 6533), as octets.

What comes from outside (replies of the smarthost, ORCPT, ENVID) passes `_clean` before it stands anywhere, so that
nothing in it can begin a line. A notification is 7-bit whatever it is about, for it must get through where the message
itself did not; only a non-ASCII address in its own `To:` makes an exception.
"""

from __future__ import annotations

import binascii
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal

from smtprelay.bounce_text import CHINESE, ENGLISH, Words
from smtprelay.message import Message, Recipient, domain_of

Action = Literal["failed", "delayed", "relayed"]

MAX_QUOTED = 2000  # characters of a reply that are repeated; a smarthost may send more than anybody reads
MAX_LINE = 998  # RFC 5322 §2.1.1
FOLD_AT = 78  # RFC 5322 §2.1.1
MAX_WORD = 900  # octets; leaves room for a field's name

_KEYWORDS: dict[Action, str] = {"failed": "FAILURE", "delayed": "DELAY", "relayed": "SUCCESS"}
_XTEXT = re.compile(r"\+([0-9A-F]{2})")  # RFC 3461 §4
_EMBEDDED = re.compile(r"\\x\{(10[0-9A-F]{4}|[0-9A-F]{1,5})\}")  # RFC 6533 §3
_ORCPT = re.compile(r"(?P<type>[A-Za-z0-9-]+);(?P<address>.+)")  # RFC 3461 §4.2
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")  # … and marks of direction
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
_ANYBODY = Recipient("")


@dataclass(frozen=True, slots=True)
class Status:
    """What became of one recipient (RFC 3464 §2.3).

    :param status: the enhanced status code.
    :param diagnostic: the smarthost's words (``"550 5.1.1 No such user"``), or ``""``.
    :param remote_mta: the smarthost's name, or ``""`` where none was reached.
    :param explanation: our own sentence, where there were no words of the smarthost.
    :param last_attempt: Unix time in milliseconds; 0 for none.
    :param will_retry_until: Unix time in milliseconds; 0 where it is not tried again.
    """

    recipient: Recipient
    action: Action
    status: str
    diagnostic: str = ""
    remote_mta: str = ""
    explanation: str = ""
    last_attempt: int = 0
    will_retry_until: int = 0


def wants(recipient: Recipient, action: Action) -> bool:
    """Whether a notification is wanted about this recipient.

    Without NOTIFY it is for failures and, as RFC 3461 §4.1 leaves open, for delays.
    """
    if not recipient.notify:
        return action != "relayed"
    return _KEYWORDS[action] in recipient.notify.split(",")


def notification(
    *,
    message: Message,
    statuses: Sequence[Status],
    header: bytes,
    body: bytes | None,
    sender: str,
    to: str,
    hostname: str,
    id: str,  # noqa: A002
    now: int,
) -> bytes:
    """A complete message, every line ended by <CRLF>.

    :param message: the one that it is about.
    :param statuses: at least one.
    :param header: the header block of that message.
    :param body: its body, to return all of it; None returns the headers alone (RFC 3461 §4.3). They are alone too where
        the body is not 7-bit: message/rfc822 may not be encoded (RFC 2046 §5.2.1), and to convert a signed
        part breaks its signature.
    :param sender: the address in `From:`.
    :param to: who is told.
    :param hostname: our own name.
    :param id: the notification's id; its `Message-ID` is ``<id@domain of the sender>``.
    :param now: Unix time in milliseconds.
    """
    parts = (
        _part("text/plain; charset=utf-8", "Notification", _text(message, statuses, hostname)),
        _delivery_status(message, statuses, hostname),
        _returned(header, body),
    )
    boundary = f"=_{id}"
    while any(boundary.encode() in part for part in parts):
        boundary += "_"
    delimiter = f"\r\n--{boundary}".encode()
    fields = _fields(
        ("From", f"Mail Delivery System <{sender}>"),
        ("To", f"<{_clean(to)}>"),
        ("Subject", _subject({status.action for status in statuses})),
        ("Date", _date(now)),
        ("Message-ID", f"<{id}@{domain_of(sender) or hostname}>"),
        ("In-Reply-To", message.message_id if _MESSAGE_ID.fullmatch(message.message_id) else ""),  # RFC 3834 §3.1.5
        ("Auto-Submitted", "auto-replied"),  # RFC 3834 §5
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/report; report-type=delivery-status; boundary="{boundary}"'),  # RFC 6522 §3
    )
    return b"".join((fields, *(delimiter + b"\r\n" + part for part in parts), delimiter, b"--\r\n"))


def _subject(actions: Collection[Action]) -> str:
    if "failed" in actions:
        return "Undelivered Mail Returned to Sender"
    if "delayed" in actions:
        return "Delayed Mail (still being retried)"
    return "Mail Relayed (no further notification will follow)"


# The first part: for the person who sent the message.


def _text(message: Message, statuses: Sequence[Status], hostname: str) -> bytes:
    """What happened, in English and in Chinese."""
    reports = ("\n".join(_report(words, message, statuses, hostname)) for words in (ENGLISH, CHINESE))
    text = f"\n\n{'-' * 72}\n\n".join(reports)
    return text.replace("\n", "\r\n").encode("utf-8", "replace") + b"\r\n"


def _report(words: Words, message: Message, statuses: Sequence[Status], hostname: str) -> Iterator[str]:
    yield words.relay.format(hostname)
    yield ""
    if message.subject:
        yield "    " + words.subject.format(_clean(message.subject))
    yield "    " + words.accepted.format(_date(message.received_at))
    yield "    " + words.number.format(message.id)
    # Recipients that share a fate are told of together: one dead smarthost must not make a thousand paragraphs.
    fates: dict[Status, list[str]] = {}
    for status in statuses:
        fates.setdefault(replace(status, recipient=_ANYBODY, last_attempt=0), []).append(status.recipient.address)
    for fate, addresses in fates.items():
        yield ""
        yield words.happened[fate.action]
        yield ""
        yield from (f"    <{_clean(address)}>" for address in addresses)
        yield ""
        yield from _reason(words, fate)
    yield ""
    yield words.attached


def _reason(words: Words, fate: Status) -> Iterator[str]:
    if fate.diagnostic:
        yield words.answered.format(_clean(fate.remote_mta)) if fate.remote_mta else words.answered_nameless
        yield f"    {_clean(fate.diagnostic)}"
    elif fate.explanation:
        yield words.reason.format(_clean(fate.explanation))
    if fate.action == "failed":
        yield words.advice.format(words.remedy(fate.status))
    if _is_retried(fate):
        yield words.until.format(_date(fate.will_retry_until))


# The second part: for programs.


def _delivery_status(message: Message, statuses: Sequence[Status], hostname: str) -> bytes:
    groups = [
        (
            ("Reporting-MTA", f"dns; {hostname}"),
            ("Original-Envelope-Id", _ascii(_from_xtext(message.envelope.envid))),
            ("Arrival-Date", _date(message.received_at)),
        ),
        *(_recipient_fields(status) for status in statuses),
    ]
    addresses = [value for group in groups for name, value in group if name.endswith("-Recipient")]
    international = not all(address.isascii() for address in addresses)
    # Outside of RFC 6533 these fields are ASCII: what a smarthost says in Chinese stands in the first part only.
    content = b"\r\n".join(_fields(*group, charset="utf-8" if international else "ascii") for group in groups)
    subtype = "global-delivery-status" if international else "delivery-status"  # RFC 6533 §4, RFC 3464 §2.1
    return _part(f"message/{subtype}", "Delivery report", content)


def _recipient_fields(status: Status) -> tuple[tuple[str, str], ...]:
    address = _clean(status.recipient.address)
    return (
        ("Original-Recipient", _original_recipient(status.recipient.orcpt)),
        ("Final-Recipient", f"{'rfc822' if address.isascii() else 'utf-8'};{address}"),
        ("Action", status.action),
        ("Status", _clean(status.status)),
        ("Remote-MTA", f"dns; {_clean(status.remote_mta)}" if status.remote_mta else ""),
        ("Diagnostic-Code", f"smtp; {_clean(status.diagnostic)}" if status.diagnostic else ""),
        ("Last-Attempt-Date", _date(status.last_attempt) if status.last_attempt else ""),
        ("Will-Retry-Until", _date(status.will_retry_until) if _is_retried(status) else ""),
    )


def _is_retried(status: Status) -> bool:
    """RFC 3464 §2.3.9: of others than delayed recipients it is not said until when."""
    return status.action == "delayed" and bool(status.will_retry_until)


def _original_recipient(orcpt: str) -> str:
    """The ORCPT parameter, decoded (RFC 3464 §2.3.1); ``""`` where there is none that can be read."""
    match = _ORCPT.fullmatch(orcpt)
    if not match:
        return ""
    if match["type"].lower() == "utf-8":
        address = _EMBEDDED.sub(lambda embedded: chr(int(embedded[1], 16)), match["address"])
    else:
        address = _ascii(_from_xtext(match["address"]))
    return f"{match['type']};{_clean(address)}"


def _from_xtext(text: str) -> str:
    return _XTEXT.sub(lambda hexchar: chr(int(hexchar[1], 16)), text)


# The third part: what is returned.


def _returned(header: bytes, body: bytes | None) -> bytes:
    header = header.rstrip(b"\r\n") + b"\r\n"
    if body is not None and _is_7bit(header) and _is_7bit(body):
        return _part("message/rfc822", "Undelivered message", header + b"\r\n" + body)
    if header.isascii():
        return _part("text/rfc822-headers", "Header of the undelivered message", header)  # RFC 6522 §4
    utf8 = header.decode("utf-8", "replace").encode()
    return _part("message/global-headers", "Header of the undelivered message", utf8)  # RFC 6533 §6.3


# Octets.


def _part(content_type: str, description: str, content: bytes) -> bytes:
    plain = _is_7bit(content)
    fields = _fields(
        ("Content-Description", description),
        ("Content-Type", content_type),
        ("Content-Transfer-Encoding", "7bit" if plain else "quoted-printable"),
    )
    return fields + b"\r\n" + (content if plain else _quoted_printable(content))


def _fields(*fields: tuple[str, str], charset: str = "utf-8") -> bytes:
    """Header fields, folded; those without a value are left out."""
    lines = (line for name, value in fields if value for line in _fold(f"{name}: {value}"))
    return b"".join(line.encode(charset, "replace") + b"\r\n" for line in lines)


def _fold(field: str) -> Iterator[str]:
    """The lines of a field that is cleaned: broken before a space, or within a word that no line could hold."""
    name, *words = field.split(" ")
    line = name
    for piece in itertools.chain.from_iterable(map(_pieces, words)):
        if len(line) + len(" ") + len(piece) > FOLD_AT and line != name:
            yield line
            line = ""
        line += f" {piece}"
    yield line


def _pieces(word: str) -> Iterator[str]:
    if len(word.encode("utf-8", "replace")) <= MAX_WORD:
        yield word
    else:
        yield from (word[i : i + MAX_WORD // 4] for i in range(0, len(word), MAX_WORD // 4))


def _is_7bit(content: bytes) -> bool:
    """Whether it needs no encoding (RFC 2045 §2.7)."""
    if not content.isascii() or b"\0" in content:
        return False
    return all(len(line) <= MAX_LINE and b"\r" not in line and b"\n" not in line for line in content.split(b"\r\n"))


def _quoted_printable(content: bytes) -> bytes:
    """RFC 2045 §6.7, with <CRLF> as the only line end: a bare CR or LF is encoded."""
    lines = (binascii.b2a_qp(line, istext=False).replace(b"\n", b"\r\n") for line in content.split(b"\r\n"))
    return b"\r\n".join(lines)


def _clean(text: str) -> str:
    """On one line, without anything that could begin another or hide what is read; cut where it is endless."""
    return _UNPRINTABLE.sub(" ", text).strip()[:MAX_QUOTED]


def _ascii(text: str) -> str:
    return _clean(text).encode("ascii", "replace").decode("ascii")


def _date(at: int) -> str:
    """:param at: Unix time in milliseconds."""
    return format_datetime(datetime.fromtimestamp(at // 1000, UTC))  # RFC 5322 §3.3

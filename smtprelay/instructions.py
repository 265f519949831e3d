"""What an app tells the relay by header fields, and what the relay tells it by the reply to the dot.

Names that Mandrill and Mailgun have taught apps are understood beside ours. All of them are removed before signing, by
`repair`; what is not understood of theirs is nothing to us, and of ours a fault.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any

from smtprelay.message import AddressError, parse_address
from smtprelay.repair.charsets import decode
from smtprelay.repair.fields import MAX_HEADER, Field, Header, parse_header
from smtprelay.repair.header import CONTROL
from smtprelay.repair.lines import MAX_LINE, normalise
from smtprelay.repair.mending import charsets_of
from smtprelay.repair.words import decode_words, encode_words
from smtprelay.reply import Reject

TEMPLATE = "X-SMTPRelay-Template"
VARS = "X-SMTPRelay-Vars"
TAG = "X-SMTPRelay-Tag"
SEND_AT = "X-SMTPRelay-Send-At"
IDEMPOTENCY_KEY = "X-SMTPRelay-Idempotency-Key"

NAMES = (TEMPLATE, VARS, TAG, SEND_AT, IDEMPOTENCY_KEY)

MAX_DEPTH = 32  # of JSON: arrays and objects within each other
MAX_NAME = 255  # characters
MAX_TAGS = 10
MAX_TAG = 128  # characters
MAX_KEY = 255  # characters
FURTHEST = 366 * 86_400_000  # milliseconds: what is to be sent later than that was written wrongly
_OURS = CONTROL[0]
_KNOWN = frozenset(name.lower() for name in NAMES)
_RECIPIENT = "_rcpt"
_MAX_PROBLEM = 400  # characters: what an app sent may stand in it
_MAX_ENCODED_LINE = 76  # RFC 2047 §2
_ASKS = re.compile(rb"(?:^|[\r\n])(?:%s)" % "|".join(CONTROL).encode("ascii"), re.IGNORECASE)
_QUEUED = re.compile(r"Ok: queued as ([0-9a-v]{16})(, as before)?")


@dataclass(frozen=True, slots=True)
class Instructions:
    """What an app asks for.

    :param template: render this template as the message; ``""`` for none.
    :param variables: JSON values by name, for all recipients.
    :param own: further ones by recipient, in lower case: each recipient has a message of its own then.
    :param tags: labels that the history keeps.
    :param send_at: not before this time, Unix time in milliseconds; 0 for at once.
    :param idempotency_key: the app's own name for the message: the same one again is not sent twice; ``""`` for none.
    """

    template: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: Sequence[str] = ()
    send_at: int = 0
    idempotency_key: str = ""


NONE = Instructions()


def write_fields(instructions: Instructions) -> bytes:
    """The header fields that say so, each ended by <CRLF>."""
    fields = []
    if instructions.template:
        fields.append((TEMPLATE, instructions.template))
    if instructions.variables:
        fields.append((VARS, json.dumps(instructions.variables)))
    fields += [(VARS, json.dumps({_RECIPIENT: address, **own})) for address, own in instructions.own.items()]
    fields += [(TAG, tag) for tag in instructions.tags]
    if instructions.send_at:
        fields.append((SEND_AT, datetime.fromtimestamp(instructions.send_at / 1000, UTC).isoformat()))
    if instructions.idempotency_key:
        fields.append((IDEMPOTENCY_KEY, instructions.idempotency_key))
    return b"".join(Field.compose(name, _written(name, value)).raw for name, value in fields)


def _written(name: str, value: str) -> str:
    """As it is, where folding keeps it; else as encoded words."""
    plain = value.isascii() and "=?" not in value and max(map(len, value.split(" "))) < MAX_LINE
    return value if plain else encode_words(value, _MAX_ENCODED_LINE - len(f"{name}: "))


def may_instruct(content: bytes) -> bool:
    """Whether a message can hold instructions; a quick look, for the many that hold none.

    :param content: as it came, with whatever line ends.
    """
    end = content.find(b"\r\n\r\n", 0, MAX_HEADER)
    return _ASKS.search(content, 0, MAX_HEADER if end < 0 else end) is not None


def read_header(content: bytes) -> Header:
    """The header of a message as it came; its octets are not looked at further.

    :raises Reject: it is over the limits.
    """
    # Where every line end is a bare <LF>, the header grows by one octet a line.
    head = normalise(content[: 2 * MAX_HEADER])
    return parse_header(head, 0, len(head), "", [])[0]


def is_instruction(field: Field) -> bool:
    """Whether a field speaks to a relay, ours or another's."""
    return field.name.startswith(CONTROL)


def read_instructions(header: Header, charsets: Sequence[str], now: int) -> Instructions:
    """What the header's fields ask for: raw UTF-8 or encoded words (RFC 2047), repeated ones merged.

    :param charsets: to try for raw 8-bit text that neither the declared charset nor UTF-8 can read.
    :param now: Unix time in milliseconds.
    :raises Reject: 550 5.6.0, naming the field and what is wrong with it.
    """
    for one in header.fields:  # another's fields may mean what we do not know; ours may be misspelt
        if one.name.startswith(_OURS) and one.name not in _KNOWN:
            raise _bad(one.written_name, f"this is not known; there are {', '.join(NAMES)}")
    reader = _Reader(header, charsets_of(header, charsets))
    # Mandrill's has the name of a block behind the template's.
    template = reader.one(TEMPLATE, "X-MC-Template", "X-Mailgun-Template-Name").partition("|")[0].strip()
    variables: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for name, value in reader.objects(VARS, "X-MC-MergeVars", "X-Mailgun-Template-Variables"):
        recipient = value.pop(_RECIPIENT, None)
        (variables if recipient is None else own.setdefault(_address(name, recipient), {})).update(value)
    for name, value in reader.objects("X-Mailgun-Recipient-Variables"):
        for recipient, values in value.items():
            if not isinstance(values, dict):
                raise _bad(name, f"{recipient} needs an object of variables")
            own.setdefault(_address(name, recipient), {}).update(values)
    if (variables or own) and not template:
        raise _bad(VARS, f"there are variables and no template for them: name it in {TEMPLATE}")
    return Instructions(
        template=_short(TEMPLATE, template, MAX_NAME),
        variables=variables,
        own=own,
        tags=_tags(reader),
        send_at=_send_at(reader, now),
        idempotency_key=_short(IDEMPOTENCY_KEY, reader.one(IDEMPOTENCY_KEY), MAX_KEY),
    )


class _Reader:
    """The values of the fields that instruct."""

    def __init__(self, header: Header, charsets: Sequence[str]) -> None:
        self._header = header
        self._charsets = charsets

    def all(self, *names: str) -> Iterator[tuple[str, str]]:
        """Name and value of every such field that is not empty."""
        for name in names:
            for one in self._header.all(name.lower()):
                if value := decode_words(decode(one.value, self._charsets)[0]).strip():
                    yield name, value

    def one(self, *names: str) -> str:
        """The value of the one such field, or ``""``. :raises Reject: they differ."""
        found = list(self.all(*names))
        if len({value for _, value in found}) > 1:
            raise _bad(found[0][0], "there are several, and they differ: send one")
        return found[0][1] if found else ""

    def objects(self, *names: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and JSON object of every such field."""
        for name, value in self.all(*names):
            yield name, _object(name, value)


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise _bad(name, f"nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:  # JSONDecodeError, or what the interpreter says of a number of 5,000 digits
        raise _bad(name, f'not JSON ({error}): send an object, such as {{"name": "Ann"}}') from None
    if not isinstance(value, dict):
        raise _bad(name, 'not a JSON object: send one, such as {"name": "Ann"}')
    _check_values(name, value)
    return value


def _address(name: str, recipient: Any) -> str:
    """A recipient as the envelope has it, in lower case."""
    try:
        return parse_address(recipient).lower()
    except (TypeError, AddressError):
        raise _bad(name, f"the recipient of variables is one address alone, as a string, not {recipient!r}") from None


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _check_values(name: str, value: Any) -> None:
    """What JSON's grammar allows and nothing can use: nesting without end, infinity, halves of characters."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _bad(name, f"nested more than {MAX_DEPTH} deep")
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += (*item.keys(), *item.values())
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, float) and not math.isfinite(item):
                raise _bad(name, "a number is too large")
            elif isinstance(item, str) and not _is_unicode(item):
                raise _bad(name, "a string holds half of a surrogate pair")
        level = inner


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tags(reader: _Reader) -> tuple[str, ...]:
    """Mandrill's field has several, with commas between them."""
    found = [tag for _, tag in reader.all(TAG, "X-Mailgun-Tag")]
    found += [tag.strip() for _, tags in reader.all("X-MC-Tags") for tag in tags.split(",")]
    tags = tuple(_short(TAG, tag, MAX_TAG) for tag in dict.fromkeys(found) if tag)
    if len(tags) > MAX_TAGS:
        raise _bad(TAG, f"{len(tags)} tags: give at most {MAX_TAGS}")
    return tags


def _short(name: str, value: str, limit: int) -> str:
    if len(value) > limit:
        raise _bad(name, f"longer than {limit} characters")
    return value


def _send_at(reader: _Reader, now: int) -> int:
    """Ours is in local time where it names no offset; Mandrill's is in UTC."""
    for name, zone in ((SEND_AT, None), ("X-MC-SendAt", UTC)):
        if text := reader.one(name):
            at = _time(name, text, zone)
            if at > now + FURTHEST:
                raise _bad(name, f"{text} is more than a year away (Unix time is in seconds)")
            return at if at > now else 0
    return 0


def _time(name: str, text: str, zone: tzinfo | None) -> int:
    """:returns: Unix time in milliseconds."""
    try:
        if text.isascii() and text.isdecimal() and len(text) != len("20261124"):
            return int(text) * 1000
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            at = parsedate_to_datetime(text)
            zone = UTC if text.endswith("-0000") else zone  # RFC 5322 §3.3: it is, and says nothing of the place
        at = at if at.tzinfo else at.replace(tzinfo=zone) if zone else at.astimezone()
        return round(at.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise _bad(name, f"{text[:64]} is no time: write it as 2026-11-24T18:00:00+08:00, or in Unix seconds") from None


def _bad(name: str, problem: str) -> Reject:
    return Reject(550, "6.0", f"{name}: {problem[:_MAX_PROBLEM]}")


def queued_as(ids: Sequence[str], *, before: bool = False) -> str:
    """The text of the reply to a message that is on disk.

    :param ids: of the messages that were made of it.
    :param before: its idempotency key came before, and these are the ids of then.
    """
    rest = f", the first of {len(ids)}" if len(ids) > 1 else ""
    return f"Ok: queued as {ids[0]}{', as before' if before else ''}{rest}"


def read_queued(text: str) -> tuple[str, bool]:
    """The id in such a reply, or ``""``, and whether its idempotency key came before."""
    match = _QUEUED.search(text)
    return (match[1], bool(match[2])) if match else ("", False)

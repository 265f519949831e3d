"""One field at a time: raw 8-bit text and over-long lines, by what the field may hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

from smtprelay.repair.addresses import FORM, AddressList, read_addresses
from smtprelay.repair.charsets import decode
from smtprelay.repair.fields import Field, Header, without_controls
from smtprelay.repair.lines import MAX_LINE, has_long_line
from smtprelay.repair.parameters import charset_of, encode_parameters
from smtprelay.repair.words import decode_words, encode_words


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


ADDRESSES = _names(
    "from sender reply-to to cc resent-from resent-sender resent-reply-to resent-to resent-cc "
    "disposition-notification-to return-receipt-to errors-to mail-followup-to mail-reply-to"
)
_PARAMETERS = _names("content-type content-disposition")
_IDS = _names("in-reply-to references content-id")
_WHOLE = _names("date resent-date message-id resent-message-id")  # a part of one is worth nothing
_URLS = _names("list-unsubscribe list-subscribe list-help list-post list-owner list-archive")
_MACHINES = _names(
    "received return-path mime-version content-transfer-encoding dkim-signature domainkey-signature "
    "authentication-results received-spf arc-seal arc-message-signature arc-authentication-results "
    "list-unsubscribe-post auto-submitted precedence"
)
_STRUCTURED = _PARAMETERS | _IDS | _WHOLE | _URLS | _MACHINES
_DROPPABLE = _IDS | _WHOLE
_HIGH = re.compile(rb"[\x80-\xff]")
_LONG_WORD = re.compile(rf"[^ \t]{{{MAX_LINE}}}")
_MAX_FIRST_LINE = 76  # RFC 2047 §2
_SHORTEST_FIRST_WORD = 30


def charsets_of(header: Header, charsets: Sequence[str]) -> tuple[str, ...]:
    """The charsets to try for a header's raw text, in order: the declared one first."""
    declared = charset_of(header.value("content-type"))
    return tuple(filter(None, (declared, "utf-8", *charsets)))


def mend_header(header: Header, charsets: Sequence[str], where: str, repairs: list[str]) -> None:
    """Makes the fields of a part or of an attached message 7-bit; what is so already is not looked at."""
    for field in header.fields:
        if not field.is_clean and field.name in ADDRESSES:
            mend_addresses(field, charsets, where, repairs, downgrade=True)
        mend_field(field, charsets, where, repairs)
    header.remove(lambda field: not field.raw)


def mend_field(field: Field, charsets: Sequence[str], where: str, repairs: list[str]) -> None:
    """Makes a field 7-bit and its lines short; not one with addresses. One of which nothing is left is emptied: its
    octets are ``b""`` then.
    """
    if field.is_clean or field.name in ADDRESSES:
        return
    name = field.written_name
    if field.raw.isascii():
        value, what = _short_lines(field)
    else:
        value, what = _seven_bit(field, charsets)
    if value or field.name not in _DROPPABLE:
        field.rewrite(value)
    else:
        field.raw = b""
    repairs.append(f"{where}{name}: {what}")


def _short_lines(field: Field) -> tuple[str, str]:
    value = field.value.decode("ascii")
    if field.name not in _STRUCTURED and _LONG_WORD.search(value):
        return _encode(field, value), "over-long word encoded (RFC 2047)"
    return value, "over-long line folded"


def _seven_bit(field: Field, charsets: Sequence[str]) -> tuple[str, str]:
    """The value in ASCII, and what was done."""
    value = field.value
    if field.name in _WHOLE:
        return "", "removed: raw 8-bit text means nothing there"
    if field.name in _IDS:
        words = [word.decode("ascii") for word in value.split() if word.isascii()]
        return " ".join(words), "ids with raw 8-bit text removed"
    if field.name in _URLS:
        return _HIGH.sub(lambda match: b"%%%02X" % match[0][0], value).decode("ascii"), "raw 8-bit text percent-encoded"
    if field.name in _MACHINES:
        return _HIGH.sub(b"?", value).decode("ascii"), "raw 8-bit octets replaced by '?'"
    if field.name in _PARAMETERS:
        return encode_parameters(value, charsets).decode("ascii"), "raw 8-bit text encoded (RFC 2231)"
    text, charset = decode(value, charsets)
    return _encode(field, text), f"raw {charset} text encoded (RFC 2047)"


def _encode(field: Field, text: str) -> str:
    """The whole value as encoded words: old clients lose the spaces between encoded words and others."""
    beside_name = _MAX_FIRST_LINE - len(f"{field.name}: ")
    return encode_words(decode_words(text), max(beside_name, _SHORTEST_FIRST_WORD))


def mend_addresses(
    field: Field,
    charsets: Sequence[str],
    where: str,
    repairs: list[str],
    *,
    join_names: bool = False,
    downgrade: bool = False,
) -> AddressList:
    """Mends a field with addresses, and returns them (see `read_addresses`)."""
    value = field.value
    text, charset = decode(value, charsets)
    addresses = read_addresses(without_controls(text), join_names=join_names, downgrade=downgrade)
    faults = list(addresses.faults)
    if not value.isascii() and addresses.text.encode() != value:
        faults = [f"raw {charset} text encoded (RFC 2047)", *(fault for fault in faults if fault != FORM)]
    elif not faults and has_long_line(field.raw, 0, len(field.raw)):
        faults = ["over-long line folded"]
    if faults:
        repairs.append(f"{where}{field.written_name}: {', '.join(faults)}")
        field.rewrite(addresses.text)
    return addresses

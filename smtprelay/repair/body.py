"""The body: 7-bit, in lines of at most 998 octets, part by part (RFC 6376 §5.3 wants that before signing).

What is so already is copied octet for octet; and so is multipart/signed, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from smtprelay.repair.charsets import detect
from smtprelay.repair.delimiters import Delimiter, delimiters
from smtprelay.repair.fields import Header, parse_header
from smtprelay.repair.lines import copy, is_clean
from smtprelay.repair.mending import charsets_of, mend_header
from smtprelay.repair.parameters import charset_of, media_type, parameter, with_charset
from smtprelay.repair.transfer import (
    base64,
    count_8bit,
    mended_quoted_printable,
    quoted_printable,
    rewrapped_base64,
)
from smtprelay.reply import Reject

MAX_DEPTH = 50
MAX_PARTS = 10_000

_TEXT_IN_BASE64 = 6  # base64 is the shorter one where more than a sixth of the octets are not ASCII
_NO_CHARSET = ("", "us-ascii", "ascii")

_Codec = Callable[[bytes, int, int], Iterator[bytes]]
_ENCODE: dict[str, _Codec] = {"quoted-printable": quoted_printable, "base64": base64}
_MEND: dict[str, _Codec] = {"quoted-printable": mended_quoted_printable, "base64": rewrapped_base64}
_TOKEN = re.compile(rb"[\w-]+")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree an entity stands.

    :param path: ``""`` for the message, ``"1.2"`` for the second part of its first part.
    :param message: whether the entity is a message, not a part of a multipart.
    :param default: its type where it has no Content-Type field (RFC 2046 §5.1.5).
    """

    path: str = ""
    depth: int = 0
    message: bool = True
    default: str = "text/plain"

    @property
    def where(self) -> str:
        """The beginning of a sentence in the header's repairs."""
        return f"part {self.path}: " if self.path else ""

    @property
    def body(self) -> str:
        """The beginning of a sentence about the body."""
        return self.where or "body: "

    def part(self, number: int, default: str) -> _Place:
        path = f"{self.path}.{number}" if self.path else str(number)
        return _Place(path, self.depth + 1, message=False, default=default)

    def attached(self) -> _Place:
        return _Place(self.path, self.depth + 1)


_ROOT = _Place()


class BodyWriter:
    """Writes entities (RFC 2045 §2.4), each with its header, and makes them 7-bit on the way.

    :param content: the whole message, with normalised line ends.
    :param charsets: to try for raw text without a charset.
    """

    def __init__(self, content: bytes, charsets: Sequence[str], out: BytesIO, repairs: list[str]) -> None:
        self._content = content
        self._charsets = charsets
        self._out = out
        self._repairs = repairs
        self._parts = 0

    def write(self, header: Header, start: int, end: int, place: _Place = _ROOT) -> None:
        """Writes an entity whose header is repaired already, and whose body is a span of the content.

        :raises Reject: for a tree that is too deep or has too many parts.
        """
        if place.depth > MAX_DEPTH:
            # Not a leaf either: it would have to be encoded, and RFC 2045 §6.4 forbids that for a multipart.
            raise Reject(554, "6.0", f"MIME parts are nested more than {MAX_DEPTH} deep; send the message flatter")
        value = header.value("content-type")
        kind = media_type(value) if value else place.default
        if is_clean(self._content, start, end):
            self._copy(header, start, end)
        elif kind == "multipart/signed":
            self._repairs.append(f"{place.body}signed, so left as it is although it is not 7-bit")
            self._copy(header, start, end)
        elif kind.startswith("multipart/") and (found := self._delimiters(value, start, end)):
            part_default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
            self._multipart(header, start, end, place, found, part_default)
        elif _encoding(header) in _MEND:
            self._mend(header, start, end, place, kind)
        elif kind == "message/rfc822":
            self._attached(header, start, end, place)
        else:
            self._encode(header, start, end, place, kind)

    def _copy(self, header: Header, start: int, end: int) -> None:
        header.write(self._out)
        copy(self._content, start, end, self._out)

    def _delimiters(self, content_type: bytes, start: int, end: int) -> list[Delimiter]:
        """The delimiter lines of a multipart (RFC 2046 §5.1.1), up to the closing one."""
        found: list[Delimiter] = []
        for delimiter in delimiters(self._content, parameter(content_type, b"boundary"), start, end):
            found.append(delimiter)
            if self._parts + len(found) > MAX_PARTS:
                raise Reject(554, "6.0", f"the message has more than {MAX_PARTS} MIME parts; send fewer attachments")
        return found

    def _multipart(
        self, header: Header, start: int, end: int, place: _Place, found: list[Delimiter], part_default: str
    ) -> None:
        self._make_7bit(header, place)
        header.write(self._out)
        self._margin(start, found[0].start, place, "text before the first part")
        position = start
        ends = [delimiter.start for delimiter in found[1:]] + [end]
        for number, (delimiter, part_end) in enumerate(zip(found, ends, strict=True), 1):
            copy(self._content, max(position, delimiter.start), min(delimiter.end, end), self._out)
            position = delimiter.end
            if delimiter.closing:
                self._margin(position, end, place, "text after the last part")
            elif position < part_end:
                self._part(position, part_end, place.part(number, part_default))

    def _margin(self, start: int, end: int, place: _Place, what: str) -> None:
        """Copies what stands around the parts, where that can be: no reader shows it (RFC 2046 §5.1.1)."""
        if is_clean(self._content, start, end):
            copy(self._content, start, end, self._out)
        else:
            self._repairs.append(f"{place.body}{what} removed: it was not 7-bit")

    def _part(self, start: int, end: int, place: _Place) -> None:
        self._parts += 1
        if is_clean(self._content, start, end):
            copy(self._content, start, end, self._out)
        else:
            self._write_parsed(start, end, place)

    def _attached(self, header: Header, start: int, end: int, place: _Place) -> None:
        self._make_7bit(header, place)
        header.write(self._out)
        self._write_parsed(start, end, place.attached())

    def _write_parsed(self, start: int, end: int, place: _Place) -> None:
        header, body = parse_header(self._content, start, end, place.where, self._repairs)
        mend_header(header, charsets_of(header, self._charsets), place.where, self._repairs)
        self.write(header, body, end, place)

    def _make_7bit(self, header: Header, place: _Place) -> None:
        """What is put together of other entities has no encoding of its own (RFC 2045 §6.4)."""
        if _encoding(header) not in ("", "7bit"):
            header.set("Content-Transfer-Encoding", "7bit")
            self._repairs.append(f"{place.where}Content-Transfer-Encoding set to 7bit")

    def _mend(self, header: Header, start: int, end: int, place: _Place, kind: str) -> None:
        encoding = _encoding(header)
        if encoding == "quoted-printable":
            self._declare_charset(header, start, end, place, kind)
        self._repairs.append(f"{place.body}{encoding} put into 7-bit lines")
        header.write(self._out)
        self._out.writelines(_MEND[encoding](self._content, start, end))

    def _encode(self, header: Header, start: int, end: int, place: _Place, kind: str) -> None:
        if kind.startswith("multipart/"):  # no encoding is allowed for it, and no reader finds a part in it
            kind = "text/plain"
            header.set("Content-Type", kind)
            self._repairs.append(f"{place.body}multipart without its boundary, sent as text/plain")
        self._declare_charset(header, start, end, place, kind)
        count = count_8bit(self._content, start, end)
        text = kind.startswith("text/")
        encoding = "quoted-printable" if text and count * _TEXT_IN_BASE64 <= end - start else "base64"
        header.set("Content-Transfer-Encoding", encoding)
        if place.message and not header.value("mime-version"):  # without it nobody would decode (RFC 2045 §4)
            header.set("MIME-Version", "1.0")
        data = "text" if text else "data"
        faults = f"8-bit {data}" if count else f"{data} with over-long lines or NUL"
        self._repairs.append(f"{place.body}{faults} encoded as {encoding}")
        header.write(self._out)
        self._out.writelines(_ENCODE[encoding](self._content, start, end))

    def _declare_charset(self, header: Header, start: int, end: int, place: _Place, kind: str) -> None:
        """Says what charset 8-bit text is in, where its app did not, or said that it is ASCII."""
        value = header.value("content-type") or kind.encode("ascii")
        if not kind.startswith("text/") or charset_of(value) not in _NO_CHARSET:
            return
        if count_8bit(self._content, start, end):
            charset = detect(self._content, start, end, ("utf-8", *self._charsets))
            header.set("Content-Type", with_charset(value, charset).decode("ascii"))
            self._repairs.append(f"{place.body}charset {charset} declared")


def _encoding(header: Header) -> str:
    """The Content-Transfer-Encoding in lower case, or ``""``. One that nobody knows counts as none: apps write
    ``8-bit``, ``utf-8`` and the like there.
    """
    match = _TOKEN.search(header.value("content-transfer-encoding"))
    return match[0].decode("ascii").lower() if match else ""

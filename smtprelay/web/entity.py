"""The entities of a message (RFC 2045 §2.4), to be shown to people. Nothing is copied before it is asked for.

Not by the standard library's parser: 25 MB of short lines take it 5 s and 840 MB. What reads headers here is what has
mended them.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from email.message import Message as Carrier
from functools import cached_property
from typing import Self

from smtprelay.repair.charsets import decode
from smtprelay.repair.delimiters import delimiters
from smtprelay.repair.fields import Header, parse_header
from smtprelay.repair.lines import SLICE, slices
from smtprelay.repair.parameters import media_type, parameter
from smtprelay.repair.words import decode_words
from smtprelay.reply import Reject

CHARSETS = ("utf-8", "gb18030")  # of raw octets, in this order
MAX_VALUE = 4096  # octets of a field whose parameters are looked at: more only costs time
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


class Entity:
    """A message, or a part of one.

    :param content: what it lies in, with normalised line ends.
    :param default: its type where it has no Content-Type field (RFC 2046 §5.1.5).
    :ivar header: empty where it is over the limits of `parse_header`.
    """

    def __init__(self, content: bytes, start: int, end: int, default: str = "text/plain") -> None:
        try:
            self.header, start = parse_header(content, start, end, "", [])
        except Reject:
            self.header = Header([])
        self._content, self._start, self._end = content, start, end
        self._default = default

    @classmethod
    def whole(cls, content: bytes) -> Self:
        """A message as a whole."""
        return cls(content, 0, len(content))

    @cached_property
    def kind(self) -> str:
        """``type/subtype`` in lower case."""
        value = self.header.value("content-type")[:MAX_VALUE]
        return media_type(value) if value else self._default

    @cached_property
    def disposition(self) -> str:
        """``attachment``, ``inline``, or ``""`` (RFC 2183)."""
        return self.header.value("content-disposition")[:MAX_VALUE].partition(b";")[0].strip().decode("latin-1").lower()

    @property
    def content_id(self) -> str:
        """Without its angle brackets (RFC 2392); ``""`` for none."""
        return self.header.value("content-id")[:MAX_VALUE].strip(b" <>").decode("latin-1")

    @property
    def charset(self) -> str:
        """The declared one, or ``""``."""
        return parameter(self._type, b"charset").decode("latin-1")

    @property
    def filename(self) -> str:
        """As its sender calls it (RFC 2231, or RFC 2047 where it should not stand); ``""`` for none. Trust no name."""
        carrier = Carrier()
        for name in ("content-disposition", "content-type"):
            carrier[name] = decode(self.header.value(name)[:MAX_VALUE], CHARSETS)[0]
        try:
            return decode_words(carrier.get_filename(""))
        except ValueError:  # of a charset that is called undefined, say
            return ""

    @property
    def _type(self) -> bytes:
        return self.header.value("content-type")[:MAX_VALUE]

    def parts(self) -> Iterator[Entity]:
        """Those of a multipart (RFC 2046 §5.1); none where it has no boundary, or that stands nowhere."""
        default = "message/rfc822" if self.kind == "multipart/digest" else "text/plain"
        start = -1
        for delimiter in delimiters(self._content, parameter(self._type, b"boundary"), self._start, self._end):
            if start >= 0:
                yield Entity(self._content, start, max(start, delimiter.start), default)
            if delimiter.closing:
                return
            start = delimiter.end
        if start >= 0:
            yield Entity(self._content, start, max(start, self._end), default)

    def octets(self, limit: int) -> bytes:
        """The body without its transfer encoding, at most so much of it."""
        encoding = self.header.value("content-transfer-encoding")[:MAX_VALUE].strip().lower()
        if encoding == b"base64":
            return self._base64(limit)
        end = min(self._end, self._start + (4 * limit if encoding == b"quoted-printable" else limit))
        pieces: Iterator[bytes] = (self._content[begin:stop] for begin, stop in slices(self._content, self._start, end))
        if encoding == b"quoted-printable":
            pieces = map(binascii.a2b_qp, pieces)
        return b"".join(pieces)[:limit]

    def _base64(self, limit: int) -> bytes:
        """What is not in the alphabet is ignored (RFC 2045 §6.8); what is cut off at the end is lost."""
        decoded, rest, length = [], b"", 0
        for begin in range(self._start, self._end, SLICE):
            data = rest + self._content[begin : min(begin + SLICE, self._end)].translate(None, _NOT_BASE64)
            cut = len(data) // 4 * 4
            decoded.append(binascii.a2b_base64(data[:cut]))
            rest = data[cut:]
            length += len(decoded[-1])
            if length >= limit:
                break
        else:
            decoded.append(binascii.a2b_base64(rest + b"==") if len(rest) > 1 else b"")
        return b"".join(decoded)[:limit]

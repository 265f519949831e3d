"""The delimiter lines of a multipart (RFC 2046 §5.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_WINDOW = 2**20  # octets of one call into C, see `smtprelay.repair.lines`
_MAX_BOUNDARY = 200  # RFC 2046 §5.1.1 allows 70
_MAX_PADDING = 200


class Delimiter(NamedTuple):
    """A delimiter line with the line end before it, which belongs to it."""

    start: int
    end: int
    closing: bool


def delimiters(content: bytes, boundary: bytes, start: int, end: int) -> Iterator[Delimiter]:
    """Those in a span of normalised content, up to the closing one."""
    if not 0 < len(boundary) <= _MAX_BOUNDARY:
        return
    pattern = re.compile(rb"\r\n--%s(--)?[ \t]{0,%d}\r\n" % (re.escape(boundary), _MAX_PADDING))
    longest = len(boundary) + _MAX_PADDING + len("\r\n----\r\n")
    position, limit = start - 2, end + 2  # the line ends before the body and after it count
    while position < limit:
        match = pattern.search(content, position, min(position + _WINDOW, limit))
        if match is None:
            position += _WINDOW - longest
            continue
        yield Delimiter(match.start(), match.end(), match[1] is not None)
        position = match.end() - 2  # that line end may be the next delimiter's
        if match[1]:
            return

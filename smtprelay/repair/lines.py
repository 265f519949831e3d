"""The lines of a message, in slices.

A message may have 25 MiB, and a single call into C holds the GIL for as long as it takes. So nothing here, or in
what builds on it, hands more than `SLICE` octets to one call: an event loop in another thread gets its turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

SLICE = 256 * 1024
MAX_LINE = 998  # RFC 5322 §2.1.1: octets of a line without its <CRLF>
_CR, _LF = b"\r\n"


def slices(content: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of at most about `SLICE` octets: they end at line ends, or within a line that is longer than that.

    A <CRLF> is never cut in two.
    """
    while end - start > SLICE:
        stop = content.rfind(b"\n", start, start + SLICE) + 1
        if not stop:
            stop = start + SLICE
            for _ in range(2):  # <CR><CR><LF> is one line end, see `_crlf`
                if stop < end and content[stop - 1] == _CR and content[stop] in (_CR, _LF):
                    stop += 1
        yield start, stop
        start = stop
    if start < end:
        yield start, end


def normalise(content: bytes) -> bytes:
    """The content with every line ended by <CRLF>, the last one too; the same object where it already is so."""
    if content.endswith(b"\r\n") and all(_is_crlf(content, *span) for span in slices(content, 0, len(content))):
        return content
    out = BytesIO()  # grows in place and gives its buffer away: no list of pieces, no join
    for start, end in slices(content, 0, len(content)):
        piece = content[start:end]
        out.write(piece if _is_crlf(content, start, end) else _crlf(piece))
    if content and not content.endswith((b"\r", b"\n")):
        out.write(b"\r\n")
    return out.getvalue()


def _is_crlf(content: bytes, start: int, end: int) -> bool:
    pairs = content.count(b"\r\n", start, end)
    return pairs == content.count(b"\n", start, end) == content.count(b"\r", start, end)


def _crlf(piece: bytes) -> bytes:
    # Windows writes <CRLF> in text mode as <CR><CR><LF>: one line end, or else the header would end there.
    piece = piece.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n")
    return piece.replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def is_clean(content: bytes, start: int, end: int) -> bool:
    """Whether a span of normalised content can leave as it is: 7-bit, without NUL and over-long lines."""
    for begin, stop in slices(content, start, end):
        piece = content[begin:stop]
        if not piece.isascii() or b"\0" in piece:
            return False
    return not has_long_line(content, start, end)


def has_long_line(content: bytes, start: int, end: int) -> bool:
    """Whether a line of normalised content has more than `MAX_LINE` octets; jumps from line end to line end."""
    while end - start > MAX_LINE:
        line_end = content.rfind(b"\n", start, min(start + MAX_LINE + len(b"\r\n"), end))
        if line_end < 0:
            return True
        start = line_end + 1
    return False


def copy(content: bytes, start: int, end: int, out: BytesIO) -> None:
    out.writelines(content[begin:stop] for begin, stop in slices(content, start, end))

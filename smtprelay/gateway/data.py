"""The octets after 354, up to <CRLF>.<CRLF> (RFC 5321 §4.1.1.4, §4.5.2). No I/O: chunks in, the message out."""

from __future__ import annotations

import re

_END = b"\r\n.\r\n"
_PIECE = 2**20  # octets: blocks of this size are given back to the system when they are freed
# A client that stuffs dots never sends a line of one dot and something else: this one does not stuff.
_UNSTUFFED_DOT = re.compile(rb"\r\n\.[^.\r\n]")


class DataDecoder:
    """Finds the end of a message in chunks of any size, without looking at single lines.

    Only <CRLF>.<CRLF> ends a message: a dot between bare line feeds does not, so nothing can be smuggled behind it.

    :param limit: octets; a longer message is read to its end and dropped.
    :ivar rest: what came after the end: the next commands of a client that talks ahead.
    :ivar too_big: the message was longer than the limit.
    :ivar unstuffed: the client does not double the dots at the start of its lines; they were left as they came.
    """

    def __init__(self, limit: int) -> None:
        self.rest = b""
        self.too_big = False
        self.unstuffed = False
        self.size = 0
        self.limit = limit
        self._pieces: list[bytearray] = []
        # As if a line had ended before: the message may consist of the dot alone.
        self._window = b"\r\n"

    def feed(self, chunk: bytes) -> bool:
        """Take the next octets. :returns: True where the end of the message was among them."""
        window = self._window + chunk
        end = window.find(_END)
        if end >= 0:
            self._keep(window[: end + 2])
            self.rest = window[end + len(_END) :]
            self._window = b""
            return True
        cut = _before_line_start(window, max(len(window) - len(_END) + 1, 0))
        self._keep(window[:cut])
        self._window = window[cut:]
        return False

    def content(self) -> bytes:
        """The message with its transparency dots removed. It can be called once."""
        self._pieces.reverse()
        clear: list[bytearray] = []
        while self._pieces:  # one after the other, so that there are never two of all
            piece = self._pieces.pop()
            clear.append(piece if self.unstuffed else piece.replace(b"\r\n.", b"\r\n"))
        if clear:
            del clear[0][:2]
        return b"".join(clear)

    def _keep(self, piece: bytes) -> None:
        if not piece:
            return
        self.size += len(piece)
        if self.size > self.limit + 2:
            self.too_big = True
            self._pieces.clear()
            return
        if not self.unstuffed and _UNSTUFFED_DOT.search(piece):
            self.unstuffed = True
        # Small ones are put together: one for each octet that a client drips would take forty times its memory.
        if self._pieces and len(self._pieces[-1]) < _PIECE:
            self._pieces[-1] += piece
        else:
            self._pieces.append(bytearray(piece))


def _before_line_start(window: bytes, cut: int) -> int:
    """A cut that parts neither <CRLF> nor the dot behind it from what follows: each piece can be read alone."""
    for start in (b"\r\n.", b"\r\n", b"\r"):
        if window.endswith(start, 0, cut):
            return cut - len(start)
    return cut

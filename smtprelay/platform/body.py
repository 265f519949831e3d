"""The body of a response: unpacked in steps as it comes, and never more of it than an answer may have."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from smtprelay.platform.errors import UnreadableAnswer

MAX_ANSWER = 256 * 2**20  # octets: a list of some million addresses
STEP = 2**20  # octets that are unpacked at once
_GZIP = ("gzip", "x-gzip")  # RFC 9110 §8.4.1.3
_WITH_HEADER = zlib.MAX_WBITS | 16


class Body:
    """What came of it so far. httpx would unpack it in one go, and what is packed in it too: 600 octets took gigabytes.

    :raises UnreadableAnswer: it is packed otherwise than was asked for.
    """

    def __init__(self, headers: httpx.Headers) -> None:
        packed = headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("identity", *_GZIP):
            raise UnreadableAnswer("an answer came packed in a way that was not asked for", packed)
        self._gzip = zlib.decompressobj(_WITH_HEADER) if packed in _GZIP else None
        self._octets = bytearray()
        self._begun = False

    def add(self, octets: bytes) -> None:
        """:raises UnreadableAnswer: it is too long. :raises httpx.DecodingError: it cannot be unpacked."""
        self._begun = True
        if self._gzip is None:
            self._take(octets)
            return
        with _told_as_httpx_does():
            while octets:
                self._take(self._gzip.decompress(octets, STEP))
                octets = self._gzip.unconsumed_tail

    def whole(self) -> bytes:
        """All of it. :raises httpx.DecodingError: it breaks off."""
        if self._gzip and self._begun:
            with _told_as_httpx_does():
                self._take(self._gzip.flush())
            if not self._gzip.eof:
                raise httpx.DecodingError("it breaks off")
        return bytes(self._octets)

    def _take(self, octets: bytes) -> None:
        self._octets += octets
        if len(self._octets) > MAX_ANSWER:
            raise UnreadableAnswer(f"an answer of more than {MAX_ANSWER} octets came")


@contextmanager
def _told_as_httpx_does() -> Iterator[None]:
    try:
        yield
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from None

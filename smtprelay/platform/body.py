"""The body of a response: unpacked in steps, and never more of it than an answer may have."""

from __future__ import annotations

import zlib

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
        self._is_packed = packed in _GZIP
        self._octets = bytearray()

    def add(self, octets: bytes) -> None:
        """:raises UnreadableAnswer: it is too long."""
        _append(self._octets, octets)

    def whole(self) -> bytes:
        """All of it; work for a thread. :raises httpx.DecodingError: it cannot be unpacked, or breaks off.
        :raises UnreadableAnswer: it is too long."""
        octets = bytes(self._octets)
        return _unpacked(octets) if self._is_packed and octets else octets


def _unpacked(packed: bytes) -> bytes:
    gzip = zlib.decompressobj(_WITH_HEADER)
    octets = bytearray()
    try:
        while packed and not gzip.eof:
            _append(octets, gzip.decompress(packed, STEP))
            packed = gzip.unconsumed_tail
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from None
    if not gzip.eof:
        raise httpx.DecodingError("it breaks off")
    return bytes(octets)


def _append(whole: bytearray, octets: bytes) -> None:
    whole += octets
    if len(whole) > MAX_ANSWER:
        raise UnreadableAnswer(f"an answer of more than {MAX_ANSWER} octets came")

"""What comes is unpacked in steps, to its end, and not without end."""

from __future__ import annotations

import gzip
import tracemalloc

import httpx
import pytest

from smtprelay.platform import UnreadableAnswer, body
from smtprelay.platform.body import Body

ANSWER = b"<service><id>7</id></service>" * 1000
PACKED = gzip.compress(ANSWER)


def unpacked(octets: bytes, packed: str, size: int = 2**16) -> bytes:
    it = Body(httpx.Headers({"content-encoding": packed} if packed else {}))
    for at in range(0, len(octets), size):
        it.add(octets[at : at + size])
    return it.whole()


@pytest.mark.parametrize("size", [1, 100, 2**16])
def test_it_is_what_was_packed(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "STEP", 1000)
    for encoding in ("gzip", "x-gzip", "GZip "):
        assert unpacked(PACKED, encoding, size) == ANSWER
    for encoding in ("", "identity"):
        assert unpacked(ANSWER, encoding, size) == ANSWER
        assert unpacked(b"", encoding) == b""
    assert unpacked(b"", "gzip") == b""  # of a page without a body, such as 302's


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "deflate"])
def test_what_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(UnreadableAnswer, match=f"packed in a way that was not asked for: '{encoding}'"):
        unpacked(PACKED, encoding)


def test_what_breaks_off_is_refused_wherever_it_does() -> None:
    """httpx took what had come of it for all: without a length, nobody would see what is missing."""
    for cut in range(1, len(PACKED)):
        with pytest.raises(httpx.DecodingError):
            unpacked(PACKED[:cut], "gzip")
    with pytest.raises(httpx.DecodingError):
        unpacked(ANSWER, "gzip")


def test_a_bomb_takes_no_more_than_an_answer_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx unpacked 64 MiB at once, and 64 GiB of what was packed twice."""
    monkeypatch.setattr(body, "MAX_ANSWER", 2**20)
    bomb = gzip.compress(bytes(60 * 2**20))
    assert len(bomb) < 2**16
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableAnswer, match="more than 1048576 octets"):
            unpacked(bomb, "gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20

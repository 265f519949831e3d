"""The end of a message, and its dots."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.gateway.data import DataDecoder

# What matters in DATA: dots, both halves of <CRLF>, and anything else.
octets = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.", b"a", b"\x00", b"\xff"]), max_size=40).map(
    b"".join
)
chunk_sizes = st.lists(st.integers(1, 7), min_size=1, max_size=5)


def decode(stream: bytes, sizes: list[int], limit: int = 10**6) -> DataDecoder:
    decoder = DataDecoder(limit)
    position = step = 0
    while position < len(stream):
        size = sizes[step % len(sizes)]
        if decoder.feed(stream[position : position + size]):
            decoder.rest += stream[position + size :]
            return decoder
        position += size
        step += 1
    raise AssertionError("the end was not found")


def plainly(stream: bytes) -> tuple[bytes, bytes]:
    """RFC 5321 §4.5.2, written down as simply as can be."""
    text, _, rest = (b"\r\n" + stream).partition(b"\r\n.\r\n")
    text += b"\r\n"
    if not re.search(rb"\r\n\.[^.\r\n]", text):
        text = re.sub(rb"\r\n\.", b"\r\n", text)
    return text[2:], rest


@given(octets, octets, chunk_sizes)
def test_any_chunking_gives_what_the_rfc_says(before: bytes, after: bytes, sizes: list[int]) -> None:
    stream = before + b"\r\n.\r\n" + after
    decoder = decode(stream, sizes)
    content, rest = plainly(stream)
    assert (decoder.content(), decoder.rest) == (content, rest)


@given(octets, chunk_sizes)
def test_a_message_that_was_stuffed_comes_back(text: bytes, sizes: list[int]) -> None:
    content = text + b"\r\n"
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"
    assert decode(stuffed, sizes).content() == content


@pytest.mark.parametrize(
    "false_end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\x00.\r\n"], ids=repr
)
def test_smuggling_nothing_but_crlf_dot_crlf_ends_a_message(false_end: bytes) -> None:
    smuggled = b"MAIL FROM:<admin@example.com>\r\n"
    decoder = DataDecoder(1000)
    assert not decoder.feed(b"Subject: a\r\n\r\ntext" + false_end + smuggled)
    assert decoder.feed(b".\r\nQUIT\r\n")
    assert smuggled in decoder.content()
    assert decoder.rest == b"QUIT\r\n"


def test_a_client_that_drips_octets_takes_no_more_memory_than_its_message() -> None:
    """Pieces of one octet or two took forty times that, and the budget of memory did not know."""
    decoder = DataDecoder(10**6)
    tracemalloc.start()
    try:
        for _ in range(100_000):
            decoder.feed(b"ab")
        assert tracemalloc.get_traced_memory()[0] < 300_000
    finally:
        tracemalloc.stop()
    assert decoder.feed(b"\r\n.\r\n")
    assert decoder.content() == b"ab" * 100_000 + b"\r\n"


def test_an_empty_message_is_its_dot() -> None:
    decoder = DataDecoder(1000)
    assert decoder.feed(b".\r\nQUIT\r\n")
    assert decoder.content() == b""
    assert decoder.rest == b"QUIT\r\n"


def test_a_client_that_does_not_stuff_keeps_its_dots() -> None:
    """The platform's PHP sample sends a line that begins with a dot as it is; the RFC's rule would eat the dot."""
    decoder = DataDecoder(1000)
    assert decoder.feed(b"text\r\n.hidden files\r\n..and two dots\r\n.\r\n")
    assert decoder.unstuffed
    assert decoder.content() == b"text\r\n.hidden files\r\n..and two dots\r\n"


@given(chunk_sizes)
def test_a_message_over_the_limit_is_read_to_its_end_and_dropped(sizes: list[int]) -> None:
    decoder = decode(b"x" * 200 + b"\r\n.\r\nQUIT\r\n", sizes, limit=100)
    assert decoder.too_big
    assert decoder.content() == b""
    assert decoder.rest == b"QUIT\r\n"


@given(chunk_sizes)
def test_a_message_of_just_the_limit_is_taken(sizes: list[int]) -> None:
    decoder = decode(b"x" * 98 + b"\r\n.\r\n", sizes, limit=100)
    assert not decoder.too_big
    assert len(decoder.content()) == 100

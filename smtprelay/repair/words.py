"""Encoded words (RFC 2047): text of any language in a header field."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from itertools import groupby

from smtprelay.repair.charsets import codec_of

_MAX_WORD = 75  # RFC 2047 §2
_FRAME = len("=?utf-8?q??=")
_WORD = r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?\s]*)\?="  # with RFC 2231 §5's language
_ENCODED = re.compile(_WORD)
_RUN = re.compile(rf"{_WORD}(?:\s++{_WORD})*+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

# RFC 2047 §5 (3): what may stand for itself where an encoded word is part of a display name; good everywhere else.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")


def decode_words(text: str) -> str:
    """The text with its encoded words read, for people: on one line, without control characters."""
    return _CONTROL.sub(" ", _RUN.sub(_decode_run, text))


def _decode_run(run: re.Match[str]) -> str:
    # White space between encoded words is not shown (RFC 2047 §6.2). Old apps cut within a character: so the octets
    # of neighbours in the same charset are put together before they are read.
    words = map(_read_word, _ENCODED.finditer(run[0]))
    return "".join(
        b"".join(octets for _, octets in same).decode(codec, "replace")
        if codec
        else " ".join(octets.decode() for _, octets in same)
        for codec, same in groupby(words, lambda word: word[0])
    )


def _read_word(word: re.Match[str]) -> tuple[str, bytes]:
    """The codec and the octets of an encoded word; no codec, and the word itself, where it cannot be read."""
    codec = codec_of(word[1])
    try:
        return (codec, _octets(word[2], word[3])) if codec else ("", word[0].encode())
    except ValueError:
        return "", word[0].encode()


def _octets(encoding: str, payload: str) -> bytes:
    """:raises ValueError: where it is no base64."""
    data = payload.encode("ascii", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(data, header=True)
    return binascii.a2b_base64(data + b"==")  # some leave the padding out


def encode_words(text: str, first: int = _MAX_WORD) -> str:
    """The text as encoded words in UTF-8, one space between them; no character is cut in two.

    :param first: the room for the first word, beside the field's name.
    """
    quoted = [_quote(char) for char in text]
    octets = [char.encode() for char in text]
    q_size, b_size = sum(map(len, quoted)), sum(map(len, octets)) * 4 // 3
    if q_size <= b_size:
        payloads = _fill([char.encode() for char in quoted], first - _FRAME, _MAX_WORD - _FRAME)
        return " ".join(f"=?utf-8?q?{payload.decode()}?=" for payload in payloads)
    payloads = _fill(octets, (first - _FRAME) // 4 * 3, (_MAX_WORD - _FRAME) // 4 * 3)
    return " ".join(f"=?utf-8?b?{binascii.b2a_base64(payload, newline=False).decode()}?=" for payload in payloads)


def _quote(char: str) -> str:
    if char in _PLAIN:
        return char
    return "_" if char == " " else "".join(f"={octet:02X}" for octet in char.encode())


def _fill(chars: list[bytes], first: int, room: int) -> Iterator[bytes]:
    """Characters, each as octets, put together to as much as there is room for."""
    payload: list[bytes] = []
    left = first
    for char in chars:
        if len(char) > left and payload:
            yield b"".join(payload)
            payload, left = [], room
        payload.append(char)
        left -= len(char)
    if payload:
        yield b"".join(payload)

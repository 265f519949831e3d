"""Content transfer encodings (RFC 2045 §6), in slices."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from smtprelay.repair.lines import SLICE, slices

_MAX_LINE = 76  # RFC 2045 §6.7 (5), §6.8
_BASE64_OCTETS = 57  # 76 characters of base64
_HIGH = bytes(range(128, 256))
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_SAFE = [b"=%02X" % octet if octet >= 128 or octet == 0 else bytes([octet]) for octet in range(256)]
_SOFT_BREAK = b"=\r\n"
# b2a_qp quotes white space at the end of a line after it has counted the line.
_OVERHANG = re.compile(rb"=(?=(?:20|09)\r\n)(?<=[^\r\n]{%d}=)" % (_MAX_LINE - len("=20") + 1))


def count_8bit(content: bytes, start: int, end: int) -> int:
    """How many octets of a span are not ASCII."""
    pieces = (content[begin:stop] for begin, stop in slices(content, start, end))
    return sum(len(piece) - len(piece.translate(None, _HIGH)) for piece in pieces if not piece.isascii())


def quoted_printable(content: bytes, start: int, end: int) -> Iterator[bytes]:
    """The span as quoted-printable; its lines stay lines."""
    for begin, stop in slices(content, start, end):
        piece = content[begin:stop]
        encoded = binascii.b2a_qp(piece, istext=True)
        if b"\n" not in piece:  # then b2a_qp breaks lines with <LF>: it takes the style from the first line end
            encoded = encoded.replace(b"\n", b"\r\n")
        yield _OVERHANG.sub(b"=\r\n=", encoded)
        if stop < end and not piece.endswith(b"\n"):
            yield _SOFT_BREAK


def base64(content: bytes, start: int, end: int) -> Iterator[bytes]:
    """The span as base64; no line end after the last line."""
    step = SLICE // _BASE64_OCTETS * _BASE64_OCTETS
    for begin in range(start, end, step):
        if begin > start:
            yield b"\r\n"
        yield _broken(binascii.b2a_base64(content[begin : min(begin + step, end)], newline=False))


def rewrapped_base64(content: bytes, start: int, end: int) -> Iterator[bytes]:
    """Base64 in lines of 76; what is not in its alphabet goes (RFC 2045 §6.8 has it ignored)."""
    rest = b""
    for begin, stop in slices(content, start, end):
        data = rest + content[begin:stop].translate(None, _NOT_BASE64)
        whole = len(data) // _MAX_LINE * _MAX_LINE
        if whole:
            yield _broken(data[:whole]) + b"\r\n"
        rest = data[whole:]
    yield rest


def _broken(data: bytes) -> bytes:
    return b"\r\n".join([data[i : i + _MAX_LINE] for i in range(0, len(data), _MAX_LINE)])


def mended_quoted_printable(content: bytes, start: int, end: int) -> Iterator[bytes]:
    """Quoted-printable with its raw octets quoted and its lines broken; it means what it meant."""
    rest = b""
    for begin, stop in slices(content, start, end):
        data = rest + content[begin:stop]
        rest = b""
        within_line = stop < end and not data.endswith(b"\n")
        if within_line and (cut := data.rfind(b"=", len(data) - 2)) >= 0:  # "=4" and "F" belong together
            data, rest = data[:cut], data[cut:]
        quoted = data if data.isascii() and b"\0" not in data else b"".join([_SAFE[octet] for octet in data])
        yield b"\r\n".join([_soft_broken(line) for line in quoted.split(b"\r\n")])
        if within_line:
            yield _SOFT_BREAK


def _soft_broken(line: bytes) -> bytes:
    if len(line) <= _MAX_LINE:
        return line
    pieces = []
    start = 0
    while len(line) - start > _MAX_LINE:
        stop = start + _MAX_LINE - 1
        quote = line.rfind(b"=", stop - 2, stop)
        stop = quote if quote > 0 else stop
        pieces.append(line[start:stop])
        start = stop
    return _SOFT_BREAK.join([*pieces, line[start:]])

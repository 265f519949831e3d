"""The values of Content-Type and Content-Disposition: parameters (RFC 2045 §5.1, RFC 2231)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from smtprelay.repair.charsets import decode

_TYPE = re.compile(rb"([\w!#$&^.+-]+)/([\w!#$&^.+-]+)", re.ASCII)
_PARAMETER = re.compile(rb';[ \t]*([^\s;="]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.?)*+"?|[^;]*)', re.DOTALL)
_ESCAPE = re.compile(rb'\\(["\\])')
_HIGH = re.compile(rb"[\x80-\xff]")
_SEGMENT = 54  # characters of a segment: a line holds one, with its name


def media_type(value: bytes) -> str:
    """``type/subtype`` in lower case; ``text/plain`` where there is none that can be read (RFC 2045 §5.2)."""
    match = _TYPE.match(value)
    return match[0].decode("ascii").lower() if match else "text/plain"


def parameter(value: bytes, name: bytes) -> bytes:
    """The value of a parameter; empty where it is not given."""
    match = _find(value, name)
    return _unquote(match[2]) if match else b""


def charset_of(value: bytes) -> str:
    """The declared charset in lower case, or ``""``."""
    words = parameter(value, b"charset").partition(b"(")[0].split()
    return words[0].decode("ascii", "replace").lower() if words else ""


def with_charset(value: bytes, charset: str) -> bytes:
    """The value with its charset parameter set."""
    match = _find(value, b"charset")
    if match:
        return value[: match.start(2)] + charset.encode("ascii") + value[match.end(2) :]
    _, semicolon, parameters = value.rstrip(b"; \t").partition(b";")
    return f"{media_type(value)}; charset={charset}".encode("ascii") + semicolon + parameters


def encode_parameters(value: bytes, charsets: Sequence[str]) -> bytes:
    """The value in ASCII: raw 8-bit text in parameters as RFC 2231 has it; what is ASCII stays as it is."""
    encoded = _PARAMETER.sub(lambda match: _encode(match, charsets), value)
    return _HIGH.sub(b"?", encoded)


def _find(value: bytes, name: bytes) -> re.Match[bytes] | None:
    return next((match for match in _PARAMETER.finditer(value) if match[1].lower() == name), None)


def _unquote(value: bytes) -> bytes:
    if not value.startswith(b'"'):
        return value.rstrip()
    # Only these two: Windows writes filename="C:\temp\a.pdf".
    return _ESCAPE.sub(rb"\1", value[1:].removesuffix(b'"'))


def _encode(match: re.Match[bytes], charsets: Sequence[str]) -> bytes:
    name = match[1].decode("ascii", "replace")
    if match[0].isascii() or not match[1].isascii() or "*" in name or name.lower() in ("boundary", "charset"):
        return match[0]
    text = quote(decode(_unquote(match[2]), charsets)[0], safe="")
    segments = _segments(text)
    if len(segments) == 1:
        return f"; {name}*=utf-8''{text}".encode("ascii")
    segments[0] = "utf-8''" + segments[0]
    return "".join(f"; {name}*{number}*={segment}" for number, segment in enumerate(segments)).encode("ascii")


def _segments(text: str) -> list[str]:
    """Percent-encoded text cut into segments, never within an octet (RFC 2231 §4.1)."""
    segments = []
    start = 0
    while len(text) - start > _SEGMENT:
        cut = start + _SEGMENT
        while "%" in text[cut - 2 : cut]:
            cut -= 1
        segments.append(text[start:cut])
        start = cut
    return [*segments, text[start:]]

"""What repair changed in a header, for people: the lines of a unified difference that begin with - or +."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from smtprelay.repair.fields import Field

MAX_CHANGES = 8 * 2**10  # octets in UTF-8, over all
MAX_LINE = 500  # characters of one line
CUT = "…"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # a terminal would obey them
_NOT_ASCII = re.compile(r"[^\t\x20-\x7e]")


def changes(before: Sequence[Field], after: Sequence[Field], private: Sequence[str]) -> tuple[str, ...]:
    """The difference between a header as it came and as it leaves: fields that stay as they were are not in it.

    Controls, and the octets of a line that is no UTF-8, are told as ``\\xNN``; what is too long is cut, and
    ends with ``…``.

    :param before: the fields, those that were taken out since among them.
    :param after: the same, in the same order, and new ones.
    :param private: fields whose names begin so are told without their values.
    """
    lines: list[str] = []
    room = MAX_CHANGES
    for line in _differences(before, after, tuple(private)):
        room -= len(line.encode()) + 1
        if room < len(CUT.encode()):
            return (*lines, CUT)
        lines.append(line)
    return tuple(lines)


def _differences(before: Sequence[Field], after: Sequence[Field], private: tuple[str, ...]) -> Iterator[str]:
    earlier = iter(before)
    for field in after:
        if field.came:
            for other in earlier:  # those above it that were taken out
                if other is field:
                    break
                yield from _lines("-", other.came, other.name.startswith(private))
        if field.raw is not field.came and field.raw != field.came:
            yield from _lines("-", field.came)
            yield from _lines("+", field.raw)
    for other in earlier:
        yield from _lines("-", other.came, other.name.startswith(private))


def _lines(sign: str, raw: bytes, private: bool = False) -> Iterator[str]:
    if private:
        raw = raw.partition(b":")[0] + b": " + CUT.encode()
    for line in raw.splitlines():
        try:
            text, escaped = line.decode(), _UNPRINTABLE
        except UnicodeDecodeError:
            text, escaped = line.decode("latin-1"), _NOT_ASCII
        told = escaped.sub(lambda match: f"\\x{ord(match[0]):02x}", text[: MAX_LINE + 1])
        yield sign + (told if len(told) <= MAX_LINE else told[:MAX_LINE] + CUT)

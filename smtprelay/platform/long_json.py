"""A long JSON list, item by item: all that is read in one go keeps the interpreter from everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecoder
from typing import Any

MAX_VALUE = 2**20  # characters that are read in one go: 20 ms

_BEGIN = re.compile(r"\s*(?:(?P<object>\{)|\[)\s*(?P<end>[\]}]\s*)?")
_BETWEEN = re.compile(r"\s*(?:,|(?P<end>[\]}]))\s*")
_COLON = re.compile(r"\s*:\s*")


def values(text: str) -> Iterator[Any]:
    """The items of a list, or the values of an object.

    :raises ValueError: it is neither, or one of them is too long; at the end too, after what could be read.
    :raises RecursionError: one is too deep.
    """
    window = _Window(text)
    mark = window.skip(_BEGIN)
    is_object, last = bool(mark["object"]), "}" if mark["object"] else "]"
    while not mark["end"]:
        if is_object:
            if not isinstance(window.value(), str):
                raise ValueError("a name is wanted")
            window.skip(_COLON)
        yield window.value()
        mark = window.skip(_BETWEEN)
    if mark["end"].strip() != last or not window.is_read:
        raise ValueError("it goes on, or ends, as something else")


class _Window:
    """What is looked at of a long text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._begin = self._at = 0
        self._seen = text[:MAX_VALUE]
        self._decoder = JSONDecoder()

    @property
    def is_read(self) -> bool:
        """Whether nothing comes any more."""
        return self._begin + self._at == len(self._text)

    def value(self) -> Any:
        """The one that comes next. :raises ValueError: none does, or it is too long."""
        try:
            value, end = self._decoder.raw_decode(self._seen, self._at)
            if end < len(self._seen):  # or it may go on: `12` is no end of `123`
                self._at = end
                return value
        except ValueError:  # it may go on behind what is seen
            pass
        self._move()
        value, self._at = self._decoder.raw_decode(self._seen)
        return value

    def skip(self, mark: re.Pattern[str]) -> re.Match[str]:
        """What stands between values. :raises ValueError: it does not."""
        is_last = self._begin + len(self._seen) == len(self._text)
        if not is_last and len(self._seen) - self._at < MAX_VALUE // 2:
            self._move()
        match = mark.match(self._seen, self._at)
        if match is None:
            raise ValueError("something else is wanted")
        self._at = match.end()
        return match

    def _move(self) -> None:
        self._begin += self._at
        self._at = 0
        self._seen = self._text[self._begin : self._begin + MAX_VALUE]

"""What is kept in memory for the next time, up to so many octets."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LRU(Generic[K, V]):
    """The values that were used last.

    :param octets: of all values together; one that would fill more than a quarter alone is not kept.
    """

    def __init__(self, octets: int) -> None:
        self._room = octets
        self._largest = octets // 4
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, size: int) -> None:
        """:param size: in octets, about."""
        _, before = self._entries.pop(key, (None, 0))
        self._room += before
        if size > self._largest:
            return
        self._entries[key] = (value, size)
        self._room -= size
        while self._room < 0:
            _, (_, oldest) = self._entries.popitem(last=False)
            self._room += oldest

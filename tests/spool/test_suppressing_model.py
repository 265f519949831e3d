"""The list of suppressed addresses against a dict: whatever is entered, removed and expires, in whatever order."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from smtprelay.spool import OPERATOR, Spool, Suppression
from smtprelay.spool.sqlite import SQLiteSpool
from tests.spool.support import NOW

T = TypeVar("T")
ADDRESSES = ["a@example.net", "A@example.net", "b@example.net", "ü@example.net", '"a b"@example.net']
TIMES = st.integers(NOW - 1, NOW + 5)
ENTRIES = st.builds(
    Suppression,
    st.sampled_from(ADDRESSES),
    st.sampled_from(["1", "2", "unsubscribed", OPERATOR]),
    TIMES,
    st.just(0) | TIMES,
    st.sampled_from(["platform news", "import"]),
    st.sampled_from(["", "550 没有此用户 'x' \"y\""]),
)


@dataclass
class Removed:
    at: int


def key(address: str) -> str:
    return address.lower()


def lasts(entry: Suppression) -> float:
    return entry.expires or float("inf")


def replaces(new: Suppression, old: Suppression | Removed | None) -> bool:
    if isinstance(old, Removed):
        return new.cause == OPERATOR or new.since > old.at
    if old is None:
        return True
    if new.cause == OPERATOR:
        return replace(new, address=old.address) != old
    if old.cause == OPERATOR:
        return lasts(new) > lasts(old)
    return (lasts(new), new.since) > (lasts(old), old.since)


class ListModel(RuleBasedStateMachine):
    spool: Spool

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.now = NOW
        self.books: dict[str, Suppression | Removed] = {}

    @initialize()
    def open(self) -> None:
        self.spool = self.run(SQLiteSpool.open(Path(self.folder.name) / "spool.db", now=self.now))

    def teardown(self) -> None:
        self.run(self.spool.close())
        self.runner.close()
        self.folder.cleanup()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    @rule(delay=st.integers(1, 2))
    def wait(self, delay: int) -> None:
        self.now += delay

    @rule()
    def restart(self) -> None:
        self.run(self.spool.close())
        self.open()

    @rule(entries=st.lists(ENTRIES, max_size=4))
    def suppress(self, entries: Sequence[Suppression]) -> None:
        changed = 0
        for entry in sorted(entries, key=lambda entry: key(entry.address)):
            if replaces(entry, self.books.get(key(entry.address))):
                self.books[key(entry.address)] = entry
                changed += 1
        assert self.run(self.spool.suppress(iter(entries))) == changed

    @rule(addresses=st.lists(st.sampled_from(ADDRESSES), unique_by=key))
    def unsuppress(self, addresses: Sequence[str]) -> None:
        there = [address for address in addresses if self.live(address)]
        for address in there:
            self.books[key(address)] = Removed(self.now)
        assert self.run(self.spool.unsuppress(addresses, self.now)) == len(there)

    @rule()
    def prune(self) -> None:
        self.run(self.spool.prune(self.now, self.now))
        self.books = {
            address: entry
            for address, entry in self.books.items()
            if isinstance(entry, Removed) or lasts(entry) > self.now
        }

    @invariant()
    def each_is_found(self) -> None:
        for address in ADDRESSES:
            assert self.run(self.spool.suppression(address, self.now)) == self.live(address)

    @invariant()
    def all_are_listed(self) -> None:
        entries = [entry for _, entry in sorted(self.books.items()) if isinstance(entry, Suppression)]
        assert self.run(self.spool.suppressions("", 10)) == entries
        assert self.run(self.spool.count_suppressions()) == Counter(entry.cause for entry in entries)

    def live(self, address: str) -> Suppression | None:
        entry = self.books.get(key(address))
        return entry if isinstance(entry, Suppression) and lasts(entry) > self.now else None


TestListModel = ListModel.TestCase
TestListModel.settings = settings(max_examples=60, stateful_step_count=20)

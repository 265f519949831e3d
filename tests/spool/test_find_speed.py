"""Searches in a history of 50,000 messages, as in one of a million: what a search touches does not grow with it.

`make history` measures the million.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Self

import pytest

from benchmarks import past
from benchmarks.history import LIMIT, SEARCHES
from smtprelay.spool import Query, State
from smtprelay.spool.sqlite import SQLiteSpool, finding, index, index_file, indexer
from smtprelay.spool.sqlite.index import Index
from tests.spool.support import NOW, indexed, opened

pytestmark = pytest.mark.slow

MESSAGES = 50_000
MOST = 100_000  # steps of SQLite's machine: to look at each message takes 5 of them at least


@asynccontextmanager
async def history(folder: Path) -> AsyncIterator[SQLiteSpool]:
    """In as many segments as a million messages have, and as few are few."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((index, "SEGMENT"), (finding, "FEW")):
            patch.setattr(module, name, getattr(module, name) * MESSAGES // 1_000_000)
        patch.setattr(indexer.Indexer, "_pause", lambda *_: None)
        past.make(folder / "spool.db", MESSAGES, NOW)
        async with opened(folder / "spool.db") as spool:
            await indexed(spool)
            yield spool


def query(words: Mapping[str, str]) -> Query:
    values: dict[str, Any] = dict(words)
    if "state" in values:
        values["state"] = State(values["state"])
    if "until" in values:
        values["until"] = NOW - MESSAGES * past.APART // 2
    return Query(**values)


class Steps:
    """Counts those of SQLite's machine on a connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.count = 0
        self._connection = connection

    def __enter__(self) -> Self:
        self._connection.set_progress_handler(self._step, 100)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.set_progress_handler(None, 0)

    def _step(self) -> int:
        self.count += 100
        return 0


async def test_every_search_is_fast_and_touches_little(tmp_path: Path) -> None:
    late, long = {}, {}
    async with history(tmp_path) as spool:
        await spool.find(Query(text="offer"), 50)
        assert spool._finder
        connection = spool._finder._connection
        assert connection
        for name, words in SEARCHES.items():
            took = []
            for _ in range(3):  # the machine may be busy with something else
                began = time.perf_counter()
                found = await spool.find(query(words), 50)
                took.append(1000 * (time.perf_counter() - began))
            if min(took) > LIMIT or (len(found.records) < 50 and found.before):
                late[name] = min(took)
            with Steps(connection) as steps:
                await spool.find(query(words), 50)
            if steps.count > MOST:
                long[name] = steps.count
    assert not late
    assert not long


async def test_at_a_start_the_ends_of_segments_tell_whether_the_index_is_of_this_spool(tmp_path: Path) -> None:
    """With a million messages each was looked at, for a third of a second that mail had to share."""
    async with history(tmp_path):
        pass
    with closing(index_file.open_for_indexing(tmp_path / "spool.db")) as connection, Steps(connection) as steps:
        assert Index(connection).is_of_this_spool()
    assert 0 < steps.count < MOST // 10

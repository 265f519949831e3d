"""Searches in a history of 50,000 messages, as in one of a million: what a search touches does not grow with it.

`make history` measures the million.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import past
from benchmarks.history import LIMIT, SEARCHES
from smtprelay.spool import Query, State
from smtprelay.spool.sqlite import SQLiteSpool, finding, index, indexer
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


async def test_every_search_is_fast_and_touches_little(tmp_path: Path) -> None:
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 100
        return 0

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
            steps = 0
            connection.set_progress_handler(step, 100)
            await spool.find(query(words), 50)
            connection.set_progress_handler(None, 0)
            if steps > MOST:
                long[name] = steps
    assert not late
    assert not long

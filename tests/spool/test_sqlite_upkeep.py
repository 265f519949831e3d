"""What goes from the file: loose bodies, old history, empty pages; and what is looked up by index."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smtprelay.spool import Selector, State
from smtprelay.spool.sqlite import SQLiteSpool, pruning
from tests.spool.support import CREDENTIAL, HOUR, NOW, TTL, execute, lease_all, message, read_body, results

MEBIBYTE = 1024 * 1024


def count(path: Path, table: str) -> int:
    ((rows,),) = execute(path, f"SELECT count(*) FROM {table}")
    return int(rows)


async def deliver_all(spool: SQLiteSpool) -> None:
    for lease in await lease_all(spool, limit=1000):
        await spool.finish(lease, NOW, results(lease))


async def test_a_body_whose_message_never_came_is_swept(sqlite_spool: SQLiteSpool, path: Path) -> None:
    """The fault: the process, or here the caller, goes away between the chunks of a body."""
    put = asyncio.create_task(sqlite_spool.put([message(content=b"x" * 25 * MEBIBYTE)]))
    while count(path, "chunks") < 3:
        await asyncio.sleep(0)
    put.cancel()
    await asyncio.gather(put, return_exceptions=True)
    kept = message(content=b"y" * MEBIBYTE)
    await sqlite_spool.put([kept])
    assert count(path, "loose_bodies") == 1
    assert await sqlite_spool.prune(NOW, NOW) == 0
    assert count(path, "loose_bodies") == 0
    assert await read_body(sqlite_spool, kept.id) == kept.content


async def test_a_body_that_is_being_written_is_not_swept(sqlite_spool: SQLiteSpool) -> None:
    original = message(content=b"x" * 10 * MEBIBYTE)
    put = asyncio.create_task(sqlite_spool.put([original]))
    while not put.done():
        await sqlite_spool.prune(NOW, NOW)
    assert await read_body(sqlite_spool, original.id) == original.content


async def test_a_large_body_is_swept_once_its_message_ended(sqlite_spool: SQLiteSpool, path: Path) -> None:
    await sqlite_spool.put([message(content=b"x" * 5 * MEBIBYTE)])
    await deliver_all(sqlite_spool)
    await sqlite_spool.prune(NOW, NOW)
    assert count(path, "chunks") == count(path, "loose_bodies") == 0


async def test_history_goes_in_slices(sqlite_spool: SQLiteSpool, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await sqlite_spool.put([message("a@example.net", "b@example.net") for _ in range(5)])
    await deliver_all(sqlite_spool)
    monkeypatch.setattr(pruning, "_SLICE", 0)
    assert [await sqlite_spool.prune(NOW + HOUR, NOW) for _ in range(5)] == [1] * 5
    for table in ("messages", "recipients", "attempts", "leases", "chunks"):
        assert count(path, table) == 0


async def test_empty_pages_go_back_to_the_disk(
    sqlite_spool: SQLiteSpool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite_spool.put([message(content=b"x" * 200_000) for _ in range(50)])
    await deliver_all(sqlite_spool)
    before = page_count(path)
    monkeypatch.setattr(pruning, "_PAGES_KEPT", 100)
    await sqlite_spool.prune(NOW, NOW)
    assert page_count(path) < before / 10


def page_count(path: Path) -> int:
    ((pages,),) = execute(path, "PRAGMA page_count")
    return int(pages)


async def test_what_runs_all_the_time_looks_up_and_never_scans(sqlite_spool: SQLiteSpool, path: Path) -> None:
    statements: list[str] = []

    def trace(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(statements.append)

    await sqlite_spool._writer.run(trace)
    await sqlite_spool._readers.run(trace)
    await sqlite_spool._readers.run(trace)
    await sqlite_spool.put([message("a@example.net", "b@example.net", content=b"x" * MEBIBYTE), message()])
    leases = await lease_all(sqlite_spool)
    await sqlite_spool.reclaim(NOW + TTL, TTL, 10)
    await sqlite_spool.next_due([CREDENTIAL])
    await sqlite_spool.hold(Selector(ids=(leases[0].message.id,)), NOW, "operator")
    await sqlite_spool.cancel(Selector(to="*@example.net"), NOW)
    for lease in await sqlite_spool.reclaim(NOW + 2 * TTL, TTL, 10):
        await sqlite_spool.finish(lease, NOW, results(lease, State.QUEUED, next_at=NOW))
    await sqlite_spool.prune(NOW + 1, NOW)

    plans = {statement: plan(path, statement) for statement in statements}
    small = ("SCAN leases", "SCAN loose_bodies", "SCAN json_each", "SCAN CONSTANT ROW")
    scans = {
        statement: steps
        for statement, steps in plans.items()
        if any(step.startswith("SCAN") and not step.startswith(small) for step in steps)
    }
    assert len(plans) > 20
    assert not scans


async def test_a_key_is_looked_up_and_not_searched_for(sqlite_spool: SQLiteSpool) -> None:
    """With its values bound, SQLite sees less than in a statement that has them written out: so steps are counted."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    def watch(connection: sqlite3.Connection) -> None:
        connection.set_progress_handler(step, 1)

    await sqlite_spool.put([message(idempotency_key=f"key {n}") for n in range(500)])
    await sqlite_spool._readers.run(watch)
    await sqlite_spool._readers.run(watch)
    for _ in range(2):
        assert len(await sqlite_spool.with_key(message().origin.key, "key 250")) == 1
    assert 0 < steps < 500
    await sqlite_spool._writer.run(watch)
    await sqlite_spool.put([message(idempotency_key="key 250")])
    assert steps < 1000


def plan(path: Path, statement: str) -> list[Any]:
    if not statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
        return []
    with closing(sqlite3.connect(path)) as connection:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]

"""The writer thread: one commit for all that wait, one failure for one caller."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from smtprelay.spool import Selector, SpoolError, SpoolFull, State
from smtprelay.spool.sqlite import SQLiteSpool
from tests.spool.support import NOW, lease_all, message, read_body, results, states

MEBIBYTE = 1024 * 1024


async def pragma(spool: SQLiteSpool, statement: str) -> Any:
    return await spool._writer.run(lambda connection: connection.execute(f"PRAGMA {statement}").fetchone()[0])


@asynccontextmanager
async def writer_busy(spool: SQLiteSpool) -> AsyncIterator[None]:
    """Inside, operations pile up; at the end they are carried out, in one group."""
    begun, gate = threading.Event(), threading.Event()

    def block(_: object) -> None:
        begun.set()
        gate.wait()

    blocked = asyncio.create_task(spool._writer.run(block))
    await asyncio.to_thread(begun.wait)
    try:
        yield
    finally:
        await asyncio.sleep(0)  # what was started has reached the queue
        gate.set()
        await blocked


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """A disk that takes no more: writes beyond this size fail with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_commit_is_on_the_disk_when_it_returns(sqlite_spool: SQLiteSpool) -> None:
    assert await pragma(sqlite_spool, "journal_mode") == "wal"
    assert await pragma(sqlite_spool, "synchronous") == 2  # FULL
    assert await pragma(sqlite_spool, "auto_vacuum") == 2  # INCREMENTAL
    assert await pragma(sqlite_spool, "foreign_keys") == 1


async def test_nothing_of_sqlite_runs_in_the_thread_of_the_loop(sqlite_spool: SQLiteSpool) -> None:
    threads: set[int] = set()

    def trace(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(lambda _: threads.add(threading.get_ident()))

    await sqlite_spool._writer.run(trace)
    await sqlite_spool._readers.run(trace)
    await sqlite_spool._readers.run(trace)
    await sqlite_spool.put([message(content=b"x" * MEBIBYTE)])
    for lease in await lease_all(sqlite_spool):
        await read_body(sqlite_spool, lease.message.id)
        await sqlite_spool.finish(lease, NOW, results(lease))
    await sqlite_spool.hold(Selector(), NOW, "operator")
    await sqlite_spool.stats()
    await sqlite_spool.prune(NOW, NOW)
    assert threads
    assert threading.get_ident() not in threads


async def test_all_that_wait_share_one_commit(sqlite_spool: SQLiteSpool) -> None:
    before = sqlite_spool._writer.commits
    async with writer_busy(sqlite_spool):
        puts = [asyncio.create_task(sqlite_spool.put([message()])) for _ in range(100)]
    await asyncio.gather(*puts)
    assert sqlite_spool._writer.commits - before == 2  # the one that kept it busy, and theirs


async def test_one_that_fails_leaves_the_rest_of_its_group(sqlite_spool: SQLiteSpool) -> None:
    first, second = message(), message()
    async with writer_busy(sqlite_spool):
        puts = [asyncio.create_task(sqlite_spool.put([one])) for one in (first, first, second)]
    stored, refused, stored_too = await asyncio.gather(*puts, return_exceptions=True)
    assert (stored, stored_too) == ([first.id], [second.id])
    assert isinstance(refused, SpoolError)
    assert {lease.message.id for lease in await lease_all(sqlite_spool)} == {first.id, second.id}


async def test_a_caller_that_gives_up_does_not_stop_its_operation(sqlite_spool: SQLiteSpool) -> None:
    original = message()
    async with writer_busy(sqlite_spool):
        put = asyncio.create_task(sqlite_spool.put([original]))
        await asyncio.sleep(0)
        put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    await sqlite_spool.remember("order", "kept")  # comes after it in the queue
    assert await states(sqlite_spool, original.id) == [State.QUEUED]


async def test_a_large_message_delays_nobody(sqlite_spool: SQLiteSpool) -> None:
    large = asyncio.create_task(sqlite_spool.put([message(content=b"x" * 25 * MEBIBYTE)]))
    for _ in range(10):
        await sqlite_spool.put([message()])
    assert not large.done()
    await large


async def test_what_does_not_fit_on_a_full_disk_does_not_take_along_what_does(sqlite_spool: SQLiteSpool) -> None:
    before = message(content=b"a" * 1000)
    await sqlite_spool.put([before])
    await pragma(sqlite_spool, f"max_page_count = {await pragma(sqlite_spool, 'page_count') + 8}")
    small, large, small_too = message(), message(content=b"b" * 200_000), message()
    async with writer_busy(sqlite_spool):
        puts = [asyncio.create_task(sqlite_spool.put([one])) for one in (small, large, small_too)]
    stored, refused, stored_too = await asyncio.gather(*puts, return_exceptions=True)
    assert (stored, stored_too) == ([small.id], [small_too.id])
    assert isinstance(refused, SpoolFull)
    assert await sqlite_spool.show(large.id) is None
    assert await read_body(sqlite_spool, before.id) == before.content

    await pragma(sqlite_spool, "max_page_count = 1000000")
    await sqlite_spool.put([large])
    assert await read_body(sqlite_spool, large.id) == large.content


async def test_a_large_body_that_did_not_fit_makes_room_and_can_be_put_again(sqlite_spool: SQLiteSpool) -> None:
    await pragma(sqlite_spool, f"max_page_count = {await pragma(sqlite_spool, 'page_count') + 300}")
    large = message(content=b"b" * 2 * MEBIBYTE)
    with pytest.raises(SpoolFull, match="Free some space"):
        await sqlite_spool.put([large])
    assert await sqlite_spool.prune(NOW, NOW) == 0
    fits = message(content=b"c" * MEBIBYTE)
    await sqlite_spool.put([fits])
    await pragma(sqlite_spool, "max_page_count = 1000000")
    await sqlite_spool.put([large])
    assert await read_body(sqlite_spool, large.id) == large.content
    assert await read_body(sqlite_spool, fits.id) == fits.content


async def test_a_commit_that_the_disk_refuses_fails_for_all_and_stores_nothing(
    sqlite_spool: SQLiteSpool, path: Path
) -> None:
    kept, lost = message(content=b"a" * 5000), [message(content=b"b" * 50_000) for _ in range(3)]
    await sqlite_spool.put([kept])
    with files_limited_to(path.with_name("spool.db-wal").stat().st_size + 10_000):
        async with writer_busy(sqlite_spool):
            puts = [asyncio.create_task(sqlite_spool.put([one])) for one in lost]
        assert {type(error) for error in await asyncio.gather(*puts, return_exceptions=True)} == {SpoolError}
    for one in lost:
        assert await sqlite_spool.show(one.id) is None
    assert await read_body(sqlite_spool, kept.id) == kept.content
    await sqlite_spool.put(lost)
    assert await read_body(sqlite_spool, lost[0].id) == lost[0].content


async def test_close_carries_out_what_waits_and_then_takes_nothing(path: Path) -> None:
    spool = await SQLiteSpool.open(path, now=NOW)
    put = asyncio.create_task(spool.put([message()]))
    await asyncio.sleep(0)
    await spool.close()
    await spool.close()
    assert await put
    for late in (spool.put([message()]), spool.stats()):
        with pytest.raises(SpoolError, match="closed"):
            await late
    assert path.with_name("spool.db-wal").exists() is False  # all of it is in the one file


async def test_a_finish_beside_puts_is_in_their_group(sqlite_spool: SQLiteSpool) -> None:
    await sqlite_spool.put([message() for _ in range(10)])
    leases = await lease_all(sqlite_spool)
    before = sqlite_spool._writer.commits
    async with writer_busy(sqlite_spool):
        tasks = [asyncio.create_task(sqlite_spool.finish(lease, NOW, results(lease))) for lease in leases]
        put = asyncio.create_task(sqlite_spool.put([message()]))
    await asyncio.gather(*tasks, put)
    assert sqlite_spool._writer.commits - before == 2

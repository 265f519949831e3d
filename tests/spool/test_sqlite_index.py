"""SQLite's index of words: how it is kept, how it follows the spool, what becomes of it when it is lost."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smtprelay.spool import Query, Selector, State
from smtprelay.spool.matching import Wanted
from smtprelay.spool.sqlite import SQLiteSpool, finding, index, index_file, indexer
from smtprelay.spool.sqlite.index import Index
from smtprelay.spool.sqlite.indexer import Indexer
from tests.spool.support import HOUR, NOW, execute, indexed, lease_all, message, opened, results


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "LINGER", 0.0)


def in_index(path: Path) -> set[str]:
    """The ids in the index's file, all as of one moment: segments come and go."""
    with closing(sqlite3.connect(index_file.path_of(path), timeout=5, isolation_level=None)) as file:
        file.execute("BEGIN")
        segments = [n for (n,) in file.execute("SELECT n FROM segments").fetchall()]
        return {message_id for n in segments for (message_id,) in file.execute(f"SELECT id FROM ids_{n}")}


async def subjects(spool: SQLiteSpool, text: str = "offer") -> list[str]:
    found = await spool.find(Query(text=text), 100)
    assert found.before == ""
    return [record.message.subject for record in found.records]


async def put(spool: SQLiteSpool, *numbers: int) -> None:
    """Offers; the number is the time."""
    await spool.put([message(subject=f"Offer {n}", now=NOW + n) for n in numbers])


def offers(*numbers: int) -> list[str]:
    return [f"Offer {n}" for n in numbers]


async def test_what_was_there_before_is_added_little_by_little(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: an upgrade, or an index that was removed; and the process ends while it is made."""
    monkeypatch.setattr(indexer, "SLICE", 2)
    async with opened(path) as spool:
        await put(spool, *range(7))
        await indexed(spool)
    index_file.discard(path)
    with closing(index_file.open_for_indexing(path)) as connection:
        words = Index(connection)
        assert words.grow(2)
        assert words.grow(2)
        assert words.floor != ""
    assert len(in_index(path)) == 4
    async with opened(path) as spool:
        assert await subjects(spool) == offers(6, 5, 4, 3, 2, 1, 0), "what is missing yet is walked through"
        await indexed(spool)
        assert len(in_index(path)) == 7


async def test_what_a_process_did_not_come_to_the_next_one_adds(path: Path) -> None:
    """The fault: SIGKILL between the commit of mail and the index's own."""
    async with opened(path) as spool:
        await put(spool, 1, 2)
        await indexed(spool)
    index_of_then = index_file.path_of(path).read_bytes()
    async with opened(path) as spool:
        await indexed(spool)
        await put(spool, 3, 0)
        await indexed(spool)
    index_file.discard(path)
    index_file.path_of(path).write_bytes(index_of_then)
    assert len(in_index(path)) == 2
    async with opened(path) as spool:
        await indexed(spool)
        assert len(in_index(path)) == 4
        assert await subjects(spool) == offers(3, 2, 1, 0)


async def test_a_clock_that_was_set_back_loses_nothing(path: Path) -> None:
    """The fault: ids are older than those before them by a day, and the process is killed."""
    day = 24 * HOUR
    async with opened(path) as spool:
        await put(spool, 2 * day)
        await indexed(spool)
        await put(spool, day)
        await indexed(spool)
    then = index_file.path_of(path).read_bytes()
    async with opened(path) as spool:
        await put(spool, day + 1)
        await indexed(spool)
    index_file.discard(path)
    index_file.path_of(path).write_bytes(then)
    async with opened(path) as spool:
        await indexed(spool)
        assert len(in_index(path)) == 3
        assert await subjects(spool) == offers(2 * day, day + 1, day)


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 500, None])
async def test_a_damaged_index_is_made_anew(
    path: Path, damage: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(path) as spool:
        await put(spool, *range(50))
        await indexed(spool)
    file = index_file.path_of(path)
    if damage is None:  # pages in the middle
        with file.open("r+b") as stream:
            stream.seek(2 * 4096)
            stream.write(b"\x5a" * (file.stat().st_size - 2 * 4096))
    else:
        file.write_bytes(damage)
    async with opened(path) as spool:
        assert await subjects(spool) == offers(*reversed(range(50)))
        await indexed(spool)
        assert await subjects(spool) == offers(*reversed(range(50)))
        assert len(in_index(path)) == 50
    if damage != b"":
        assert "is damaged, and made anew" in capsys.readouterr().out


async def test_an_index_that_breaks_under_a_search_is_made_anew(
    sqlite_spool: SQLiteSpool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: SQLite finds a page damaged in the middle of a search."""
    await put(sqlite_spool, *range(5))
    await indexed(sqlite_spool)

    def broken(*_: Any) -> Iterator[Any]:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(finding.Search, "_by_words", broken)
        assert await subjects(sqlite_spool) == offers(4, 3, 2, 1, 0)
    covered = sqlite_spool._indexer.covered()
    assert covered is None or covered.generation == 2
    await indexed(sqlite_spool)
    assert await subjects(sqlite_spool) == offers(4, 3, 2, 1, 0)


async def test_the_index_of_another_spool_is_made_anew(path: Path, tmp_path: Path) -> None:
    """The fault: a spool is moved to a host where another one was, and the old index stays."""
    other = tmp_path / "other" / "spool.db"
    other.parent.mkdir()
    for place, numbers in ((path, (1, 2)), (other, (3, 4))):
        async with opened(place) as spool:
            await put(spool, *numbers)
            await indexed(spool)
            await put(spool, *(n + 2 * HOUR for n in numbers))
            await indexed(spool)
    shutil.copy(index_file.path_of(other), index_file.path_of(path))
    async with opened(path) as spool:
        await indexed(spool)
        assert await subjects(spool) == offers(2 + 2 * HOUR, 1 + 2 * HOUR, 2, 1)


async def test_an_index_of_another_format_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as spool:
        await put(spool, 1)
        await indexed(spool)
    monkeypatch.setattr(index_file, "FORMAT", 1000)
    async with opened(path) as spool:
        await indexed(spool)
        assert await subjects(spool) == offers(1)
    assert execute(index_file.path_of(path), "PRAGMA user_version") == [(1000,)]


async def test_mail_goes_on_where_the_index_cannot_be_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: what stands in its place cannot be opened. Once it can, everything gets in."""
    monkeypatch.setattr(indexer, "RETRY", 0.01)
    file = index_file.path_of(path)
    file.mkdir()
    failures: list[Exception] = []
    recover = Indexer._recover

    def recovering(self: Indexer, error: Exception) -> None:
        failures.append(error)
        recover(self, error)

    monkeypatch.setattr(Indexer, "_recover", recovering)
    async with opened(path) as spool:
        await put(spool, 1)
        assert await subjects(spool) == offers(1)
        await put(spool, 2)
        async with asyncio.timeout(10):
            while not failures:
                await asyncio.sleep(0.005)
        file.rmdir()
        await indexed(spool)
        assert await subjects(spool) == offers(2, 1)


async def test_an_index_that_cannot_be_kept_takes_no_memory_for_what_is_put(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: a file of root's, say, for days, while a million messages a day come. They will be found missing."""
    monkeypatch.setattr(indexer, "RETRY", 0.01)
    index_file.path_of(path).mkdir()
    async with opened(path) as spool:
        await put(spool, 1)
        async with asyncio.timeout(10):
            while not spool._indexer._failed_at > 0:
                await asyncio.sleep(0.005)
        await put(spool, 2, 3)
        assert not spool._indexer._pending


async def test_an_import_that_fails_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: no descriptor is left when the first message comes."""
    monkeypatch.setattr(indexer, "RETRY", 0.01)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "smtprelay.spool.sqlite.index", None)
        spool = await SQLiteSpool.open(path, now=NOW)
        await put(spool, 1)
        async with asyncio.timeout(10):
            while not spool._indexer._failed_at > 0:
                await asyncio.sleep(0.005)
    await indexed(spool)
    assert await subjects(spool) == offers(1)
    await spool.close()


async def test_what_the_spool_has_dropped_is_not_found_and_goes(
    sqlite_spool: SQLiteSpool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SEGMENT", 2)
    await put(sqlite_spool, *range(6))
    await indexed(sqlite_spool)
    assert len(execute(index_file.path_of(path), "SELECT * FROM segments")) >= 3
    for lease in (await lease_all(sqlite_spool, NOW + 4))[:5]:
        await sqlite_spool.finish(lease, NOW + lease.message.received_at - NOW, results(lease))
    await sqlite_spool.prune(NOW + 5, NOW)
    assert await subjects(sqlite_spool) == offers(5)
    while await sqlite_spool.prune(NOW + 5, NOW):
        pass
    async with asyncio.timeout(10):
        while len(in_index(path)) > 2:
            await asyncio.sleep(0.005)
    assert await subjects(sqlite_spool) == offers(5)
    await put(sqlite_spool, 6)
    await indexed(sqlite_spool)
    assert await subjects(sqlite_spool) == offers(6, 5)


async def test_a_message_that_is_damaged_does_not_keep_the_others_out(path: Path) -> None:
    async with opened(path) as spool:
        await put(spool, 1, 2, 3)
    execute(path, "UPDATE messages SET tags = 'no JSON' WHERE subject = 'Offer 2'")
    async with opened(path) as spool:
        await indexed(spool)
        assert await subjects(spool) == offers(3, 1)
        assert len(in_index(path)) == 3


async def test_a_search_ends_in_time_and_goes_on(sqlite_spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "BUDGET", 0.0)
    monkeypatch.setattr(finding, "PAGE", 4)
    sqlite_spool._indexer.close()
    await put(sqlite_spool, *range(20))
    before, calls = "", 0
    while before or not calls:
        found = await sqlite_spool.find(Query(text="nowhere"), 10, before)
        assert found.records == ()
        before, calls = found.before, calls + 1
    assert 5 <= calls <= 22


async def test_what_most_of_has_another_state_is_found_among_the_others(
    sqlite_spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frequent word, and a state that is rare where the word is, yet not rare as a whole."""
    for name in ("FEW", "RARE"):
        monkeypatch.setattr(finding, name, 1)
    await put(sqlite_spool, *range(60))
    held = [message(subject="Other", now=NOW + 100 + n, hold="operator") for n in range(5)]
    await sqlite_spool.put(held)
    oldest = (await sqlite_spool.search(Selector(), 100))[-3:]
    await sqlite_spool.hold(Selector(ids=tuple(record.message.id for record in oldest)), NOW, "operator")
    await indexed(sqlite_spool)
    found = await sqlite_spool.find(Query(text="offer", state=State.HELD), 1)
    assert [record.message.subject for record in found.records] == offers(2)
    found = await sqlite_spool.find(Query(text="offer", state=State.HELD), 3, found.before)
    assert [record.message.subject for record in found.records] == offers(1, 0)


async def test_a_delivery_reads_its_body_while_somebody_searches(
    sqlite_spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: searches take all the threads that read."""
    large = message(content=b"x" * 300_000)
    await sqlite_spool.put([large])
    waiting, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*_: Any) -> bool:
        loop.call_soon_threadsafe(waiting.set)
        return asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)

    monkeypatch.setattr(Wanted, "fits", slow)
    searches = [asyncio.create_task(sqlite_spool.find(Query(), 10)) for _ in range(5)]
    await waiting.wait()
    assert b"".join([chunk async for chunk in sqlite_spool.body(large.id)]) == large.content
    go_on.set()
    await asyncio.gather(*searches)


async def test_an_index_is_not_begun_for_a_process_that_only_looks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "LINGER", 60.0)
    began = time.monotonic()
    async with opened(path) as spool:
        await put(spool, 1)
    assert not index_file.path_of(path).exists()
    assert time.monotonic() - began < 30


async def test_nobody_else_can_read_it(sqlite_spool: SQLiteSpool, path: Path) -> None:
    await put(sqlite_spool, 1)
    await indexed(sqlite_spool)
    assert index_file.path_of(path).stat().st_mode & 0o777 == 0o600

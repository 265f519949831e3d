"""The spool's file: who may open it, how it is brought up to date, and what is said when it is damaged."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from smtprelay.spool import BodyCorrupt, Fate, Query, Selector, SpoolError, State, Suppression
from smtprelay.spool.sqlite import SQLiteSpool, rows, schema
from tests.spool.support import (
    NOW,
    TTL,
    as_handed_out,
    execute,
    execute_without_types,
    found,
    indexed,
    lease_all,
    lease_one,
    message,
    opened,
    read_body,
    results,
    shown,
    states,
)

MEBIBYTE = 1024 * 1024


async def put_and_close(path: Path, count: int = 1) -> list[str]:
    async with opened(path) as spool:
        return await spool.put([message() for _ in range(count)])


def scribble(file: Path, at: int, garbage: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(garbage)


async def test_files_are_for_their_owner_only(sqlite_spool: SQLiteSpool, path: Path) -> None:
    await sqlite_spool.put([message()])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["spool.db", "spool.db-wal", "spool.db-shm", "spool.lock"], 0o600)


async def test_a_second_process_is_locked_out(sqlite_spool: SQLiteSpool, path: Path) -> None:
    with pytest.raises(SpoolError, match=rf"pid {os.getpid()}\)"):
        await SQLiteSpool.open(path, now=NOW)


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="nowhere does not exist"):
        await SQLiteSpool.open(tmp_path / "nowhere" / "spool.db", now=NOW)


async def test_leases_of_the_last_process_run_out_at_open(path: Path) -> None:
    await put_and_close(path)
    async with opened(path) as spool:
        await lease_all(spool)
    async with opened(path, NOW + 1) as spool:
        assert len(await spool.reclaim(NOW + 1, TTL, 10)) == 1


async def test_a_newer_schema_is_refused(path: Path) -> None:
    await put_and_close(path)
    execute(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    for _ in range(2):  # the lock is not kept
        with pytest.raises(SpoolError, match="schema 99"):
            await SQLiteSpool.open(path, now=NOW)
    assert path.read_bytes() == before


async def test_the_database_of_another_program_is_refused(path: Path) -> None:
    execute(path, "CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(SpoolError, match="another program's"):
        await SQLiteSpool.open(path, now=NOW)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "garbled",
    [
        (b"CREATE TABLE facts", b"CREATE TABXE facts"),
        (b"value TEXT NOT NULL", b"valxe TEXT NOT NULL"),
        (b"CREATE INDEX queued", b"CREATE INDEX qu\xffued"),
        (b"subject      TEXT", b"sub\xffect      TEXT"),
    ],
    ids=["keyword", "column", "index", "utf-8"],
)
async def test_a_garbled_schema_is_told(path: Path, garbled: tuple[bytes, bytes]) -> None:
    """The fault: an IndexError, or a UnicodeDecodeError, and a traceback."""
    await put_and_close(path)
    path.write_bytes(path.read_bytes().replace(*garbled))
    for _ in range(2):  # the lock is not kept
        with pytest.raises(SpoolError, match=r"damaged .*\.recover"):
            await SQLiteSpool.open(path, now=NOW)


async def test_a_migration_copies_first_and_is_completed_after_a_crash(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: it crashes after the copy, half way through the script; a copy is left half done by another crash."""
    ids = await put_and_close(path)
    add_column = "ALTER TABLE messages ADD COLUMN tag TEXT NOT NULL DEFAULT ''"
    released = schema.MIGRATIONS
    next_one = len(released) + 1
    path.with_name(f"spool.db.before-{next_one}.partial").write_bytes(b"half a copy")
    monkeypatch.setattr(schema, "MIGRATIONS", (*released, f"{add_column}; SELECT crash()"))
    with pytest.raises(SpoolError, match="no such function: crash"):
        await SQLiteSpool.open(path, now=NOW)
    assert execute(path, "PRAGMA user_version") == [(len(released),)]

    monkeypatch.setattr(schema, "MIGRATIONS", (*released, add_column))
    async with opened(path) as spool:
        assert (await lease_all(spool))[0].message.id == ids[0]
    assert execute(path, "SELECT tag FROM messages") == [("",)]
    copy = path.with_name(f"spool.db.before-{next_one}")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert execute(copy, "PRAGMA user_version") == [(len(released),)]
    assert execute(copy, "SELECT id FROM messages") == [(ids[0],)]


async def test_a_new_file_is_not_copied(path: Path) -> None:
    await put_and_close(path)
    assert not list(path.parent.glob("*.before-*"))


def go_back(path: Path, version: int) -> None:
    """Undo migrations."""
    if version < 6:
        execute(path, "DROP TABLE damaged")
        for index in ("queued", "sending", "held"):
            [old] = (line for line in schema.MIGRATIONS[0].splitlines() if line.startswith(f"CREATE INDEX {index} "))
            execute(path, f"DROP INDEX {index}")
            execute(path, old)
    columns = {"selectors": 2, "author_domain": 2, "tags": 3, "changes": 4, "bulk": 5}
    tables = {"events": 4, "suppressions": 5, "fates": 5}
    for column in (name for name, since in columns.items() if since > version):
        execute(path, f"ALTER TABLE messages DROP COLUMN {column}")
    for table in (name for name, since in tables.items() if since > version):
        execute(path, f"DROP TABLE {table}")
    execute(path, f"PRAGMA user_version = {version}")


async def test_mail_of_the_first_schema_is_delivered_by_this_one(path: Path) -> None:
    """It does not tell with which keys it was signed, nor the domain of its author."""
    sent = message(domain="example.com")
    async with opened(path) as spool:
        await spool.put([sent])
    go_back(path, 1)
    async with opened(path) as spool:
        [lease] = await lease_all(spool)
    assert (lease.message.id, lease.message.domain) == (sent.id, "example.com")
    assert (lease.message.selectors, lease.message.author_domain) == ((), "")
    assert [copy.name for copy in path.parent.glob("*.before-*")] == ["spool.db.before-2"], "one, not one for each step"


async def test_a_spool_from_before_suppression_has_an_empty_list(path: Path) -> None:
    waiting, delivered = message(now=NOW + 1), message()
    async with opened(path) as spool:
        await spool.put([waiting, delivered])
        lease = await lease_one(spool)
        await spool.finish(lease, NOW, results(lease))
    go_back(path, 4)
    async with opened(path) as spool:
        assert await spool.count_suppressions() == {}
        [lease] = await lease_all(spool, NOW + 1)
        assert lease.message == as_handed_out(waiting)
        entry = Suppression("bob@example.net", "1", NOW)
        assert (await spool.suppress([entry]), await spool.report([Fate("bob@example.net", NOW, "1")])) == (1, 1)
        assert (await shown(spool, delivered.id)).recipients[0].fate
    async with opened(path) as spool:
        assert await spool.suppression("bob@example.net", NOW) == entry
    assert path.with_name("spool.db.before-5").exists()


async def test_what_is_damaged_is_not_brought_up_to_date(path: Path) -> None:
    """A new index reads all of its table. The fault: what could be used all the same, by the version before, was not
    told."""
    await put_and_close(path)
    go_back(path, 5)
    execute(path, "VACUUM")
    ((root,),) = execute(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'recipients'")
    scribble(path, (root - 1) * 4096, b"\x13" * 4096)
    before = path.read_bytes()
    for _ in range(2):  # the lock is not kept
        with pytest.raises(SpoolError, match=r"stays at schema 5, .* nothing was changed.*\.recover"):
            await SQLiteSpool.open(path, now=NOW)
    assert path.read_bytes() == before


KILLED_AT_THE_LAST_STEP = """
import asyncio, os, signal, sys
from pathlib import Path
from smtprelay.spool.sqlite import SQLiteSpool, file, schema

connect = file._connect
def with_a_death(path, mode):
    connection = connect(path, mode)
    connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
    return connection

file._connect = with_a_death
schema.MIGRATIONS = (*schema.MIGRATIONS[:5], schema.MIGRATIONS[5] + "; SELECT die()", *schema.MIGRATIONS[6:])
asyncio.run(SQLiteSpool.open(Path(sys.argv[1]), now=1))
"""


async def test_the_covering_indices_are_made_at_the_next_start_where_the_first_was_killed(path: Path) -> None:
    async with opened(path) as spool:
        delivered, sending, queued, held = await spool.put(
            [message(now=NOW + n, hold="dns" if n == 3 else "") for n in range(4)]
        )
        first, _ = await lease_all(spool, NOW + 1)
        await spool.finish(first, NOW + 1, results(first))
    go_back(path, 5)
    before = execute(path, "SELECT sql FROM sqlite_schema ORDER BY name")
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_LAST_STEP, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
    assert execute(path, "PRAGMA user_version") == [(5,)]
    assert execute(path, "SELECT sql FROM sqlite_schema ORDER BY name") == before
    async with opened(path, NOW + 2) as spool:
        assert await states(spool, delivered) == [State.DELIVERED]
        assert [lease.message.id for lease in await spool.reclaim(NOW + 2, TTL, 10)] == [sending]
        assert [lease.message.id for lease in await lease_all(spool, NOW + 2)] == [queued]
        assert await states(spool, held) == [State.HELD]
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]
    assert execute(path, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]


async def test_a_file_with_a_garbled_header_is_left_alone(path: Path) -> None:
    await put_and_close(path)
    scribble(path, 0, os.urandom(100))
    before = path.read_bytes()
    with pytest.raises(SpoolError, match=r"damaged .*not a database.* nothing was changed.*\.recover.*empty file"):
        await SQLiteSpool.open(path, now=NOW)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage", ["repairs = '{'", "repairs = '7'", "subject = CAST(x'ff' AS TEXT)"], ids=["json", "type", "utf-8"]
)
async def test_a_message_that_cannot_be_read_is_set_aside(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = await put_and_close(path, 2)
    execute(path, f"UPDATE messages SET {damage} WHERE id = ?", (broken,))
    async with opened(path) as spool:
        assert [lease.message.id for lease in await lease_all(spool)] == [whole]
        assert f"message {broken} is damaged" in caplog.text
        assert (await spool.stats()).held == {"corrupt": 1}
        assert {record.message.id for record in await spool.search(Selector(), 10)} == {broken, whole}
        assert {record.message.id for record in await found(spool, Query())} == {broken, whole}
        assert (await shown(spool, broken)).message.subject.startswith("(damaged")


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("messages", "selectors = NULL WHERE id"),
        ("messages", "subject = NULL WHERE id"),
        ("messages", "recipients = NULL, sender = NULL WHERE id"),
        ("messages", "subject = x'ff' WHERE id"),
        ("messages", "tags = '[7]' WHERE id"),
        ("recipients", "address = NULL WHERE message"),
        ("recipients", "state = 'lost' WHERE message"),
    ],
)
async def test_what_is_no_value_hides_nothing_else(path: Path, table: str, damage: str) -> None:
    """The fault: a search failed; or nobody could lease any more, and the error ended the daemon."""
    broken, whole = await put_and_close(path, 2)
    execute_without_types(path, table, f"UPDATE {table} SET {damage} = '{broken}'")
    async with opened(path) as spool:
        for query in (Query(), Query(text="example"), Query(state=State.QUEUED, text="example")):
            assert whole in {record.message.id for record in await found(spool, query)}
        await indexed(spool)
        assert whole in {record.message.id for record in await found(spool, Query(text="example"))}
        assert {record.message.id for record in await spool.search(Selector(), 10)} == {broken, whole}
        leased = [lease.message.id for lease in await lease_all(spool)]
        assert whole in leased
        assert (await spool.waiting(NOW)).recipients[State.SENDING] == len(leased)


async def test_recipients_whose_message_is_gone_are_set_aside(path: Path) -> None:
    """As a recovered file may have them."""
    gone, whole = await put_and_close(path, 2)
    execute(path, "DELETE FROM messages WHERE id = ?", (gone,))
    async with opened(path) as spool:
        assert [lease.message.id for lease in await lease_all(spool)] == [whole]
        assert (await spool.stats()).held == {"corrupt": 1}


async def test_a_fault_of_ours_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: mail was held as corrupt for a slip in the code that reads rows."""
    await put_and_close(path)
    monkeypatch.setattr(rows, "Message", lambda **fields: fields.nothing)
    async with opened(path) as spool:
        with pytest.raises(AttributeError):
            await lease_all(spool)
        assert (await spool.waiting(NOW)).held == {}


async def test_a_lease_that_cannot_be_read_any_more_is_set_aside(path: Path) -> None:
    ids = await put_and_close(path, 2)
    async with opened(path) as spool:
        await lease_all(spool)
    execute(path, "UPDATE messages SET repairs = '{' WHERE id = ?", (ids[0],))
    async with opened(path) as spool:
        assert [lease.message.id for lease in await spool.reclaim(NOW, TTL, 10)] == [ids[1]]
        assert await spool.reclaim(NOW, TTL, 10) == []
        assert (await spool.stats()).recipients[State.SENDING] == 1


@pytest.mark.parametrize(
    ("damage", "good"),
    [
        ("UPDATE chunks SET data = zeroblob(length(data)) WHERE n = 1", 1),
        ("DELETE FROM chunks WHERE n = 2", 2),
        ("DELETE FROM chunks", 0),
        ("UPDATE messages SET size = size - 1", 2),
        ("UPDATE messages SET size = size + 1", 2),
    ],
    ids=["garbled", "last missing", "all missing", "too long", "too short"],
)
async def test_a_body_that_is_not_what_was_written_is_told_before_its_bad_chunk(
    path: Path, damage: str, good: int
) -> None:
    original = message(content=os.urandom(3 * 256 * 1024 - 5))
    async with opened(path) as spool:
        await spool.put([original])
    execute(path, damage)
    async with opened(path) as spool:
        read = []
        with pytest.raises(BodyCorrupt):  # noqa: PT012
            async for chunk in spool.body(original.id):
                read.append(chunk)
        assert len(read) == good
        assert await states(spool, original.id) == [State.QUEUED]


async def test_a_body_on_a_broken_page_is_corrupt(path: Path) -> None:
    """The fault: a page of the body no longer says where the next one is."""
    broken, whole = message(content=b"broken.." * 5000), message()
    async with opened(path) as spool:
        await spool.put([broken, whole])
    page = path.read_bytes().index(b"broken.." * 500) // 4096
    scribble(path, page * 4096, b"\xff" * 4)
    async with opened(path) as spool:
        with pytest.raises(BodyCorrupt):
            await read_body(spool, broken.id)
        assert await read_body(spool, whole.id) == whole.content


@pytest.mark.parametrize("fault", ["torn", "garbled"])
async def test_a_torn_log_loses_only_what_was_not_committed(
    sqlite_spool: SQLiteSpool, path: Path, tmp_path: Path, fault: str
) -> None:
    """The fault: power fails while a commit is written; its last pages are missing or are not what was written."""
    log = path.with_name("spool.db-wal")
    first, second, torn = (message(content=bytes([n]) * 20_000) for n in b"abc")
    await sqlite_spool.put([first])
    await sqlite_spool.put([second])
    committed = log.stat().st_size
    await sqlite_spool.put([torn])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in (path, log):
        shutil.copy(file, crashed)
    if fault == "torn":
        os.truncate(crashed / log.name, log.stat().st_size - 5000)
    else:
        scribble(crashed / log.name, committed + 9000, b"\x00" * 4096)

    async with opened(crashed / path.name) as recovered:
        for original in (first, second):
            assert await read_body(recovered, original.id) == original.content
        assert await recovered.show(torn.id) is None
        await recovered.put([torn])

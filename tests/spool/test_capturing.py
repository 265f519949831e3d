"""What is captured: whose credential it waits for does not matter, its body stays, and goes with the history."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from smtprelay.spool import Due, Selector, Spool, SpoolError, State
from smtprelay.spool.sqlite import SQLiteSpool, capturing
from tests.spool.support import (
    HOUR,
    NOW,
    execute,
    execute_without_types,
    lease_all,
    lease_one,
    message,
    opened,
    read_body,
    results,
    shown,
    states,
)
from tests.spool.test_sqlite_file import scribble
from tests.spool.test_sqlite_upkeep import count, plan

MEBIBYTE = 2**20


async def capture(spool: Spool, *addresses: str, now: int = NOW, since: int = 0) -> list[Due]:
    """Capture what goes to these addresses; without them, everything."""
    kept = spool.capture(now, since, lambda due: "kept here" * (not addresses or due.recipient in addresses))
    return [due async for due in kept]


async def test_it_needs_no_credential(spool: Spool) -> None:
    """The fault: on a test system those of the production spool are not configured."""
    messages = [message(credential=name) for name in ("news", "gone", "news", "zzz")]
    await spool.put(messages)
    assert {due.message for due in await capture(spool)} == {one.id for one in messages}
    assert not await lease_all(spool)
    record = await shown(spool, messages[1].id)
    [attempt] = record.recipients[0].history
    assert (attempt.outcome, attempt.phase, attempt.reply) == ("captured", "routing", "kept here")
    assert attempt.ended_at == NOW


async def test_some_recipients_are_captured_and_the_others_sent(spool: Spool) -> None:
    original = message("a@example.net", "b@example.net", "c@example.net")
    await spool.put([original])
    [due] = await capture(spool, "b@example.net")
    assert due == Due(original.id, "192.0.2.7", "billing@example.com", "b@example.net")
    lease = await lease_one(spool)
    assert [leased.recipient.address for leased in lease.recipients] == ["a@example.net", "c@example.net"]
    await spool.finish(lease, NOW, results(lease))
    assert await states(spool, original.id) == [State.DELIVERED, State.CAPTURED, State.DELIVERED]
    assert (await shown(spool, original.id)).body_kept
    assert await read_body(spool, original.id) == original.content


async def test_an_address_that_is_damaged_does_not_keep_the_others(sqlite_spool: SQLiteSpool, path: Path) -> None:
    """In the sandbox nobody leases it, and so nobody sets it aside."""
    damaged, sound = message("a@example.net", "b@example.net"), message("c@example.net")
    await sqlite_spool.put([damaged, sound])
    execute(path, "UPDATE recipients SET address = CAST(x'FF40' AS TEXT) WHERE message = ? AND n = 1", [damaged.id])
    assert len(await capture(sqlite_spool)) == 3
    assert await states(sqlite_spool, sound.id) == [State.CAPTURED]


@pytest.mark.parametrize("table", ["recipients", "messages"])
async def test_a_damaged_page_does_not_keep_what_stands_beyond_it(path: Path, table: str) -> None:
    """The fault: each look came to it, and ended there, as long as it was in the file."""
    ids = [f"{n:016}" for n in range(300)]
    async with opened(path) as spool:
        await spool.put([message(f"{one}@example.net", id=one, subject=f"S{one}") for one in ids])
    execute(path, "VACUUM")  # so that nothing stands in the file twice
    mark = f"{ids[100]}@" if table == "recipients" else f"S{ids[100]}"
    scribble(path, path.read_bytes().index(mark.encode()) // 4096 * 4096, b"\x13" * 4096)
    async with opened(path) as spool:
        captured: list[str] = []
        with pytest.raises(SpoolError, match="damaged"):  # noqa: PT012
            async for due in spool.capture(NOW, 0, lambda due: "kept here"):
                captured.append(due.message)
        lost = [one for one in ids if one not in captured]
        assert ids[100] in lost
        assert ids.index(lost[-1]) - ids.index(lost[0]) < 150, "those of the page, and at most its neighbours"
        if table == "messages":
            assert await capture(spool) == [], "they are set aside, and not come upon again"
            aside = execute(path, "SELECT message FROM recipients WHERE state = 'held' AND reason = 'corrupt'")
            assert sorted(aside) == [(one,) for one in lost]


@pytest.mark.parametrize(
    ("table", "damage", "aside"),
    [("messages", "reverse_path = x'FF' WHERE id", True), ("recipients", "address = x'FF' WHERE message", False)],
)
async def test_what_is_no_text_any_more_does_not_keep_the_others(
    path: Path, table: str, damage: str, aside: bool
) -> None:
    """The fault: it was taken for an address, and the error ended the daemon, at each start anew. And where SQLite does
    not write the row again, to set the message aside, the others were not come to."""
    damaged, sound = message("a@example.net", id="1" * 16), message("b@example.net", id="2" * 16)
    async with opened(path) as spool:
        await spool.put([damaged, sound])
    execute_without_types(path, table, f"UPDATE {table} SET {damage} = '{damaged.id}'")
    async with opened(path) as spool:
        captured: list[str] = []
        with pytest.raises(SpoolError, match=f"{damaged.id} is damaged"):  # noqa: PT012
            async for due in spool.capture(NOW, 0, lambda due: f"kept: {due.reverse_path + due.recipient}"):
                captured.append(due.message)
    assert captured == [sound.id]
    held = execute(path, "SELECT message FROM recipients WHERE state = 'held' AND reason = 'corrupt'")
    assert held == ([(damaged.id,)] if aside else [])


async def test_what_is_held_sent_or_not_yet_due_is_left_alone(spool: Spool) -> None:
    being_sent, held, later = message(), message(hold="rate"), message(due_at=NOW + HOUR)
    await spool.put([being_sent])
    lease = await lease_one(spool)
    await spool.put([held, later])
    assert not await capture(spool)
    await spool.finish(lease, NOW, results(lease, State.QUEUED, next_at=NOW))
    await spool.release(Selector((held.id,)), NOW)
    assert {due.message for due in await capture(spool)} == {being_sent.id, held.id}
    assert [due.message for due in await capture(spool, now=NOW + HOUR)] == [later.id]


async def test_what_was_looked_at_is_not_looked_at_again(spool: Spool) -> None:
    await spool.put([message(now=NOW - HOUR), message(now=NOW)])
    assert len(await capture(spool, since=NOW - 1)) == 1


async def test_more_than_a_page(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "PAGE", 3)
    await spool.put([message(*(f"{n}@example.net" for n in range(4))) for _ in range(5)])
    assert len(await capture(spool, "0@example.net", "3@example.net")) == 10
    assert (await spool.stats()).recipients[State.CAPTURED] == 10
    assert (await spool.stats()).recipients[State.QUEUED] == 10


@pytest.mark.parametrize("size", [100, 3 * MEBIBYTE])
async def test_the_body_stays_until_the_history_is_pruned(path: Path, size: int) -> None:
    original = message(content=b"x" * size)
    async with opened(path) as spool:
        await spool.put([original])
        await capture(spool)
        assert await read_body(spool, original.id) == original.content
    async with opened(path) as spool:
        assert await spool.prune(NOW, NOW) == 0
        assert await read_body(spool, original.id) == original.content
        assert (await shown(spool, original.id)).body_kept
        while await spool.prune(NOW + 1, NOW):
            pass
        with pytest.raises(SpoolError):
            await read_body(spool, original.id)
    assert count(path, "messages") == count(path, "chunks") == count(path, "loose_bodies") == 0


async def test_without_one_that_was_captured_the_body_goes(sqlite_spool: SQLiteSpool, path: Path) -> None:
    original = message()
    await sqlite_spool.put([original])
    lease = await lease_one(sqlite_spool)
    await sqlite_spool.finish(lease, NOW, results(lease))
    assert not (await shown(sqlite_spool, original.id)).body_kept
    with pytest.raises(SpoolError, match="has ended"):
        await read_body(sqlite_spool, original.id)
    assert count(path, "chunks") == 0


async def test_the_index_serves(sqlite_spool: SQLiteSpool, path: Path) -> None:
    """The look each second must not read the history."""
    await sqlite_spool.put([message()])
    statements: list[str] = []

    def look(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(statements.append)
        for credential in capturing.credentials(connection):
            capturing.due(connection, credential, NOW, capturing.first(0))
        for message_id in capturing.messages(connection, ""):
            capturing.due_of(connection, message_id, NOW)
        connection.set_trace_callback(None)

    await sqlite_spool._readers.run(look)
    steps = [step for statement in statements for step in plan(path, statement)]
    assert len(steps) >= 5
    assert all(step.startswith("SEARCH") for step in steps), steps

"""Pages of the file that cannot be read: what lies beyond them leaves, and what they hold is told of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from smtprelay.spool import Fate, Lease, Query, Selector, Spool, SpoolDamaged, State, Suppression
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.spool.sqlite import spool as sqlite_spool_module
from tests.spool.support import (
    CREDENTIAL,
    HOUR,
    NOW,
    TTL,
    execute,
    execute_without_types,
    found,
    indexed,
    lease_all,
    lease_one,
    message,
    opened,
    results,
)
from tests.spool.test_sqlite_file import scribble
from tests.spool.test_sqlite_upkeep import plan

COUNT = 160
IDS = [f"{n:016}" for n in range(COUNT)]
LATER = NOW + HOUR


async def filled(path: Path, hold: str = "", now: int = NOW) -> None:
    """Messages that are due one after the other, each in the file once."""
    async with opened(path) as spool:
        await spool.put(
            [message(f"{one}@example.net", id=one, subject=f"S{one}", now=now + int(one), hold=hold) for one in IDS]
        )
    execute(path, "VACUUM")


def break_page(path: Path, text: str) -> None:
    """Break the page that holds this text."""
    scribble(path, path.read_bytes().index(text.encode()) // 4096 * 4096, b"\x13" * 4096)


def break_table(path: Path, table: str) -> None:
    """Break the page that the table begins with, and so all of it."""
    ((root,),) = execute(path, "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
    scribble(path, (root - 1) * 4096, b"\x13" * 4096)


async def deliver_all(spool: Spool) -> list[str]:
    """What the scheduler does, until nothing is due."""
    delivered = []
    while (due := await spool.next_due([CREDENTIAL])) is not None and due <= LATER:
        for lease in await lease_all(spool, LATER):
            await spool.finish(lease, LATER, results(lease, phase="dot"))
            delivered.append(lease.message.id)
    return delivered


@pytest.mark.parametrize(("table", "text"), [("recipients", f"{IDS[0]}@"), ("messages", f"S{IDS[0]}")])
async def test_what_lies_beyond_a_broken_page_leaves(
    path: Path, table: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault: what is first due stood on it, so that nothing was leased any more."""
    await filled(path)
    break_page(path, text)
    async with opened(path) as spool:
        delivered = await deliver_all(spool)
        lost = [one for one in IDS if one not in delivered]
        assert IDS[0] in lost
        assert lost[-1] < IDS[100], "those of the page, and of its neighbour where SQLite would write to both"
        assert all(f"message {one} is damaged in the spool" in caplog.text for one in lost)
        waiting = await spool.waiting(LATER)
        if table == "messages":
            assert waiting.held["corrupt"] + waiting.damaged == len(lost)
        else:
            assert waiting.damaged == len(lost)
        assert await lease_all(spool, LATER) == []
        assert caplog.text.count(f"message {lost[0]} is damaged") == 1, "it is told once"


async def test_what_was_passed_over_is_tried_again_at_the_next_start(path: Path) -> None:
    """The fault: once the file was mended, nobody came back to it."""
    await filled(path)
    shutil.copy(path, sound := path.with_name("sound.db"))
    break_page(path, f"{IDS[0]}@")
    async with opened(path) as spool:
        delivered = await deliver_all(spool)
        passed_over = (await spool.waiting(LATER)).damaged
    shutil.copy(sound, path)
    execute(path, "INSERT INTO damaged SELECT id FROM messages LIMIT ?", (passed_over,))
    execute(path, "DELETE FROM recipients WHERE message IN (SELECT value FROM json_each(?))", (json.dumps(delivered),))
    async with opened(path) as spool:
        assert len(await deliver_all(spool)) == passed_over == COUNT - len(delivered)
        assert (await spool.waiting(LATER)).damaged == 0


async def test_a_look_puts_only_so_many_out_of_the_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: where all is broken, nothing else happened for minutes; the stop waited too."""
    monkeypatch.setattr(sqlite_spool_module, "DAMAGED_AT_ONCE", 10)
    await filled(path)
    break_table(path, "recipients")
    async with opened(path) as spool:
        for _ in range(2):
            assert await lease_all(spool, LATER) == []
        assert (await spool.waiting(LATER)).damaged == 20


async def test_where_no_attempt_can_be_noted_none_is_made(path: Path) -> None:
    """The fault: some of a lease was written, and the message was sending with nobody to send it. It is sound, so that
    it is not held for a person."""
    await filled(path)
    break_table(path, "attempts")
    async with opened(path) as spool:
        assert await lease_all(spool, LATER) == []
        waiting = await spool.waiting(LATER)
        assert (waiting.recipients[State.QUEUED], waiting.damaged) == (COUNT, 100)
        assert execute(path, "SELECT * FROM leases") == []


async def test_a_lease_that_is_broken_is_passed_over_and_does_not_end(path: Path) -> None:
    """The fault: without its lease it would be sending for ever; with one that ran out it would be taken over again and
    again."""
    await filled(path)
    async with opened(path) as spool:
        leased = [lease.message.id for lease in await lease_all(spool, LATER, limit=COUNT)]
    execute(path, "VACUUM")
    break_page(path, f"{IDS[80]}@")
    async with opened(path, LATER) as spool:
        over = [lease.message.id for lease in await spool.reclaim(LATER, TTL, COUNT)]
        broken = (await spool.waiting(LATER)).damaged
        assert len(over) + broken == len(leased)
        assert broken
        assert await spool.reclaim(LATER + TTL - 1, TTL, COUNT) == []
    assert execute(path, "SELECT count(*) FROM leases") == [(COUNT,)]


@pytest.mark.parametrize("table", ["attempts", "messages"])
async def test_what_became_of_a_recipient_is_recorded_though_all_about_it_is_broken(path: Path, table: str) -> None:
    """The fault: it was tried again every five seconds, and held the place of others meanwhile."""
    await filled(path)
    async with opened(path) as spool:
        lease = await lease_one_of(spool)
        break_table_under(spool, path, table)
        await spool.finish(lease, LATER, results(lease))
    assert execute(path, "SELECT state FROM recipients WHERE message = ?", (lease.message.id,)) == [("delivered",)]
    assert execute(path, "SELECT * FROM leases") == []


async def test_a_bounce_is_whole_though_its_attempt_is_broken(path: Path) -> None:
    """The fault: its address was sent to again. Its DSN is there in any case, with the end that it is about."""
    await filled(path)
    async with opened(path) as spool:
        lease = await lease_one_of(spool)
        break_table_under(spool, path, "attempts")
        dsn = message("billing@example.com", dsn_for=lease.message.id)
        bounced = results(lease, State.BOUNCED, reason="refused", dsn=dsn.id)
        entry = Suppression("bob@example.net", "1", LATER)
        await spool.finish(lease, LATER, bounced, [dsn], [entry])
        assert await spool.suppression("bob@example.net", LATER) == entry
    assert execute(path, "SELECT state, dsn FROM recipients WHERE message = ?", (lease.message.id,)) == [
        ("bounced", dsn.id)
    ]
    assert execute(path, "SELECT dsn_for FROM messages WHERE id = ?", (dsn.id,)) == [(lease.message.id,)]


async def test_a_bounce_whose_notification_cannot_be_written_has_not_ended(path: Path) -> None:
    """Or nobody would ever be told of it."""
    await filled(path)
    async with opened(path) as spool:
        lease = await lease_one_of(spool)
        break_table_under(spool, path, "chunks")
        dsn = message("billing@example.com", dsn_for=lease.message.id)
        with pytest.raises(SpoolDamaged):
            await spool.finish(lease, LATER, results(lease, State.BOUNCED, reason="refused", dsn=dsn.id), [dsn])
    assert execute(path, "SELECT state FROM recipients WHERE message = ?", (lease.message.id,)) == [("sending",)]
    assert execute(path, "SELECT id FROM messages WHERE id = ?", (dsn.id,)) == []


async def test_what_cannot_be_recorded_is_passed_over(path: Path) -> None:
    await filled(path)
    async with opened(path) as spool:
        lease = await lease_one_of(spool)
        break_table_under(spool, path, "recipients")
        with pytest.raises(SpoolDamaged):
            await spool.finish(lease, LATER, results(lease))
        assert (await spool.waiting(LATER)).damaged == 1
        assert await spool.reclaim(LATER + TTL, TTL, 10) == []


async def lease_one_of(spool: Spool) -> Lease:
    [lease] = await lease_all(spool, LATER, limit=1)
    return lease


def break_table_under(spool: SQLiteSpool, path: Path, table: str) -> None:
    """While it is open: what is in the log is brought into the file, and what is in memory is forgotten."""
    for connection in (spool._connection, *spool._readers._connections):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA shrink_memory")
    break_table(path, table)


async def test_an_operator_changes_what_can_be_changed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The fault: what is released, by the relay itself too, and clamped at each start, ended at the broken page."""
    await filled(path, hold="dns")
    break_page(path, f"{IDS[80]}@")
    async with opened(path) as spool:
        released = await spool.release(Selector(state=State.HELD, reason="dns"), LATER)
        assert COUNT / 2 < released < COUNT
        assert IDS[80] in caplog.text
        assert await spool.clamp(NOW) > COUNT / 2
        assert set(IDS[140:]) <= set(await deliver_all(spool)), (
            "SQLite writes little to the neighbours of a broken page"
        )


async def test_what_is_not_broken_is_found(path: Path) -> None:
    """The fault: held mail was looked through no more, and stayed, though its domains were set up."""
    await filled(path, hold="dns")
    break_page(path, f"{IDS[80]}@")
    async with opened(path) as spool:
        held, before = [], ""
        while page := await spool.search(Selector(state=State.HELD, to="*@example.net"), 50, before):
            held += [record.message.id for record in page]
            before = held[-1]
        assert held == sorted(held, reverse=True)
        assert {*IDS[:20], *IDS[140:]} < set(held) < set(IDS)
        for selector in (Selector(state=State.HELD, reason="dns"), Selector()):
            assert [record.message.id for record in await spool.search(selector, COUNT)] == IDS[::-1]


@pytest.mark.parametrize(("table", "text"), [("recipients", f"{IDS[80]}@"), ("messages", f"S{IDS[80]}")])
@pytest.mark.parametrize("state", [None, State.QUEUED])
async def test_a_search_finds_what_is_not_broken(path: Path, table: str, text: str, state: State | None) -> None:
    """The fault: it failed as a whole, be it for words or for a state."""
    await filled(path)
    break_page(path, text)
    async with opened(path) as spool:
        by_words = {record.message.id for record in await found(spool, Query(text="example", state=state))}
        assert {*IDS[:20], *IDS[140:]} <= by_words < set(IDS)
        everything = {record.message.id for record in await found(spool, Query(state=state))}
        assert everything == (by_words if state else set(IDS))
        await indexed(spool)
        assert {record.message.id for record in await found(spool, Query(text="example", state=state))} == by_words


@pytest.mark.parametrize("table", ["fates", "attempts"])
async def test_a_delivered_message_is_shown_without_what_is_broken(path: Path, table: str) -> None:
    """The fault: it was neither shown nor found, for what was told of it later."""
    async with opened(path) as spool:
        sent = message(subject="Invoice")
        await spool.put([sent])
        lease = await lease_one(spool)
        await spool.finish(lease, NOW, results(lease, reply="250 2.0.0 Ok"))
        await spool.report([Fate("bob@example.net", NOW, "1")])
    break_table(path, table)
    async with opened(path) as spool:
        [searched] = await spool.search(Selector(), 10)
        [by_words] = await found(spool, Query(text="invoice"))
        record = await spool.show(sent.id)
        for one in (record, searched, by_words):
            assert one
            assert (one.message.subject, one.unreadable) == ("Invoice", (table,))
            [recipient] = one.recipients
            assert recipient.state is State.DELIVERED
            assert bool(recipient.reply) is (table == "fates")
            assert bool(recipient.fate) is (table == "attempts")
        assert record
        assert bool(record.recipients[0].history) is (table == "fates")


async def test_history_that_is_not_broken_is_pruned(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The fault: what came to a broken page ended there, each time, and the file grew."""
    await filled(path)
    async with opened(path) as spool:
        await deliver_all(spool)
        await spool.suppress([Suppression("bob@example.net", "2", NOW, expires=NOW + 1)])
    execute(path, "VACUUM")
    break_page(path, f"{IDS[0]}@")
    async with opened(path) as spool:
        while await spool.prune(LATER + 1, LATER):
            pass
        stay = [one for (one,) in execute(path, "SELECT id FROM messages INDEXED BY messages_by_end")]
        assert IDS[0] in stay
        assert len(stay) < COUNT * 3 / 4, "SQLite writes little to the neighbours of a broken page"
        assert f"message {IDS[0]} is damaged in the spool and stays" in caplog.text
        assert await spool.count_suppressions() == {}, "what comes after it goes too"


async def test_what_is_counted_leaves_out_what_is_broken(path: Path) -> None:
    """The fault: with a broken page in the mail of today the daemon did not start, as it counts that; the day's books,
    and what a command says of its messages, failed likewise."""
    await filled(path)
    async with opened(path) as spool:
        await deliver_all(spool)
    execute(path, "VACUUM")
    break_page(path, f"{IDS[0]}@")
    break_page(path, f"S{IDS[80]}")
    async with opened(path) as spool:
        assert COUNT / 2 < (await spool.handed_over(0, LATER + 1))[CREDENTIAL].recipients < COUNT
        assert {*IDS[60:]} <= (await spool.states(IDS)).keys() < {*IDS}
        assert COUNT / 2 < (await spool.accepted_since(0))["192.0.2.7"] < COUNT


async def test_what_cannot_be_read_may_be_signed_with_any_key(path: Path) -> None:
    """Or it would be said that the key is not needed any more."""
    await filled(path)
    break_page(path, f"S{IDS[80]}")
    async with opened(path) as spool:
        assert 0 < await spool.signed_with("example.com", "a") < COUNT / 2


@pytest.mark.parametrize("table", ["messages", "recipients", "attempts"])
async def test_webhooks_are_told_of_what_happened_to_broken_messages_too(path: Path, table: str) -> None:
    """The fault: the first event about one kept all that follow, for ever."""
    await filled(path)
    async with opened(path) as spool:
        await spool.record(["accepted", "delivered"])
        await deliver_all(spool)
        await spool.put([message(id="0" * 15 + "z")])
    execute(path, "VACUUM")
    if table == "attempts":
        break_table(path, table)
    else:
        break_page(path, {"messages": f"S{IDS[80]}", "recipients": f"{IDS[80]}@"}[table])
    async with opened(path) as spool:
        told = (await spool.events(0, ["accepted", "delivered"], 1000)).found
        assert [event.message for event in told] == [*IDS, "0" * 15 + "z"]
        [broken] = (event for event in told if event.message == IDS[80])
        assert bool(broken.reverse_path) is (table != "messages")
        assert bool(broken.recipients) is (table != "recipients")
        assert bool(broken.phase) is (table != "attempts")


async def test_what_is_no_value_is_left_out_of_an_event(path: Path) -> None:
    """The fault: it could not be told as JSON, again and again."""
    async with opened(path) as spool:
        await spool.record(["accepted"])
        await spool.put([message()])
    execute_without_types(path, "messages", "UPDATE messages SET reverse_path = x'ff', tags = x'ff'")
    async with opened(path) as spool:
        [event] = (await spool.events(0, ["accepted"], 10)).found
        assert (event.reverse_path, event.tags, event.recipients) == ("", (), ("bob@example.net",))


async def test_what_is_first_due_and_what_waits_is_read_from_indices_alone(
    sqlite_spool: SQLiteSpool, path: Path
) -> None:
    await sqlite_spool.put([message()])
    statements: list[str] = []
    await sqlite_spool._writer.run(lambda connection: connection.set_trace_callback(statements.append))
    for _ in range(2):
        await sqlite_spool._readers.run(lambda connection: connection.set_trace_callback(statements.append))
    await lease_one(sqlite_spool, NOW)
    await sqlite_spool.next_due([CREDENTIAL])
    await sqlite_spool.waiting(NOW)
    await sqlite_spool.stats()
    await sqlite_spool.going(NOW)
    asked = [one for one in statements if "FROM recipients" in one and "message = " not in one]
    steps = [step for one in asked for step in plan(path, one) if "recipients" in step]
    assert len(steps) > 10
    assert all("COVERING INDEX" in step for step in steps), steps

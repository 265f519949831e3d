"""Events: kept in the transaction that makes them true, where somebody wants to know."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from smtprelay.message import Envelope, Recipient, Suppressed
from smtprelay.spool import Event, Events, Result, Selector, Spool, State
from smtprelay.spool.sqlite import SQLiteSpool
from tests.spool.support import NOW, TTL, execute, lease_one, message, opened, results

ALL = ("accepted", "delivered", "deferred", "bounced", "held", "suppressed", "captured")


async def events(spool: Spool, after: int = 0) -> list[Event]:
    return list((await spool.events(after, ALL, 1000)).found)


async def kinds(spool: Spool) -> list[str]:
    return [event.event for event in await events(spool)]


async def test_without_a_listener_nothing_is_kept(spool: Spool) -> None:
    await spool.put([message()])
    lease = await lease_one(spool)
    await spool.finish(lease, NOW, results(lease))
    assert await spool.last_event() == 0


async def test_accepted_and_delivered(spool: Spool) -> None:
    await spool.record(ALL)
    sent = message("bob@example.net", "eve@example.net", tags=("账单",), message_id="<1@example.com>")
    await spool.put([sent])
    lease = await lease_one(spool, NOW + 5)
    await spool.finish(
        lease,
        NOW + 70,
        results(lease, phase="dot", reply="250 2.0.0 Ok", smarthost="mx.example.net[192.0.2.1]:25"),
    )
    accepted, bob, eve = await events(spool)
    assert accepted == Event(
        seq=1,
        at=NOW,
        event="accepted",
        message=sent.id,
        account="",
        reverse_path="billing@example.com",
        message_id="<1@example.com>",
        tags=("账单",),
        dsn_for="",
        recipients=("bob@example.net", "eve@example.net"),
        reason="",
        attempt=0,
        phase="",
        reply="",
        ambiguous=False,
        smarthost="",
        dsn="",
    )
    assert (bob.seq, bob.at, bob.event, bob.recipients) == (2, NOW + 70, "delivered", ("bob@example.net",))
    assert (bob.attempt, bob.phase, bob.reply) == (1, "dot", "250 2.0.0 Ok")
    assert bob.smarthost == "mx.example.net[192.0.2.1]:25"
    assert eve.recipients == ("eve@example.net",)


async def test_each_attempt_that_was_deferred_keeps_its_own_words(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([message()])
    for number in (1, 2):
        lease = await lease_one(spool, NOW + number)
        reply = f"451 4.3.0 Later {number}"
        await spool.finish(lease, NOW + number, results(lease, State.QUEUED, reply=reply, ambiguous=number == 2))
    _, first, second = await events(spool)
    assert [first.event, second.event] == ["deferred", "deferred"]
    assert [first.attempt, second.attempt] == [1, 2]
    assert [first.reply, second.reply] == ["451 4.3.0 Later 1", "451 4.3.0 Later 2"]
    assert [first.ambiguous, second.ambiguous] == [False, True]


async def test_bounced_and_its_notification(spool: Spool) -> None:
    await spool.record(ALL)
    original = message()
    await spool.put([original])
    lease = await lease_one(spool)
    dsn = message("billing@example.com", dsn_for=original.id)
    await spool.finish(lease, NOW, results(lease, State.BOUNCED, reason="refused", dsn=dsn.id), [dsn])
    _, bounced, accepted = await events(spool)
    assert (bounced.event, bounced.reason, bounced.dsn) == ("bounced", "refused", dsn.id)
    assert (accepted.event, accepted.message, accepted.dsn_for) == ("accepted", dsn.id, original.id)


async def test_held_from_the_start_by_an_operator_and_by_an_attempt(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([message(hold="rate")])
    await spool.put([by_operator := message()])
    await spool.hold(Selector((by_operator.id,)), NOW + 1, "audit")
    await spool.hold(Selector(), NOW + 2, "again")  # what is held already stays so
    await spool.put([message()])
    lease = await lease_one(spool, NOW + 3)
    await spool.finish(lease, NOW + 3, results(lease, State.HELD, reason="ambiguous", reply="no answer"))
    held = [event for event in await events(spool) if event.event == "held"]
    assert [(event.reason, event.attempt, event.reply) for event in held] == [
        *(("rate", 0, ""), ("audit", 0, ""), ("ambiguous", 1, "no answer"))
    ]
    await spool.release(Selector(), NOW + 4)
    assert [event.reason for event in await events(spool) if event.event == "held"] == ["rate", "audit", "ambiguous"]


async def test_a_hold_that_passes_by_itself_becomes_an_operators(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([message(hold="dns")])
    await spool.hold(Selector(), NOW + 1, "audit")
    assert [event.reason for event in await events(spool)] == ["", "dns", "audit"]


async def test_captured(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([message()])
    kept = [due.recipient async for due in spool.capture(NOW, 0, lambda _: "kept here, not sent: mode = sandbox")]
    assert kept == ["bob@example.net"]
    _, captured = await events(spool)
    assert (captured.event, captured.attempt, captured.phase) == ("captured", 1, "routing")
    assert captured.reply == "kept here, not sent: mode = sandbox"


async def test_suppressed_from_the_start_and_by_an_attempt(spool: Spool) -> None:
    await spool.record(ALL)
    bob = Recipient("bob@example.net", suppressed=Suppressed("1", "no such user"))
    await spool.put([message(envelope=Envelope("billing@example.com", (bob, Recipient("eve@example.net"))))])
    lease = await lease_one(spool)
    words = "unsubscribed meanwhile"
    await spool.finish(lease, NOW, results(lease, State.SUPPRESSED, reason="unsubscribed", reply=words))
    suppressed = [event for event in await events(spool) if event.event == "suppressed"]
    assert [(event.recipients, event.reason, event.attempt, event.reply) for event in suppressed] == [
        (("bob@example.net",), "1", 1, "no such user"),
        (("eve@example.net",), "unsubscribed", 1, words),
    ]


async def test_an_operators_hold_is_no_attempts(spool: Spool) -> None:
    await spool.record(["held"])
    await spool.put([message()])
    lease = await lease_one(spool)
    await spool.finish(lease, NOW, results(lease, State.QUEUED, next_at=NOW, reply="451 Later"))
    await spool.hold(Selector(), NOW, "audit")
    (held,) = await events(spool)
    assert (held.attempt, held.reply) == (0, "")


async def test_a_hold_that_came_while_it_was_sent(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([message()])
    lease = await lease_one(spool)
    await spool.hold(Selector(), NOW, "audit")
    await spool.finish(lease, NOW, results(lease, State.QUEUED, reply="451 Later"))
    assert sorted(await kinds(spool)) == ["accepted", "deferred", "held"]


async def test_what_ends_while_it_is_held(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([held := message(hold="dns")])
    await spool.end_held(held.id, NOW + 1, [Result(1, State.BOUNCED, reason="refused", reply="550 5.7.1 No SPF")])
    assert await kinds(spool) == ["accepted", "held", "bounced"]
    assert (await events(spool))[-1].reply == "550 5.7.1 No SPF"


async def test_damage_is_told_as_a_hold(path: Path) -> None:
    async with opened(path) as spool:
        await spool.put([damaged := message()])
    execute(path, "UPDATE messages SET tags = 'x' WHERE id = ?", [damaged.id])
    async with opened(path) as spool:
        await spool.record(ALL)
        assert await spool.lease("test", NOW, TTL, 10, ["news"], 100) == []
        execute(path, "UPDATE messages SET tags = '[]'")
        assert [(event.event, event.reason) for event in await events(spool)] == [("held", "corrupt")]


async def test_what_was_rolled_back_did_not_happen(sqlite_spool: SQLiteSpool) -> None:
    await sqlite_spool.record(ALL)
    stored = message()
    await sqlite_spool.put([stored])
    with pytest.raises(Exception, match="UNIQUE"):
        await sqlite_spool.put([message(), stored])
    assert await kinds(sqlite_spool) == ["accepted"]


async def test_only_what_is_wanted_from_now_on(spool: Spool) -> None:
    await spool.record(["accepted"])
    await spool.record(["delivered"])
    await spool.put([message()])
    lease = await lease_one(spool)
    await spool.finish(lease, NOW, results(lease))
    assert await kinds(spool) == ["delivered"]
    await spool.record([])
    await spool.put([message()])
    assert await spool.last_event() == 1


async def test_pages_end_at_the_last_number_that_was_looked_at(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([message(f"{n}@example.net") for n in range(5)])
    first = await spool.events(0, ["accepted"], 2)
    assert [event.seq for event in first.found] == [1, 2]
    assert first.last == 2
    rest = await spool.events(first.last, ["accepted"], 10)
    assert ([event.seq for event in rest.found], rest.last) == ([3, 4, 5], 5)
    assert await spool.events(0, ["bounced"], 2) == Events((), 5)
    assert await spool.count_events(1, ["accepted"]) == 4


async def test_messages_to_many_make_short_pages(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([message(*(f"{n}@example.net" for n in range(600))) for _ in range(3)])
    first = await spool.events(0, ALL, 100)
    assert [len(event.recipients) for event in first.found] == [600, 600]
    assert first.last == 2


async def test_dropping_goes_by_number_and_by_age(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([message(now=NOW + n) for n in range(5)])
    assert await spool.drop_events(1, 0) == [(1, "accepted")]
    assert await spool.drop_events(0, NOW + 3) == [(2, "accepted"), (3, "accepted")]
    assert await spool.drop_events(0, NOW + 3) == []
    assert [event.seq for event in await events(spool)] == [4, 5]


async def test_numbers_are_never_used_again(path: Path) -> None:
    async with opened(path) as spool:
        await spool.record(ALL)
        await spool.put([message()])
        await spool.drop_events(1, 0)
    async with opened(path) as spool:
        await spool.record(ALL)
        assert await spool.last_event() == 1
        await spool.put([message()])
        assert [event.seq for event in await events(spool)] == [2]


async def test_an_event_outlives_the_history_of_its_message(spool: Spool) -> None:
    await spool.record(ALL)
    await spool.put([gone := message()])
    lease = await lease_one(spool)
    await spool.finish(lease, NOW, results(lease))
    await spool.prune(NOW + 1, NOW)
    accepted, delivered = await events(spool)
    assert (accepted.message, accepted.recipients) == (gone.id, ())
    assert (delivered.message, delivered.event, delivered.attempt) == (gone.id, "delivered", 1)


async def test_nothing_of_it_stays_in_the_file(path: Path) -> None:
    """A spool that is opened without a listener keeps no events: the triggers were the connection's."""
    async with opened(path) as spool:
        await spool.record(ALL)
    async with opened(path) as spool:
        await spool.put([message()])
        assert await spool.last_event() == 0
    with sqlite3.connect(path) as connection:
        assert not connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    connection.close()

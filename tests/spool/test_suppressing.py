"""Addresses that are not to be sent to: the list, recipients that are on it, and what was told of others later."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smtprelay.message import Envelope, Recipient, Suppressed
from smtprelay.spool import Fate, Result, Selector, Spool, SpoolError, State, Suppression
from smtprelay.spool.sqlite import SQLiteSpool, records, suppressing
from smtprelay.spool.sqlite.readers import Readers
from smtprelay.spool.sqlite.suppressing import PAGE, SORTED
from tests.spool.support import (
    HOUR,
    NOW,
    execute,
    lease_all,
    lease_one,
    message,
    opened,
    read_body,
    results,
    shown,
    states,
)

DAY = 24 * HOUR
BOB = Suppression("Bob@example.net", "1", NOW - DAY, source="platform news", note="550 no such user")


def full(until: int, since: int = NOW - DAY) -> Suppression:
    return Suppression("ann@example.net", "2", since, until, "platform news")


def operators(until: int = 0) -> Suppression:
    return Suppression("ann@example.net", "operator", NOW - DAY, until, "operator root", "asked by telephone")


async def test_an_address_on_the_list_is_found_whatever_its_case(spool: Spool) -> None:
    assert await spool.suppression("bob@example.net", NOW) is None
    assert await spool.suppress([BOB]) == 1
    for address in ("Bob@example.net", "bob@example.net", "BOB@example.net"):
        assert await spool.suppression(address, NOW) == BOB
    assert await spool.suppression("rob@example.net", NOW) is None


async def test_an_entry_that_is_there_already_is_not_counted_again(spool: Spool) -> None:
    assert await spool.suppress([BOB, BOB]) == 1
    assert await spool.suppress([replace(BOB, address="BOB@example.net")]) == 0
    assert await spool.suppressions("", 10) == [BOB]


async def test_an_entry_expires_and_goes_with_the_next_prune(spool: Spool) -> None:
    await spool.suppress([full(NOW + 1), BOB])
    assert await spool.suppression("ann@example.net", NOW) == full(NOW + 1)
    assert await spool.suppression("ann@example.net", NOW + 1) is None
    await spool.prune(NOW, NOW)
    assert len(await spool.suppressions("", 10)) == 2
    await spool.prune(NOW, NOW + 1)
    assert await spool.suppressions("", 10) == [BOB]


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (full(0), full(NOW + DAY, since=NOW), "first"),
        (full(NOW + DAY), full(0, since=NOW - 2 * DAY), "then"),
        (full(NOW + DAY), full(NOW + 2 * DAY), "then"),
        (full(NOW + 2 * DAY), full(NOW + DAY), "first"),
        (full(0), full(0, since=NOW), "then"),
        (full(0, since=NOW), full(0), "first"),
        (operators(), full(0, since=NOW), "first"),
        (operators(NOW + DAY), full(NOW + 2 * DAY), "then"),
        (operators(NOW + DAY), full(0), "then"),
        (full(0), operators(NOW + DAY), "then"),
        (operators(), operators(NOW + DAY), "then"),
    ],
)
async def test_what_lasts_longer_counts_and_what_a_person_says(
    spool: Spool, first: Suppression, then: Suppression, kept: str
) -> None:
    await spool.suppress([first])
    assert await spool.suppress([then]) == (kept == "then")
    assert await spool.suppression("ann@example.net", NOW) == (then if kept == "then" else first)


async def test_what_a_person_removed_is_entered_again_by_what_happened_later_or_by_a_person(spool: Spool) -> None:
    await spool.suppress([full(0), BOB])
    assert await spool.unsuppress(["ANN@example.net", "nobody@example.net"], NOW) == 1
    assert await spool.unsuppress(["ann@example.net"], NOW + 1) == 0
    assert await spool.suppression("ann@example.net", NOW) is None
    assert await spool.suppressions("", 10) == [BOB]

    assert await spool.suppress([full(0), full(0, since=NOW)]) == 0
    await spool.prune(NOW + DAY, NOW + DAY)
    assert await spool.suppress([full(NOW + 9 * DAY, since=NOW)]) == 0
    assert await spool.suppress([operators()]) == 1

    await spool.unsuppress(["ann@example.net"], NOW)
    assert await spool.suppress([full(NOW + DAY, since=NOW + 1)]) == 1
    assert await spool.suppression("ann@example.net", NOW) == full(NOW + DAY, since=NOW + 1)


async def test_the_list_is_read_by_pages_and_counted_by_cause(spool: Spool) -> None:
    entries = [
        Suppression(f"u{n:03}@example.net", "1" if n % 2 else "unsubscribed", NOW, note=f"n{n}") for n in range(600)
    ]
    assert await spool.suppress(iter(entries)) == 600
    assert await spool.count_suppressions() == {"1": 300, "unsubscribed": 300}
    read: list[Suppression] = []
    while page := await spool.suppressions(read[-1].address if read else "", 250):
        read += page
    assert read == entries
    assert await spool.suppressions("U009@example.net", 2, cause="1") == [entries[11], entries[13]]
    assert await spool.suppressions("", 9, text="U007@EXAMPLE") == [entries[7]]
    assert await spool.suppressions("", 9, text="n599") == [entries[599]]
    assert await spool.suppressions("", 9, cause="9") == []


async def test_a_search_lets_other_reads_in_between(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a text that stands nowhere the whole list is read: at once, that kept the bodies of mail that was due from
    being read for seconds."""
    monkeypatch.setattr(suppressing, "LOOKED_THROUGH", 10)
    reads = 0
    async with opened(path) as spool:
        entries = [Suppression(f"u{n:03}@example.net", "1", NOW, note=f"n{n}") for n in range(95)]
        await spool.suppress(entries)
        await spool.unsuppress([entries[50].address], NOW)
        read = Readers.run

        async def counted(readers: Readers, query: Callable[[sqlite3.Connection], Any]) -> Any:
            nonlocal reads
            reads += 1
            return await read(readers, query)

        monkeypatch.setattr(Readers, "run", counted)
        for text, limit, found, count in (
            ("nowhere", 5, [], 10),
            ("", 25, entries[:25], 3),
            ("", 100, entries[:50] + entries[51:], 10),
            ("n9", 2, [entries[9], entries[90]], 10),
            ("u094", 2, [entries[94]], 10),
        ):
            reads = 0
            assert await spool.suppressions("", limit, text=text) == found
            assert reads == count
        assert await spool.suppressions("u089@example.net", 5, text="n9") == entries[90:95]


async def test_a_suppressed_recipient_has_ended_when_its_message_is_stored(spool: Spool) -> None:
    bob = Recipient("bob@example.net", suppressed=Suppressed("1", "no such user since yesterday"))
    sent = message(envelope=Envelope("billing@example.com", (bob, Recipient("ann@example.net"))))
    await spool.put([sent])
    record = await shown(spool, sent.id)
    assert record.body_kept
    ended, waiting = record.recipients
    assert (ended.state, ended.reason, ended.reply) == (State.SUPPRESSED, "1", "no such user since yesterday")
    [attempt] = ended.history
    assert (attempt.outcome, attempt.started_at, attempt.ended_at) == ("suppressed", NOW, NOW)
    assert waiting.state is State.QUEUED
    lease = await lease_one(spool)
    assert [leased.recipient.address for leased in lease.recipients] == ["ann@example.net"]
    await spool.finish(lease, NOW, results(lease))
    assert await states(spool, sent.id) == [State.SUPPRESSED, State.DELIVERED]
    assert (await spool.show(sent.id)).body_kept is False  # type: ignore[union-attr]


@pytest.mark.parametrize("octets", [100, 600_000])
async def test_a_message_of_suppressed_recipients_alone_is_kept_without_its_body(spool: Spool, octets: int) -> None:
    bob = Recipient("bob@example.net", suppressed=Suppressed("unsubscribed", "unsubscribed yesterday"))
    sent = message(envelope=Envelope("billing@example.com", (bob,)), content=bytes(octets))
    await spool.put([sent])
    assert not (await shown(spool, sent.id)).body_kept
    assert not await lease_all(spool)
    with pytest.raises(SpoolError, match="has ended"):
        await read_body(spool, sent.id)
    assert await spool.prune(NOW, NOW) == 0
    assert await spool.prune(NOW + 1, NOW) == 1


async def test_an_attempt_ends_as_suppressed_and_suppresses_for_the_future(spool: Spool) -> None:
    sent = message("bob@example.net", "ann@example.net")
    await spool.put([sent])
    lease = await lease_one(spool)
    bob, ann = (leased.id for leased in lease.recipients)
    told = [
        Result(bob, State.SUPPRESSED, reason="1", reply="no such user"),
        Result(ann, State.BOUNCED, reason="refused"),
    ]
    await spool.finish(lease, NOW, told, suppress=[full(0)])
    assert await states(spool, sent.id) == [State.SUPPRESSED, State.BOUNCED]
    first = (await shown(spool, sent.id)).recipients[0]
    assert (first.reason, first.history[0].outcome) == ("1", "suppressed")
    assert await spool.suppression("ann@example.net", NOW) == full(0)


async def test_what_was_told_of_an_address_belongs_to_what_was_delivered_before(spool: Spool) -> None:
    """A fate is known by its day: it is of mail that was delivered before that day's end. The fault: it was told of all
    mail to that address since the history began."""
    sent = message("Bob@example.net", "ann@example.net", "eve@example.net", "joe@example.net")
    await spool.put([sent])
    lease = await lease_one(spool)
    bob, ann, eve, joe = (leased.id for leased in lease.recipients)
    ends = {bob: State.DELIVERED, ann: State.DELIVERED, eve: State.BOUNCED, joe: State.DELIVERED}
    await spool.finish(lease, NOW, [Result(n, state, reason="") for n, state in ends.items()])
    day = NOW - 8 * HOUR
    told = [
        Fate("bob@example.net", day - DAY, "9", "platform news"),
        Fate("bob@example.net", day + DAY, "5", "platform news"),
        Fate("bob@example.net", day, "1", "platform news"),
        Fate("ann@example.net", NOW - DAY, "1"),
        Fate("eve@example.net", day, "1"),
        Fate("joe@example.net", day + 6 * DAY, "1"),
    ]
    assert await spool.report(told) == 6
    assert await spool.report(iter(told)) == 0
    by_search = (await spool.search(Selector(), 10))[0].recipients
    for recipients in (by_search, (await shown(spool, sent.id)).recipients):
        assert [recipient.fate for recipient in recipients] == [told[2], None, None, None]
    await spool.prune(day + 1, NOW)
    assert [one.fate for one in (await shown(spool, sent.id)).recipients] == [told[1], None, None, None]


async def damaged(path: Path, table: str) -> None:
    """A spool in which a table is garbage from its root on."""
    async with opened(path) as spool:
        await spool.suppress([BOB])
        await spool.report([Fate("bob@example.net", NOW, "1")])
    [[root]] = execute(path, "SELECT rootpage FROM sqlite_schema WHERE name = ?", [table])
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\x13" * 4096)


async def test_a_list_that_is_damaged_does_not_stop_mail(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await damaged(path, "suppressions")
    async with opened(path) as spool:
        assert spool.suppression_fault is None
        assert await spool.suppression("bob@example.net", NOW) is None
        assert "bob@example.net cannot be looked up among the suppressed addresses, and is sent to" in caplog.text
        assert spool.suppression_fault
        assert spool.suppression_fault.since == NOW
        assert "is damaged" in spool.suppression_fault.words
        await spool.put([sent := message()])
        lease = await lease_one(spool)
        await spool.finish(lease, NOW, results(lease, State.BOUNCED), suppress=[full(0)])
        assert await states(spool, sent.id) == [State.BOUNCED]
        assert "ann@example.net cannot be suppressed" in caplog.text
        with pytest.raises(SpoolError, match="is damaged"):
            await spool.suppress([full(0)])
        assert await spool.prune(NOW + 1, NOW) == 1


async def test_an_address_that_is_no_text_any_more_is_taken_for_one_that_is_sent_to(path: Path) -> None:
    async with opened(path) as spool:
        await spool.suppress([BOB])
    execute(path, "UPDATE suppressions SET note = CAST(x'FF40' AS TEXT)")
    async with opened(path) as spool:
        assert await spool.suppression("bob@example.net", NOW) is None
        assert spool.suppression_fault


async def test_mail_goes_on_while_a_long_list_is_entered(sqlite_spool: SQLiteSpool) -> None:
    """The fault: a million addresses in one transaction keep every 250 waiting for minutes."""
    mail = asyncio.create_task(sqlite_spool.put([message()]))

    def without_end() -> Iterator[Suppression]:
        for n in range(20 * SORTED):
            if mail.done():
                return
            yield Suppression(f"{n}@example.net", "1", NOW)
        pytest.fail("mail is not stored before the end")

    commits = sqlite_spool._writer.commits
    entered = await sqlite_spool.suppress(without_end())
    assert await sqlite_spool.count_suppressions() == {"1": entered}
    assert sqlite_spool._writer.commits - commits >= entered // PAGE


async def test_where_nobody_is_suppressed_nothing_is_looked_up(sqlite_spool: SQLiteSpool) -> None:
    sqlite_spool._suppressing._connection.close()
    assert await sqlite_spool.suppression("bob@example.net", NOW) is None
    assert sqlite_spool.suppression_fault is None


@pytest.mark.parametrize(
    ("statement", "plan"),
    [
        (suppressing._LOOK_UP, "suppressions USING PRIMARY KEY (address=?)"),
        (suppressing._REMOVE, "suppressions USING PRIMARY KEY (address=?)"),
        (suppressing._LIST, "suppressions USING PRIMARY KEY (address>?)"),
        (
            suppressing._DROP_EXPIRED,
            "suppressions USING COVERING INDEX suppressions_by_end (expires>? AND expires<?)",
        ),
        (suppressing._DROP_FATES, "fates USING COVERING INDEX fates_by_day (at<?)"),
        (records._recipients(()), "f USING PRIMARY KEY (address=? AND at>? AND at<?)"),
    ],
)
async def test_the_indices_serve(sqlite_spool: SQLiteSpool, path: Path, statement: str, plan: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        names = re.findall(r":(\w+)", statement)
        values = dict.fromkeys(names) if names else [None] * statement.count("?")
        plans = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert f"SEARCH {plan}" in plans

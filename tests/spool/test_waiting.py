"""What waits, in figures, and whether the spool can be written."""

from __future__ import annotations

import pytest

from smtprelay.spool import Selector, SpoolFull, State
from smtprelay.spool.sqlite import SQLiteSpool, history, writer
from tests.spool.support import CREDENTIAL, HOUR, NOW, lease_all, message, results
from tests.spool.test_sqlite_writer import pragma


async def test_an_empty_spool(sqlite_spool: SQLiteSpool) -> None:
    waiting = await sqlite_spool.waiting(NOW)
    assert set(waiting.recipients.items()) == {(State.QUEUED, 0), (State.SENDING, 0), (State.HELD, 0)}
    assert not waiting.oldest
    assert not waiting.credentials
    assert waiting.bytes > 0


async def test_what_waits_by_state_credential_and_reason(sqlite_spool: SQLiteSpool) -> None:
    await sqlite_spool.put([message("a@x.example", "b@x.example", now=NOW)])
    (lease,) = await lease_all(sqlite_spool)
    await sqlite_spool.put([message("c@x.example", now=NOW + 1000, credential="other")])
    await sqlite_spool.put([message("d@x.example", "e@x.example", now=NOW + 2000, hold="operator")])
    waiting = await sqlite_spool.waiting(NOW + HOUR)
    assert waiting.recipients == {State.QUEUED: 1, State.SENDING: 2, State.HELD: 2}
    assert waiting.oldest == {State.SENDING: NOW, State.QUEUED: NOW + 1000, State.HELD: NOW + 2000}
    assert waiting.credentials == {"other": 1}
    assert waiting.held == {"operator": 2}
    await sqlite_spool.finish(lease, NOW, results(lease))
    assert (await sqlite_spool.waiting(NOW + HOUR)).recipients[State.SENDING] == 0


async def test_what_its_app_wants_later_does_not_wait_yet(sqlite_spool: SQLiteSpool) -> None:
    """Neither is it the oldest, nor does it hide what is late behind it."""
    await sqlite_spool.put([message(now=NOW, due_at=NOW + 5 * HOUR)])
    assert (await sqlite_spool.waiting(NOW + HOUR)).oldest == {}
    await sqlite_spool.put([message(now=NOW + 1, hold="operator")])
    await sqlite_spool.hold(Selector(state=State.HELD), NOW, "operator")
    await sqlite_spool.put([message(now=NOW + 1000)])
    oldest = (await sqlite_spool.waiting(NOW + HOUR)).oldest
    assert oldest == {State.QUEUED: NOW + 1000, State.HELD: NOW + 1}
    assert (await sqlite_spool.waiting(NOW + 6 * HOUR)).oldest[State.QUEUED] == NOW + 5 * HOUR


async def test_what_is_sent_or_due_soon_by_credential(sqlite_spool: SQLiteSpool) -> None:
    await sqlite_spool.put([message("a@x.example", "b@x.example", now=NOW)])
    await lease_all(sqlite_spool)
    await sqlite_spool.put([message(now=NOW + 1), message(now=NOW + 2, credential="other")])
    await sqlite_spool.put([message(now=NOW, due_at=NOW + HOUR), message(now=NOW, hold="operator")])
    assert await sqlite_spool.going(NOW + HOUR - 1) == {CREDENTIAL: 3, "other": 1}
    assert await sqlite_spool.going(NOW + HOUR) == {CREDENTIAL: 4, "other": 1}


async def test_the_search_for_what_is_late_is_bounded(
    sqlite_spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "LOOKED_THROUGH", 3)
    await sqlite_spool.put([message(now=NOW + i, due_at=NOW + 5 * HOUR) for i in range(3)])
    await sqlite_spool.put([message(now=NOW + 1000)])
    assert (await sqlite_spool.waiting(NOW + HOUR)).oldest == {}


async def test_a_spool_that_cannot_be_written_says_since_when(
    sqlite_spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sqlite_spool.fault is None
    await pragma(sqlite_spool, f"max_page_count = {await pragma(sqlite_spool, 'page_count') + 8}")
    for _ in range(2):
        with pytest.raises(SpoolFull):
            await sqlite_spool.put([message(content=b"b" * 200_000)])
    fault = sqlite_spool.fault
    assert fault
    assert "is full" in fault.words
    await sqlite_spool.remember("small", "fits")
    assert sqlite_spool.fault == fault  # what is small fits now and then
    monkeypatch.setattr(writer, "FAULT_LASTS", 0.0)
    await sqlite_spool.waiting(NOW)
    assert sqlite_spool.fault == fault  # nothing was written
    await sqlite_spool.remember("small", "fits again")
    assert sqlite_spool.fault is None


async def test_what_is_asked_wrongly_is_no_fault_of_the_spool(sqlite_spool: SQLiteSpool) -> None:
    await sqlite_spool.put([message()])
    (lease,) = await lease_all(sqlite_spool)
    with pytest.raises(ValueError, match="one result for each"):
        await sqlite_spool.finish(lease, NOW, [])
    assert sqlite_spool.fault is None

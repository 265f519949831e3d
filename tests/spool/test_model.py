"""The interface against a model of a few lines: whatever is done in whatever order, the books balance."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smtprelay.message import Envelope, Recipient, Suppressed
from smtprelay.spool import DOMAIN, PASSING, QUOTA, Due, Lease, LeaseLost, Result, Selector, Spool, State
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.spool.values import ENDED
from tests.spool.support import CREDENTIAL, NOW, TTL, message

T = TypeVar("T")
RESULTS = st.sampled_from([State.QUEUED, State.HELD, State.DELIVERED, State.BOUNCED, State.SUPPRESSED, State.CAPTURED])
DELAYS = st.integers(0, 2 * TTL)


@dataclass
class Modelled:
    """One recipient, as it should be."""

    message: str
    state: State
    next_at: int
    held_since: int
    attempts: int = 0
    held: int = 0
    wish: State | None = None
    wish_reason: str = ""
    reason: str = ""

    def become(self, state: State, now: int, reason: str = "") -> None:
        if self.state is State.HELD:
            self.held += now - self.held_since
        self.state, self.held_since, self.wish, self.reason = state, now, None, reason


class SpoolModel(RuleBasedStateMachine):
    spool: Spool

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.now = NOW
        self.books: dict[tuple[str, int], Modelled] = {}
        self.leases: list[tuple[Lease, int]] = []  # with the time when they run out

    @initialize()
    def open(self) -> None:
        self.spool = self.run(SQLiteSpool.open(Path(self.folder.name) / "spool.db", now=self.now))

    def teardown(self) -> None:
        self.run(self.spool.close())
        self.runner.close()
        self.folder.cleanup()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    @rule(delay=DELAYS)
    def wait(self, delay: int) -> None:
        self.now += delay

    @rule()
    def restart(self) -> None:
        self.run(self.spool.close())
        self.open()
        self.leases = [(lease, min(until, self.now)) for lease, until in self.leases]

    @rule(suppressed=st.lists(st.booleans(), min_size=1, max_size=4), hold=st.sampled_from(["", DOMAIN]), delay=DELAYS)
    def put(self, suppressed: list[bool], hold: str, delay: int) -> None:
        mark = Suppressed("1", "no such user")
        to = [Recipient(f"u{n}@example.net", suppressed=mark if so else None) for n, so in enumerate(suppressed)]
        # An id of chance would have the same steps lead to another state.
        new = message(id=f"{len(self.books):016}", now=self.now, due_at=self.now + delay, hold=hold)
        self.run(self.spool.put([replace(new, envelope=Envelope("billing@example.com", tuple(to)))]))
        state = State.HELD if hold else State.QUEUED
        for n, so in enumerate(suppressed, 1):
            self.books[new.id, n] = Modelled(new.id, state, new.due_at, self.now, reason=hold)
            if so:
                self.books[new.id, n] = Modelled(new.id, State.SUPPRESSED, 0, 0, attempts=1, reason="1")

    @rule(limit=st.integers(1, 3), most=st.integers(1, 3))
    def lease(self, limit: int, most: int) -> None:
        leases = self.run(self.spool.lease("test", self.now, TTL, limit, [CREDENTIAL], most))
        for lease in leases:
            assert 0 < len(lease.recipients) <= most
            for key, leased in self.keys(lease):
                recipient = self.books[key]
                assert recipient.state is State.QUEUED
                assert recipient.next_at <= self.now
                recipient.become(State.SENDING, self.now)
                recipient.attempts += 1
                assert (leased.attempts, leased.held) == (recipient.attempts, recipient.held)
        self.leases += [(lease, self.now + TTL) for lease in leases]
        if len(leases) < limit:
            assert not any(one.state is State.QUEUED and one.next_at <= self.now for one in self.books.values())

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), delay=DELAYS)
    def finish(self, data: st.DataObject, delay: int) -> None:
        lease, _ = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        outcomes = {key: data.draw(RESULTS) for key, _ in self.keys(lease)}
        results = [Result(n, state, next_at=self.now + delay) for (_, n), state in outcomes.items()]
        self.run(self.spool.finish(lease, self.now, results))
        for key, state in outcomes.items():
            recipient, reason = self.books[key], ""
            if recipient.wish is State.CANCELLED and state not in ENDED:
                state = State.CANCELLED
            elif recipient.wish is State.HELD and state is State.QUEUED:
                state, reason = State.HELD, recipient.wish_reason
            recipient.become(state, self.now, reason)
            recipient.next_at = self.now + delay
        with pytest.raises(LeaseLost):
            self.run(self.spool.finish(lease, self.now, results))

    @rule(kept=st.sets(st.integers(0, 3)), age=DELAYS)
    def capture(self, kept: set[int], age: int) -> None:
        addresses = {f"u{n}@example.net" for n in kept}
        since = self.now - age
        due = [
            (one.message, n)
            for (_, n), one in self.books.items()
            if one.state is State.QUEUED and since <= one.next_at <= self.now and n - 1 in kept
        ]
        captured = self.run(self.captured(since, addresses))
        assert sorted((one.message, int(one.recipient[1]) + 1) for one in captured) == sorted(due)
        for key in due:
            self.books[key].become(State.CAPTURED, self.now)
            self.books[key].attempts += 1

    async def captured(self, since: int, addresses: set[str]) -> list[Due]:
        kept = self.spool.capture(self.now, since, lambda due: "kept" if due.recipient in addresses else "")
        return [due async for due in kept]

    @rule(limit=st.integers(1, 3))
    def reclaim(self, limit: int) -> None:
        expired = {lease.message.id for lease, until in self.leases if until <= self.now}
        taken = self.run(self.spool.reclaim(self.now, TTL, limit))
        for lease in taken:
            assert lease.message.id in expired
            keys = [key for key, _ in self.keys(lease)]
            self.leases = [(old, until) for old, until in self.leases if [key for key, _ in self.keys(old)] != keys]
            self.leases.append((lease, self.now + TTL))
        if len(taken) < limit:
            assert all(until > self.now for _, until in self.leases)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(0, len(self.leases) - 1))
        lease, _ = self.leases[n]
        self.run(self.spool.extend(lease, self.now + 2 * TTL))
        self.leases[n] = lease, self.now + 2 * TTL

    @rule(data=st.data(), reason=st.sampled_from(["operator", QUOTA]))
    def hold(self, data: st.DataObject, reason: str) -> None:
        selector, chosen = self.select(data)
        count = self.run(self.spool.hold(selector, self.now, reason))
        if reason in PASSING:
            chosen = [one for one in chosen if one.state is State.QUEUED or not one.wish]
        held_anew = [one for one in chosen if one.state is State.HELD and one.reason in PASSING and reason != QUOTA]
        for one in held_anew:
            one.reason = reason
        assert count == len(held_anew) + self.wish_or_become(chosen, [State.QUEUED], State.HELD, reason)

    @precondition(lambda self: self.books)
    @rule(data=st.data())
    def end_held(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(list(dict.fromkeys(one.message for one in self.books.values()))))
        there = [n for one_message, n in self.books if one_message == message_id]
        chosen = data.draw(st.lists(st.sampled_from(there), min_size=1, unique=True))
        results = [Result(n, State.BOUNCED, reason="refused") for n in chosen]
        books = [self.books[message_id, n] for n in chosen]
        all_held = all(one.state is State.HELD and one.reason in PASSING for one in books)
        try:
            self.run(self.spool.end_held(message_id, self.now, results))
        except LeaseLost:
            assert not all_held
            return
        assert all_held
        for n in chosen:
            self.books[message_id, n].become(State.BOUNCED, self.now)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        selector, chosen = self.select(data)
        count = self.run(self.spool.cancel(selector, self.now))
        assert count == self.wish_or_become(chosen, [State.QUEUED, State.HELD], State.CANCELLED)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        selector, chosen = self.select(data)
        held = [one for one in chosen if one.state is State.HELD]
        wished = [one for one in chosen if one.wish]
        for one in held:
            one.become(State.QUEUED, self.now)
            one.next_at = self.now if one.attempts else one.next_at
        for one in wished:
            one.wish = None
        assert self.run(self.spool.release(selector, self.now)) == len(held) + len(wished)

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        selector, chosen = self.select(data)
        later = [one for one in chosen if one.state is State.QUEUED and one.next_at > self.now]
        for one in later:
            one.next_at = self.now
        assert self.run(self.spool.retry(selector, self.now)) == len(later)

    @invariant()
    def books_balance(self) -> None:
        stats = self.run(self.spool.stats())
        assert {state: n for state, n in stats.recipients.items() if n} == Counter(
            one.state for one in self.books.values()
        )
        for message_id in {one.message for one in self.books.values()}:
            record = self.run(self.spool.show(message_id))
            assert record is not None
            states = {(message_id, one.id): one.state for one in record.recipients}
            assert states == {key: one.state for key, one in self.books.items() if key[0] == message_id}
            for one in record.recipients:
                assert len(one.history) == one.attempts
                if one.state is State.HELD:
                    assert one.reason == self.books[message_id, one.id].reason
            assert record.body_kept == any(state is State.CAPTURED or state not in ENDED for state in states.values())

    @invariant()
    def next_due_is_the_earliest(self) -> None:
        due = [one.next_at for one in self.books.values() if one.state is State.QUEUED]
        assert self.run(self.spool.next_due([CREDENTIAL])) == min(due, default=None)

    def keys(self, lease: Lease) -> Sequence[tuple[tuple[str, int], Any]]:
        return [((lease.message.id, recipient.id), recipient) for recipient in lease.recipients]

    def select(self, data: st.DataObject) -> tuple[Selector, list[Modelled]]:
        ids = sorted({one.message for one in self.books.values()})
        some = st.lists(st.sampled_from(ids), max_size=3) if ids else st.just([])
        selector = Selector(ids=tuple(data.draw(some)), state=data.draw(st.sampled_from([None, *State])))
        chosen = [
            one
            for one in self.books.values()
            if (not selector.ids or one.message in selector.ids) and selector.state in (None, one.state)
        ]
        return selector, chosen

    def wish_or_become(self, chosen: Sequence[Modelled], those: Sequence[State], state: State, reason: str = "") -> int:
        now_so = [one for one in chosen if one.state in those]
        wished = [one for one in chosen if one.state is State.SENDING]
        for one in now_so:
            one.become(state, self.now, reason)
        for one in wished:
            one.wish, one.wish_reason = state, reason
        return len(now_so) + len(wished)


TestSpoolModel = SpoolModel.TestCase
TestSpoolModel.settings = settings(max_examples=40, stateful_step_count=30)

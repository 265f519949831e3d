"""Credentials that pause, and what the last process left open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from smtprelay import scheduler
from smtprelay.config import Upstream
from smtprelay.message import Envelope, Message, Origin
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reply
from smtprelay.scheduler import FIRST_PROBE, LAST_PROBE, LEASE, Credentials, Scheduler
from smtprelay.spool import Lease, SpoolError
from smtprelay.upstream import Rates

REFUSED = Fact(Phase.AUTH, Reply(535, "7.8", "no"))
ACCEPTED = Fact(Phase.AUTH, Reply(235, "7.0", "yes"))


@dataclass
class Clock:
    now: int = 0

    def __call__(self) -> int:
        return self.now


def lease(number: int) -> Lease:
    message = Message(f"m{number}", Envelope("", ()), Origin("local"), b"", 0, 0, 0, "news")
    return Lease(f"t{number}", message, ())


def test_a_refused_credential_pauses_and_is_probed_ever_more_rarely() -> None:
    clock = Clock()
    credentials = Credentials(["news", "rest"], clock)
    credentials.refused("news", "535 no")
    assert credentials.available() == ("rest",)
    assert credentials.due_probe() is None
    waits = []
    for _ in range(6):
        at = credentials.next_probe()
        assert at is not None
        waits.append(at - clock.now)
        clock.now = at
        assert credentials.due_probe() == "news"
        assert credentials.due_probe() is None, "one log-in at a time"
        credentials.probed("news", REFUSED)
    assert waits == [FIRST_PROBE, 2 * FIRST_PROBE, 4 * FIRST_PROBE, 8 * FIRST_PROBE, LAST_PROBE, LAST_PROBE]


def test_attempts_that_were_under_way_do_not_lengthen_the_pause() -> None:
    clock = Clock()
    credentials = Credentials(["news"], clock)
    for _ in range(10):
        credentials.refused("news", "535 no")
    assert credentials.next_probe() == FIRST_PROBE


def test_it_resumes_by_itself() -> None:
    clock = Clock()
    credentials = Credentials(["news"], clock)
    credentials.refused("news", "535 no")
    clock.now = FIRST_PROBE
    assert credentials.due_probe() == "news"
    credentials.probed("news", ACCEPTED)
    assert credentials.available() == ("news",)
    assert credentials.next_probe() is None


@dataclass
class FakeSpool:
    """Hands out leases; remembers what was asked."""

    due: list[Lease] = field(default_factory=list)
    abandoned: list[Lease] = field(default_factory=list)
    extended: list[tuple[str, int]] = field(default_factory=list)
    clamped: list[int] = field(default_factory=list)
    credentials: list[Collection[str]] = field(default_factory=list)
    next_at: int | None = None

    async def lease(
        self, owner: str, now: int, ttl: int, limit: int, credentials: Collection[str], max_recipients: int
    ) -> list[Lease]:
        self.credentials.append(credentials)
        taken, self.due = self.due[:limit], self.due[limit:]
        return taken

    async def reclaim(self, now: int, ttl: int, limit: int) -> list[Lease]:
        taken, self.abandoned = self.abandoned[:limit], self.abandoned[limit:]
        return taken

    async def extend(self, lease: Lease, until: int) -> None:
        self.extended.append((lease.token, until))

    async def clamp(self, latest: int) -> int:
        self.clamped.append(latest)
        return 0

    async def next_due(self, credentials: Collection[str]) -> int | None:
        return self.next_at


@dataclass
class FakeDelivery:
    """Delivers when its gate opens."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    leave: int = 1  # recipients of a lease that the smarthost is told of

    def leaving(self, lease: Lease) -> int:
        return self.leave

    async def deliver(self, lease: Lease, sent: Callable[[], None]) -> None:
        self.begun.append(lease.token)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cut.append(lease.token)
            raise
        self.ended.append(lease.token)

    async def judge_abandoned(self, lease: Lease) -> None:
        self.judged.append(lease.token)


@dataclass
class Parts:
    clock: Clock
    spool: FakeSpool
    delivery: FakeDelivery
    credentials: Credentials
    scheduler: Scheduler
    probes: list[str]


def parts(probe: Fact = ACCEPTED, rates: Rates | None = None, **spool: Any) -> Parts:
    clock, delivery, fake = Clock(1000), FakeDelivery(), FakeSpool(**spool)
    credentials = Credentials(["news"], clock)
    probes: list[str] = []

    async def log_in(name: str) -> Fact:
        probes.append(name)
        return probe

    of = Scheduler(
        fake,  # type: ignore[arg-type]
        delivery,  # type: ignore[arg-type]
        credentials,
        rates or Rates(Upstream.model_validate({"credentials": [{"name": "news"}, {"name": "rest"}]})),
        probe=log_in,
        connections=3,
        max_recipients=100,
        longest_delay=5000,
        clock=clock,
    )
    return Parts(clock, fake, delivery, credentials, of, probes)


@asynccontextmanager
async def running(of: Parts) -> AsyncIterator[None]:
    task = asyncio.create_task(of.scheduler.run())
    try:
        yield
    finally:
        of.delivery.gate.set()
        await of.scheduler.stop(grace=5)
        await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_no_more_at_once_than_there_are_connections() -> None:
    of = parts(due=[lease(i) for i in range(5)])
    async with running(of):
        await until(lambda: len(of.delivery.begun) == 3)
        assert len(of.spool.due) == 2, "what is not begun is not leased: a crash would make it ambiguous"
        of.delivery.gate.set()
        await until(lambda: len(of.delivery.ended) == 5)


async def test_new_mail_is_noticed_at_once() -> None:
    of = parts()
    of.delivery.gate.set()
    async with running(of):
        await until(lambda: len(of.spool.credentials) == 1)
        of.spool.due.append(lease(1))
        of.scheduler.wake()
        await until(lambda: of.delivery.ended == ["t1"])


async def test_a_paused_credential_is_not_asked_for_until_its_probe_gets_in() -> None:
    of = parts()
    of.delivery.gate.set()
    of.credentials.refused("news", "535 no")
    async with running(of):
        await asyncio.sleep(0.01)
        assert not of.spool.credentials
        assert not of.probes
        of.clock.now += FIRST_PROBE
        of.scheduler.wake()
        await until(lambda: of.spool.credentials == [("news",)])
        assert of.probes == ["news"]


async def test_what_the_last_process_left_open_is_judged_before_anything_else() -> None:
    of = parts(abandoned=[lease(i) for i in range(7)])
    assert await of.scheduler.recover() == 7
    assert of.delivery.judged == [f"t{i}" for i in range(7)]
    assert of.spool.clamped == [6000]


async def test_a_shutdown_waits_for_deliveries_and_then_cuts_them() -> None:
    of = parts(due=[lease(1)])
    task = asyncio.create_task(of.scheduler.run())
    await until(lambda: of.delivery.begun == ["t1"])
    await of.scheduler.stop(grace=0.01)
    assert of.delivery.cut == ["t1"]
    await task


async def test_the_heartbeat_keeps_leases_and_notices_a_clock_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "HEARTBEAT", 0.01)
    of = parts(due=[lease(1)])
    async with running(of):
        await until(lambda: bool(of.spool.extended))
        assert of.spool.extended[0] == ("t1", 1000 + LEASE)
        assert not of.spool.clamped
        of.clock.now -= 3_600_000
        await until(lambda: bool(of.spool.clamped))
        assert of.spool.clamped == [of.clock.now + 5000]


async def test_a_credential_over_its_rate_does_not_hold_up_the_others() -> None:
    """Its mail is not leased: nobody waits for the rate with a connection in his hands."""
    rates = Rates(Upstream.model_validate({"credentials": [{"name": "news", "rate": "1/h"}, {"name": "rest"}]}))
    of = parts(rates=rates, due=[lease(1)])
    of.delivery.gate.set()
    of.scheduler._credentials = Credentials(["news", "rest"], of.clock)
    rates.take("news", 1)
    async with running(of):
        await until(lambda: bool(of.spool.credentials))
        assert set(map(tuple, of.spool.credentials)) == {("rest",)}


async def test_what_leaves_is_taken_from_the_rate_before_more_is_leased() -> None:
    rates = Rates(Upstream.model_validate({"credentials": [{"name": "news", "rate": "1/h"}]}))
    of = parts(rates=rates, due=[lease(1), lease(2)])
    of.delivery.gate.set()
    async with running(of):
        await until(lambda: of.delivery.ended == ["t1"])
        assert rates.wait("news") > 0
        for _ in range(20):  # turns of the loop, in which more would be leased
            await asyncio.sleep(0)
        assert of.delivery.begun == ["t1"]


async def test_what_stays_here_takes_nothing_from_a_rate() -> None:
    rates = Rates(Upstream.model_validate({"credentials": [{"name": "news", "rate": "1/h"}]}))
    of = parts(rates=rates, due=[lease(1), lease(2)])
    of.delivery.gate.set()
    of.delivery.leave = 0
    async with running(of):
        await until(lambda: of.delivery.ended == ["t1", "t2"])


async def test_a_spool_that_fails_for_a_while_does_not_end_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "SPOOL_AGAIN", 0.0)
    of = parts(due=[lease(1)])
    of.delivery.gate.set()
    working, failures = of.spool.lease, 3

    async def failing(*arguments: Any) -> list[Lease]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise SpoolError("disk full")
        return await working(*arguments)

    monkeypatch.setattr(of.spool, "lease", failing)
    async with running(of):
        await until(lambda: of.delivery.ended == ["t1"])


async def test_a_delivery_that_failed_is_judged_when_its_lease_has_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only at the next start: until then it would be neither waiting nor ended."""
    monkeypatch.setattr(scheduler, "HEARTBEAT", 0.01)
    of = parts()
    async with running(of):
        of.spool.abandoned.append(lease(9))
        await until(lambda: of.delivery.judged == ["t9"])


async def test_a_connection_is_free_while_a_result_is_recorded() -> None:
    of = parts(due=[lease(i) for i in range(4)])
    sent: list[Callable[[], None]] = []
    deliver = of.delivery.deliver

    async def remembering(lease: Lease, sent_: Callable[[], None]) -> None:
        sent.append(sent_)
        await deliver(lease, sent_)

    of.delivery.deliver = lambda lease, sent: remembering(lease, sent)  # type: ignore[method-assign]
    async with running(of):
        await until(lambda: len(of.delivery.begun) == 3)
        sent[0]()
        sent[0]()  # said twice, it frees one connection
        await until(lambda: len(of.delivery.begun) == 4)
        assert not of.delivery.ended


async def test_no_more_wait_to_be_recorded_than_there_are_connections() -> None:
    """A crash would leave each of them in doubt."""
    of = parts(due=[lease(i) for i in range(20)])

    async def recording(lease: Lease, sent: Callable[[], None]) -> None:
        of.delivery.begun.append(lease.token)
        sent()
        await of.delivery.gate.wait()
        of.delivery.ended.append(lease.token)

    of.delivery.deliver = recording  # type: ignore[method-assign]
    async with running(of):
        await until(lambda: len(of.delivery.begun) == 6)
        await asyncio.sleep(0.01)
        assert len(of.spool.due) == 14
        of.delivery.gate.set()
        await until(lambda: len(of.delivery.ended) == 20)


def test_a_credential_that_was_changed_is_tried_at_once() -> None:
    clock = Clock()
    credentials = Credentials(["changed", "same", "gone"], clock)
    for name in ("changed", "same", "gone"):
        credentials.refused(name, "535 no")
    credentials.use(["changed", "same", "new"], {"changed", "new"})
    assert credentials.due_probe() == "changed"
    assert credentials.due_probe() is None
    assert credentials.available() == ("new",)
    credentials.probed("gone", REFUSED)  # it was under way
    credentials.refused("gone", "535 no")
    assert credentials.pauses.keys() == {"changed", "same"}


async def test_where_there_are_fewer_connections_than_before_nothing_is_leased_until_one_is_free() -> None:
    of = parts(due=[lease(number) for number in range(4)])
    async with running(of):
        async with asyncio.timeout(10):
            while len(of.delivery.begun) < 3:
                await asyncio.sleep(0)
        of.scheduler.use(connections=1, max_recipients=100, longest_delay=5000)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(of.delivery.begun) == 3
        of.delivery.gate.set()
        async with asyncio.timeout(10):
            while len(of.delivery.begun) < 4:
                await asyncio.sleep(0)

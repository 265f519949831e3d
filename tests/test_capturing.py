"""When what stays here is looked for; without a spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from smtprelay import capturing
from smtprelay.capturing import LATE, Capturing
from smtprelay.config import Upstream
from smtprelay.routing import Routing
from smtprelay.spool import Due, SpoolError

NOW = 10_000_000
LIVE = Upstream.model_validate({"credentials": [{"name": "plain"}]})
PILOT = LIVE.model_copy(
    update={
        "rules": Upstream.model_validate(
            {"mode": "sandbox", "rules": [{"recipient": "*@c.test", "action": "capture"}]}
        ).rules
    }
)
SANDBOX = Upstream.model_validate({"mode": "sandbox"})
DUE = [Due("1", "app", "a@example.com", "b@c.test"), Due("2", "app", "a@example.com", "b@d.test")]


@pytest.fixture(autouse=True)
def _only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "EVERY", 3600.0)


@dataclass
class FakeSpool:
    """Remembers from when on it was asked, and what was kept; fails as told."""

    errors: list[SpoolError] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def capture(self, now: int, since: int, kept: Callable[[Due], str]) -> AsyncIterator[Due]:
        self.asked.append(since)
        self.looked.set()
        if self.errors:
            raise self.errors.pop()
        for due in DUE:
            if words := kept(due):
                self.kept.append(f"{due.recipient} {words}")
                yield due


@asynccontextmanager
async def running(settings: Upstream, spool: FakeSpool) -> AsyncIterator[tuple[Capturing, Routing]]:
    routing = Routing(settings)
    part = Capturing(spool, routing, lambda: NOW)  # type: ignore[arg-type]
    task = asyncio.create_task(part.run())
    try:
        yield part, routing
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def again(part: Capturing, spool: FakeSpool) -> None:
    spool.looked.clear()
    part.wake()
    await asyncio.wait_for(spool.looked.wait(), 10)


async def test_all_that_is_due_at_first_and_then_what_is_new() -> None:
    spool = FakeSpool()
    async with running(PILOT, spool) as (part, _):
        await again(part, spool)
        await again(part, spool)
        spool.looked.clear()
        part.look_at_all()
        await asyncio.wait_for(spool.looked.wait(), 10)
    assert spool.asked == [0, NOW - LATE, 0]
    assert set(spool.kept) == {"b@c.test not sent: [[upstream.rules]] number 1"}


async def test_a_spool_that_fails_is_looked_through_as_a_whole() -> None:
    spool = FakeSpool()
    async with running(PILOT, spool) as (part, _):
        await again(part, spool)
        spool.errors.append(SpoolError("disk full"))
        await again(part, spool)
        await again(part, spool)
    assert spool.asked == [0, NOW - LATE, 0]


async def test_where_all_mail_leaves_nothing_is_looked_for_until_the_rules_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capturing, "EVERY", 0.0)
    spool = FakeSpool()
    async with running(LIVE, spool) as (part, routing):
        part.wake()
        for _ in range(10):
            await asyncio.sleep(0)
        assert spool.asked == []
        routing.use(PILOT)
        part.look_at_all()
        await asyncio.wait_for(spool.looked.wait(), 10)


async def test_what_was_to_wait_for_its_time_is_found_without_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "EVERY", 0.0)
    spool = FakeSpool()
    async with running(PILOT, spool):
        async with asyncio.timeout(10):
            while len(spool.asked) < 3:
                await asyncio.sleep(0)


@pytest.mark.parametrize(("settings", "looks"), [(PILOT, 1), (SANDBOX, 3)], ids=["some mail leaves", "none leaves"])
async def test_what_leaves_is_not_looked_through_with_each_message_that_comes(
    monkeypatch: pytest.MonkeyPatch, settings: Upstream, looks: int
) -> None:
    """A campaign that waits for its rate would cost a processor: 5 µs for each recipient, over and over."""
    monkeypatch.setattr(capturing, "REST", 1e12)
    spool = FakeSpool()
    async with running(settings, spool) as (part, _):
        await again(part, spool)
        for _ in range(2):
            part.wake()
            for _ in range(10):
                await asyncio.sleep(0)
    assert len(spool.asked) == looks


async def test_where_nothing_is_captured_a_message_costs_no_turn_of_the_loop() -> None:
    """Each one woke a task for nothing."""
    part = Capturing(FakeSpool(), Routing(LIVE), lambda: NOW)  # type: ignore[arg-type]
    part.wake()
    assert not part._wake.is_set()
    part.look_at_all()
    assert part._wake.is_set()

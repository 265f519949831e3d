"""The pulse: the last hour in points, problems that begin and end, and what sampling may cost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, cast

import structlog

from smtprelay import metrics
from smtprelay.health import Health
from smtprelay.problems import OLD, STALLED, Problem
from smtprelay.pulse import POINTS, STALLED_ATTEMPTS, TRIAL, TRIAL_SIZE, Pulse
from smtprelay.spool import Fault, Spool, SpoolError, State, Waiting

NOW = 1_790_000_000_000


@dataclass
class World:
    """The spool, health and the clock.

    :ivar counted: how often it was counted what waits.
    :ivar facts: what was remembered; None: forgotten.
    """

    now: int = NOW
    what_waits: Waiting = field(default_factory=lambda: Waiting({State.QUEUED: 0}))
    fault: Fault | None = None
    broken: bool = False
    counted: int = 0
    seconds: float = 0.0
    count_takes: float = 0.0
    facts: dict[str, str | None] = field(default_factory=dict)
    written: int = 0
    wrong: list[Problem] = field(default_factory=list)
    workers: dict[str, int | None] = field(default_factory=dict)

    def free(self) -> int:
        return 5000

    async def waiting(self, now: int) -> Waiting:
        self.counted += 1
        self.seconds += self.count_takes
        if self.broken:
            raise SpoolError("it is damaged")
        return self.what_waits

    async def remember(self, key: str, value: str | None) -> None:
        self.facts[key] = value
        self.written += len(value or "")

    def problems(self) -> list[Problem]:
        return self.wrong

    def pulse(self) -> Pulse:
        return Pulse(
            cast("Spool", self),
            cast("Health", self),
            workers=lambda: self.workers,
            open_connections=lambda: {"busy": 2, "idle": 1},
            clock=lambda: self.now,
            timer=lambda: self.seconds,
        )


async def test_a_point_has_what_happened_since_the_last_one() -> None:
    world = World()
    beating = world.pulse()
    await beating.sample()
    metrics.ACCEPTED_RECIPIENTS.add(n=3)
    metrics.DELIVERED.add("example.org", "a:25", n=2)
    metrics.DEFERRED.add("example.org", "a:25")
    metrics.CAPTURED.add("example.org", n=4)
    world.now += 10_000
    world.what_waits = Waiting({State.QUEUED: 1, State.HELD: 4}, {State.QUEUED: NOW, State.HELD: NOW - 1})
    await beating.sample()
    first, second = beating.points()
    assert (first.accepted, first.queued, first.oldest) == (0, 0, 0)
    assert (second.at, second.accepted, second.delivered, second.deferred, second.bounced) == (world.now, 3, 2, 1, 0)
    assert (first.captured, second.captured) == (0, 4)
    assert (second.queued, second.oldest) == (5, NOW)
    assert beating.queue() == {State.QUEUED: 1, State.HELD: 4}
    assert metrics.QUEUE.values == {("queued",): 1, ("held",): 4}
    assert metrics.OLDEST.values == {("queued",): 10.0, ("held",): 10.001}


async def test_an_hour_is_kept() -> None:
    world = World()
    beating = world.pulse()
    for _ in range(POINTS + 5):
        world.now += 10_000
        await beating.sample()
    points = beating.points()
    assert len(points) == POINTS
    assert points[-1].at - points[0].at == (POINTS - 1) * 10_000


async def test_what_takes_long_to_count_is_counted_seldom() -> None:
    world = World(count_takes=0.5)
    beating = world.pulse()
    for _ in range(12):
        await beating.sample()
        world.seconds += 10
    assert world.counted == 3  # in two minutes: at most once in 50 seconds


async def test_a_problem_is_logged_when_it_begins_and_when_it_ends() -> None:
    world = World()
    beating = world.pulse()
    with structlog.testing.capture_logs() as log:
        world.wrong = [OLD.of(age=4 * 3_600_000)]
        await beating.look()
        world.wrong = [OLD.of(age=5 * 3_600_000), STALLED.of(count=7)]
        await beating.look()
        world.wrong = [STALLED.of(count=9)]
        await beating.look()
    assert [(line["event"], line["key"]) for line in log] == [
        ("problem", "old"),
        ("problem", "stalled"),
        ("problem over", "old"),
    ]
    assert log[0]["sentence"] == "The oldest message in the queue has waited for 4h."
    assert "queue why" in log[0]["remedy"]
    assert metrics.PROBLEM.values == {("stalled", "warning"): 1}


async def test_a_spool_that_could_not_be_written_is_tried_again_without_mail() -> None:
    world = World()
    beating = world.pulse()
    await beating.try_spool()
    assert world.written == 0
    world.fault = Fault(NOW, "The disk is full.")
    await beating.try_spool()
    assert world.written == TRIAL_SIZE
    assert world.facts == {TRIAL: None}  # nothing of it stays


async def test_a_damaged_spool_does_not_end_the_pulse() -> None:
    world = World(broken=True)
    beating = world.pulse()
    with structlog.testing.capture_logs() as log:
        await beating.sample()
    assert [line["reason"] for line in log] == ["it is damaged"]
    assert len(beating.points()) == 1


async def test_nothing_delivered_while_attempts_are_deferred() -> None:
    world = World()
    beating = world.pulse()
    metrics.DEFERRED.add("example.org", "a:25", n=STALLED_ATTEMPTS - 1)
    await beating.sample()
    assert beating.stalled() == 0
    metrics.DEFERRED.add("example.org", "a:25")
    await beating.sample()
    assert beating.stalled() == STALLED_ATTEMPTS
    metrics.DELIVERED.add("example.org", "a:25")
    await beating.sample()
    assert beating.stalled() == 0


async def test_processes_and_their_memory() -> None:
    world = World(workers={"preparation": os.getpid(), "rendering": None, "gone": 2**22 + 1})
    await world.pulse().sample()
    assert metrics.WORKERS.values == {("preparation",): 1, ("rendering",): 0, ("gone",): 1}
    memory: dict[Any, float] = dict(metrics.WORKER_BYTES.values)
    assert memory["preparation",] > 2**20
    assert memory["gone",] == 0
    assert metrics.SMARTHOSTS_OPEN.values == {("busy",): 2, ("idle",): 1}

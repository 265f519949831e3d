"""The relay's pulse: what nobody counts when it happens is sampled, and the last hour kept for the page's chart."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from smtprelay import __version__, metrics
from smtprelay.health import Health
from smtprelay.problems import Problem
from smtprelay.spool import Spool, SpoolError, State, Waiting

log = structlog.get_logger("pulse")

BEAT = 0.25  # seconds between two looks at how late the loop is
LOOK = 1.0  # seconds between two looks at what is wrong
INTERVAL = 10.0  # seconds between two points
POINTS = 360  # of the last hour
STALLED_POINTS = 60  # of the last ten minutes
STALLED_ATTEMPTS = 5
COST = 100  # how many times as long as counting what waits took nobody counts it again
TRIAL = "trial"  # a fact that is written to see whether facts can be
TRIAL_SIZE = 64 * 2**10  # on a full disk, little fits now and then
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in ten seconds, and how the queue stood at their end.

    :param at: their end; Unix time in milliseconds.
    :param accepted: recipients of the messages that were accepted; the others count recipients too.
    :param queued: that waited, were being sent or held.
    :param oldest: since when the oldest message waited that is not held; Unix time in milliseconds, 0 for none.
    """

    at: int
    accepted: int
    delivered: int
    deferred: int
    bounced: int
    captured: int
    queued: int
    oldest: int


class Pulse:
    """Samples, and tells of problems that begin and end.

    :param workers: the numbers of the processes beside the daemon, by what they do; None for one that does not run.
    :param open_connections: to smarthosts, by what they do.
    :param clock: Unix time in milliseconds.
    :param timer: monotonic seconds.
    :ivar problems: what was wrong a moment ago.
    """

    def __init__(
        self,
        spool: Spool,
        health: Health,
        *,
        workers: Callable[[], Mapping[str, int | None]],
        open_connections: Callable[[], Mapping[str, int]],
        clock: Callable[[], int],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._health = health
        self._workers = workers
        self._open_connections = open_connections
        self._clock = clock
        self._timer = timer
        self._points: deque[Point] = deque(maxlen=POINTS)
        self._counted = _totals()
        self._waiting = Waiting({})
        self._count_at = 0.0
        self.problems: list[Problem] = []
        metrics.BUILD_INFO.set(1, __version__, sys.version.partition(" ")[0])

    def points(self) -> Sequence[Point]:
        """The last hour, the latest at the end."""
        return list(self._points)

    def queue(self) -> Mapping[State, int]:
        """How many recipients are queued, being sent and held, as it was counted a moment ago."""
        return self._waiting.recipients

    def waiting(self) -> Waiting:
        """What waits, as it was counted a moment ago."""
        return self._waiting

    def stalled(self) -> int:
        """How many attempts were deferred in the last ten minutes, where they are several and nothing was delivered."""
        points = list(self._points)[-STALLED_POINTS:]
        deferred = sum(point.deferred for point in points)
        return deferred if deferred >= STALLED_ATTEMPTS and not any(point.delivered for point in points) else 0

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(
            self._beat(),
            _repeat(self.sample, INTERVAL),
            _repeat(self.look, LOOK),
            _repeat(self.try_spool, LOOK),
            _repeat(self._health.try_again, INTERVAL),
        )

    async def _beat(self) -> None:
        while True:
            due = time.monotonic() + BEAT
            await asyncio.sleep(BEAT)
            metrics.LOOP_LAG_SECONDS.observe(max(time.monotonic() - due, 0.0))

    async def sample(self) -> None:
        """Measure, and add a point."""
        await self.measure()
        self._add_point()

    async def measure(self) -> None:
        """Say in the metrics how everything stands now."""
        await self._count()
        metrics.DISK_FREE.set(self._spool.free())
        metrics.SMARTHOSTS_OPEN.replace({(state,): n for state, n in self._open_connections().items()})
        workers = self._workers()
        metrics.WORKERS.replace({(name,): int(pid is not None) for name, pid in workers.items()})
        metrics.WORKER_BYTES.replace({(name,): _resident(pid) for name, pid in workers.items() if pid is not None})

    async def try_spool(self) -> None:
        """Where it cannot be written, perhaps it can now, and no mail comes to try."""
        if self._spool.fault:
            with suppress(SpoolError):
                await self._spool.remember(TRIAL, "x" * TRIAL_SIZE)
                await self._spool.remember(TRIAL, None)

    async def _count(self) -> None:
        if (began := self._timer()) < self._count_at:
            return
        try:
            self._waiting = await self._spool.waiting(self._clock())
        except SpoolError as error:
            log.error("what waits cannot be counted", reason=str(error))
        self._count_at = self._timer() + (self._timer() - began) * COST
        now, waiting = self._clock(), self._waiting
        metrics.QUEUE.replace({(state,): number for state, number in waiting.recipients.items()})
        ages = {state: (now - waiting.oldest.get(state, now)) / 1000 for state in waiting.recipients}
        metrics.OLDEST.replace({(state,): age for state, age in ages.items()})
        metrics.SPOOL_BYTES.set(waiting.bytes)
        metrics.HELD.replace({(reason,): number for reason, number in waiting.held.items()})

    def _add_point(self) -> None:
        now, counted, waiting = self._clock(), _totals(), self._waiting
        since = [new - old for new, old in zip(counted, self._counted, strict=True)]
        self._counted = counted
        accepted, delivered, deferred, bounced, captured = since
        queued = sum(waiting.recipients.values())
        oldest = min((at for state, at in waiting.oldest.items() if state is not State.HELD), default=0)
        self._points.append(Point(now, accepted, delivered, deferred, bounced, captured, queued, oldest))

    async def look(self) -> None:
        """Look at what is wrong, and log a problem when it begins and when it ends."""
        before, self.problems = self.problems, self._health.problems()
        for problem in _beyond(self.problems, before):
            level = log.critical if problem.severity == "critical" else log.warning
            level("problem", key=problem.key, sentence=problem.sentence, remedy=problem.remedy)
        for problem in _beyond(before, self.problems):
            log.warning("problem over", key=problem.key, sentence=problem.sentence)
        counts: Counter[metrics.Labels] = Counter((problem.key, problem.severity) for problem in self.problems)
        metrics.PROBLEM.replace(counts)


def _beyond(problems: Sequence[Problem], others: Sequence[Problem]) -> Iterator[Problem]:
    """Those that are not among the others. Their words may change while they last."""
    known = {(other.key, other.severity, other.about) for other in others}
    return (problem for problem in problems if (problem.key, problem.severity, problem.about) not in known)


async def _repeat(work: Callable[[], Awaitable[None]], pause: float) -> None:
    """:param pause: seconds."""
    while True:
        try:
            await work()
            await asyncio.sleep(pause)
        except Exception:  # that something cannot be looked at must not stop the mail
            log.exception("the pulse misses a beat")
            await asyncio.sleep(INTERVAL)


def _totals() -> list[int]:
    ends = (metrics.DELIVERED, metrics.DEFERRED, metrics.BOUNCED, metrics.CAPTURED)
    counters = (metrics.ACCEPTED_RECIPIENTS, *ends)
    return [round(counter.total()) for counter in counters]


def _resident(pid: int) -> int:
    """Bytes in memory (proc(5)); 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except OSError:
        return 0

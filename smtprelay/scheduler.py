"""What is due, for whom, how many at once; crash recovery."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from smtprelay.delivery import Delivery
from smtprelay.message import new_id
from smtprelay.outcome import Fact, Phase
from smtprelay.spool import Lease, LeaseLost, Spool

log = structlog.get_logger("scheduler")

LEASE = 600_000  # milliseconds that a lease lasts; extended while its delivery goes on
HEARTBEAT = 60.0  # seconds between extensions, and between looks at the clock
CLOCK_JUMP = 10_000  # milliseconds between wall clock and monotonic clock that are no drift
MINIMUM_WAIT = 10  # milliseconds between two looks at the spool where nothing happened
FIRST_PROBE = 300_000  # milliseconds that a refused credential pauses …
LAST_PROBE = 3_600_000  # … doubling up to this


@dataclass(slots=True)
class Pause:
    """A credential that the smarthost refused.

    :param until: when the next log-in probes; Unix time in milliseconds.
    """

    since: int
    until: int
    interval: int
    reply: str


class Credentials:
    """Which credentials may send now. A refused one pauses, its mail waits, and one log-in at a time probes it.

    :param names: as configured.
    """

    def __init__(self, names: Sequence[str], clock: Callable[[], int]) -> None:
        self._names = tuple(names)
        self._clock = clock
        self.pauses: dict[str, Pause] = {}

    def available(self) -> tuple[str, ...]:
        """Those whose mail may be sent."""
        return tuple(name for name in self._names if name not in self.pauses)

    def refused(self, name: str, reply: str) -> None:
        """The smarthost refused the log-in of an attempt."""
        if name not in self.pauses:  # otherwise the attempt was under way when another one was refused
            now = self._clock()
            self.pauses[name] = Pause(now, now + FIRST_PROBE, FIRST_PROBE, reply)
            self._alarm(name)

    def probed(self, name: str, fact: Fact) -> None:
        """The result of a probe."""
        pause = self.pauses[name]
        if fact.phase is Phase.AUTH and fact.reply and fact.reply.code // 100 == 2:
            del self.pauses[name]
            log.warning("credential accepted again; its mail goes on", credential=name)
            return
        pause.interval = min(pause.interval * 2, LAST_PROBE)
        pause.until = self._clock() + pause.interval
        pause.reply = str(fact)
        self._alarm(name)

    def due_probe(self) -> str | None:
        """A credential to try now; until the result is there, it is not named again."""
        now = self._clock()
        for name, pause in self.pauses.items():
            if pause.until <= now:
                pause.until = now + LAST_PROBE
                return name
        return None

    def _alarm(self, name: str) -> None:
        log.critical(
            "the smarthost refuses this credential; its mail waits. Check username and password",
            credential=name,
            reply=self.pauses[name].reply,
            next_probe_in=self.pauses[name].interval // 1000,
        )

    def next_probe(self) -> int | None:
        """When the next pause is over; Unix time in milliseconds."""
        return min((pause.until for pause in self.pauses.values()), default=None)


class Scheduler:
    """Leases what is due and has it delivered, as many at once as there are connections.

    :param probe: one log-in with a credential.
    :param longest_delay: milliseconds: nothing waits longer than that for its next attempt.
    """

    def __init__(
        self,
        spool: Spool,
        delivery: Delivery,
        credentials: Credentials,
        *,
        probe: Callable[[str], Awaitable[Fact]],
        parallel: int,
        max_recipients: int,
        longest_delay: int,
        clock: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._delivery = delivery
        self._credentials = credentials
        self._probe = probe
        self._parallel = parallel
        self._max_recipients = max_recipients
        self._longest_delay = longest_delay
        self._clock = clock
        self._owner = new_id(clock())
        self._wake = asyncio.Event()
        self._in_flight: dict[asyncio.Task[None], Lease] = {}
        self._probes: set[asyncio.Task[None]] = set()
        self._stopping = False

    def wake(self) -> None:
        """Something may have become due."""
        self._wake.set()

    async def recover(self) -> int:
        """Judge what the last process left open. :returns: how many leases."""
        count = 0
        await self._spool.clamp(self._clock() + self._longest_delay)
        while leases := await self._spool.reclaim(self._clock(), LEASE, self._parallel):
            for lease in leases:
                await self._delivery.judge_abandoned(lease)
            count += len(leases)
        if count:
            log.warning("attempts of the last run have no known result", attempts=count)
        return count

    async def run(self) -> None:
        """Deliver until `stop`."""
        heartbeat = asyncio.create_task(self._beat())
        try:
            while not self._stopping:
                self._wake.clear()
                while name := self._credentials.due_probe():
                    probe = asyncio.create_task(self._try_credential(name))
                    self._probes.add(probe)
                    probe.add_done_callback(self._probes.discard)
                started = await self._start_due()
                if not started or len(self._in_flight) >= self._parallel:
                    await self._pause()
        finally:
            for task in (heartbeat, *self._probes):
                task.cancel()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; let what is in flight end.

        :param grace: seconds; what is not done by then is cut, recorded, and tried again at the next start.
        """
        self._stopping = True
        self.wake()
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=grace)
        for task in list(self._in_flight):
            task.cancel()
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    async def _start_due(self) -> int:
        free = self._parallel - len(self._in_flight)
        names = self._credentials.available()
        if not free or not names:
            return 0
        leases = await self._spool.lease(self._owner, self._clock(), LEASE, free, names, self._max_recipients)
        for lease in leases:
            task = asyncio.create_task(self._deliver(lease))
            self._in_flight[task] = lease
            task.add_done_callback(self._ended)
        return len(leases)

    async def _deliver(self, lease: Lease) -> None:
        try:
            await self._delivery.deliver(lease)
        except Exception:
            # Its attempt stays open, and is judged at the next start.
            log.exception("delivery failed", id=lease.message.id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self.wake()

    async def _pause(self) -> None:
        """Sleep until something ends, arrives or becomes due."""
        due = self._credentials.next_probe()
        if len(self._in_flight) < self._parallel:
            next_due = await self._spool.next_due(self._credentials.available())
            due = min((at for at in (due, next_due) if at is not None), default=None)
        timeout = None if due is None else max(due - self._clock(), MINIMUM_WAIT) / 1000
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)

    async def _try_credential(self, name: str) -> None:
        self._credentials.probed(name, await self._probe(name))
        self.wake()

    async def _beat(self) -> None:
        """Keep leases alive, and notice when the clock was set."""
        offset = self._clock() - time.monotonic() * 1000
        while True:
            await asyncio.sleep(HEARTBEAT)
            now = self._clock()
            for lease in list(self._in_flight.values()):
                with suppress(LeaseLost):
                    await self._spool.extend(lease, now + LEASE)
            drift = now - time.monotonic() * 1000 - offset
            if abs(drift) > CLOCK_JUMP:
                offset += drift
                clamped = await self._spool.clamp(now + self._longest_delay)
                log.warning("the clock was set", by_ms=round(drift), recipients_rescheduled=clamped)
                self.wake()

"""What is due, for whom, how many at once; crash recovery."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from smtprelay import metrics
from smtprelay.delivery import Delivery
from smtprelay.message import new_id
from smtprelay.outcome import Fact, accepts_credential, refuses_credential
from smtprelay.spool import Lease, LeaseLost, Spool, SpoolError
from smtprelay.upstream import Rates

log = structlog.get_logger("scheduler")

LEASE = 600_000  # milliseconds that a lease lasts; extended while its delivery goes on
HEARTBEAT = 60.0  # seconds between extensions, and between looks at the clock
CLOCK_JUMP = 10_000  # milliseconds between wall clock and monotonic clock that are no drift
MINIMUM_WAIT = 10  # milliseconds between two looks at the spool where nothing happened
FIRST_PROBE = 300_000  # milliseconds that a refused credential pauses …
LAST_PROBE = 3_600_000  # … doubling up to this
SPOOL_AGAIN = 5.0  # seconds until a spool that failed is tried again
CUT_GRACE = 10.0  # seconds that the results of cut deliveries get on their way to the disk


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
        self._count()

    def use(self, names: Sequence[str], changed: Collection[str]) -> None:
        """Have other credentials from now on.

        :param changed: those that log in otherwise than before: if they pause, the next probe is due.
        """
        self._names = tuple(names)
        for name, pause in list(self.pauses.items()):
            if name not in self._names:
                del self.pauses[name]
            elif name in changed:
                pause.until, pause.interval = self._clock(), FIRST_PROBE
        self._count()

    def available(self) -> tuple[str, ...]:
        """Those whose mail may be sent."""
        return tuple(name for name in self._names if name not in self.pauses)

    def refused(self, name: str, reply: str) -> None:
        """The smarthost refused the log-in of an attempt."""
        metrics.CREDENTIAL_REFUSALS.add(name)
        if name in self._names and name not in self.pauses:  # otherwise the attempt was under way when that changed
            now = self._clock()
            self.pauses[name] = Pause(now, now + FIRST_PROBE, FIRST_PROBE, reply)
            self._alarm(name)
            self._count()

    def probed(self, name: str, fact: Fact) -> None:
        """The result of a probe."""
        pause = self.pauses.get(name)
        if pause is None:  # gone meanwhile
            return
        if accepts_credential(fact):
            del self.pauses[name]
            self._count()
            log.warning("credential accepted again; its mail goes on", credential=name)
            return
        pause.interval = min(pause.interval * 2, LAST_PROBE)
        pause.until = self._clock() + pause.interval
        pause.reply = str(fact)
        if refuses_credential(fact):
            metrics.CREDENTIAL_REFUSALS.add(name)
        self._alarm(name)

    def due_probe(self) -> str | None:
        """A credential to try now; until the result is there, it is not named again."""
        now = self._clock()
        for name, pause in self.pauses.items():
            if pause.until <= now:
                pause.until = now + LAST_PROBE
                return name
        return None

    def _count(self) -> None:
        metrics.CREDENTIAL_PAUSED.replace({(name,): int(name in self.pauses) for name in self._names})

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

    :param rates: how fast each credential may send.
    :param probe: one log-in with a credential.
    :param connections: to smarthosts, at one time.
    :param longest_delay: milliseconds: nothing waits longer than that for its next attempt.
    """

    def __init__(
        self,
        spool: Spool,
        delivery: Delivery,
        credentials: Credentials,
        rates: Rates,
        *,
        probe: Callable[[str], Awaitable[Fact]],
        connections: int,
        max_recipients: int,
        longest_delay: int,
        clock: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._delivery = delivery
        self._credentials = credentials
        self._rates = rates
        self._probe = probe
        self._clock = clock
        self._owner = new_id(clock())
        self._wake = asyncio.Event()
        self._in_flight: dict[asyncio.Task[None], Lease] = {}
        # Tokens of those in flight that need a connection; the others are being recorded.
        self._sending: set[str] = set()
        self._probes: set[asyncio.Task[None]] = set()
        self._leasing = asyncio.Lock()
        self._stopping = False
        self.use(connections=connections, max_recipients=max_recipients, longest_delay=longest_delay)

    def use(self, *, connections: int, max_recipients: int, longest_delay: int) -> None:
        """Keep to other numbers from now on."""
        self._connections = connections
        self._max_recipients = max_recipients
        self._longest_delay = longest_delay
        self.wake()

    def wake(self) -> None:
        """Something may have become due."""
        self._wake.set()

    async def recover(self) -> int:
        """Judge what the last process left open. :returns: how many leases."""
        now = self._clock()
        await self._spool.clamp(now + self._longest_delay)
        count = await self._judge_abandoned(now)
        if count:
            log.warning("attempts of the last run have no known result", attempts=count)
        return count

    async def _judge_abandoned(self, now: int) -> int:
        count = 0
        while leases := await self._spool.reclaim(now, LEASE, self._connections):
            for lease in leases:
                await self._delivery.judge_abandoned(lease)
            count += len(leases)
        return count

    async def run(self) -> None:
        """Deliver until `stop`."""
        heartbeat = asyncio.create_task(self._beat())
        try:
            while not self._stopping:
                self._wake.clear()
                self._start_probes()
                try:
                    started = await self._start_due()
                    if not started or not self._free:
                        await self._pause()
                except SpoolError as error:  # a full disk, say: it passes, and accepting must not end with it
                    log.critical("the spool cannot be read or written", reason=str(error))
                    await asyncio.sleep(SPOOL_AGAIN)
        finally:
            for task in (heartbeat, *self._probes):
                task.cancel()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; let what is in flight end.

        :param grace: seconds; what is not done by then is cut, recorded, and tried again at the next start.
        """
        self._stopping = True
        self.wake()
        async with self._leasing:  # what is being leased must begin: found open at the next start, it were in doubt
            pass
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=grace)
        for patience in (CUT_GRACE, None):
            for task in list(self._in_flight):
                task.cancel()
            if self._in_flight:
                await asyncio.wait(self._in_flight, timeout=patience)

    def _start_probes(self) -> None:
        while name := self._credentials.due_probe():
            probe = asyncio.create_task(self._try_credential(name))
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)

    async def _start_due(self) -> int:
        async with self._leasing:
            limit = self._free
            names = self._ready()
            if not limit or not names or self._stopping:
                return 0
            if limited := any(map(self._rates.limited, names)):
                limit = 1  # one after the other, so that no more is leased than the rate lets through
            leases = await self._spool.lease(self._owner, self._clock(), LEASE, limit, names, self._max_recipients)
            for lease in leases:
                if limited:
                    self._rates.take(lease.message.credential, self._delivery.leaving(lease))
                self._sending.add(lease.token)
                task = asyncio.create_task(self._deliver(lease))
                self._in_flight[task] = lease
                task.add_done_callback(self._ended)
            return len(leases)

    @property
    def _free(self) -> int:
        """Connections that nobody needs. What has to wait for one is not leased: a crash would leave it in doubt. So
        would it what is not recorded yet: as much of that at most as there are connections."""
        free = min(self._connections - len(self._sending), 2 * self._connections - len(self._in_flight))
        return max(free, 0)  # there may have been more of them

    def _ready(self) -> Collection[str]:
        """The credentials that may send, and are not over their rate."""
        return tuple(name for name in self._credentials.available() if not self._rates.wait(name))

    async def _deliver(self, lease: Lease) -> None:
        try:
            await self._delivery.deliver(lease, sent=lambda: self._sent(lease))
        except Exception:
            # Its attempt stays open until its lease has run out, and is judged then.
            log.exception("delivery failed", id=lease.message.id)
        finally:
            self._sent(lease)

    def _sent(self, lease: Lease) -> None:
        """Its connection is free."""
        self._sending.discard(lease.token)
        self.wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self.wake()

    async def _pause(self) -> None:
        """Sleep until something ends, arrives or becomes due."""
        due = self._credentials.next_probe()
        if self._free:
            dues = [due, await self._spool.next_due(self._ready()), *await self._dues_by_rate()]
            due = min((at for at in dues if at is not None), default=None)
        timeout = None if due is None else max(due - self._clock(), MINIMUM_WAIT) / 1000
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)

    async def _dues_by_rate(self) -> list[int]:
        """When the credentials that are over their rate may send what waits for them."""
        dues = []
        for name in self._credentials.available():
            wait = self._rates.wait(name)
            if wait and (due := await self._spool.next_due([name])) is not None:
                dues.append(max(due, self._clock() + round(wait * 1000)))
        return dues

    async def _try_credential(self, name: str) -> None:
        try:
            self._credentials.probed(name, await self._probe(name))
        except Exception:
            log.exception("probe failed", credential=name)  # `due_probe` names it again in an hour
        self.wake()

    async def _beat(self) -> None:
        """Keep leases alive, and notice when the clock was set."""
        offset = self._clock() - time.monotonic() * 1000
        while True:
            await asyncio.sleep(HEARTBEAT)
            now = self._clock()
            try:
                for lease in list(self._in_flight.values()):
                    with suppress(LeaseLost):
                        await self._spool.extend(lease, now + LEASE)
                drift = now - time.monotonic() * 1000 - offset
                if abs(drift) > CLOCK_JUMP:
                    clamped = await self._spool.clamp(now + self._longest_delay)
                    offset += drift
                    log.warning("the clock was set", by_ms=round(drift), recipients_rescheduled=clamped)
                # After the extensions: what runs out all the same is a delivery that failed.
                if await self._judge_abandoned(now):
                    self.wake()
            except Exception:
                log.exception("leases could not be kept")

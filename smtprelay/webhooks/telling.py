"""Webhooks are told of events, each in order and at least once, and never in the way of mail.

The spool keeps an event until all have been told, or until it is too old; how far each has been told, it keeps as a
fact. So a webhook that failed, or a relay that was killed, goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from smtprelay import metrics
from smtprelay.events import Batch, batch
from smtprelay.spool import Spool, SpoolError
from smtprelay.webhooks.http import NotTaken, open_client, post
from smtprelay.webhooks.target import CURSOR, Target, wanted

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger("webhooks")

BATCH = 100  # events that are told at once
EVERY = 1.0  # seconds between two looks at what there is to tell
FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0  # seconds until it is tried again: doubled each time
KEPT = 100_000  # events that wait for their webhook
OLDEST = 3 * 86_400_000  # milliseconds that they wait
UPKEEP = 10.0  # seconds
PAUSE = 0.1  # seconds between two slices of events that are dropped: messages come first
PATIENCE = 10.0  # seconds until a spool that failed is asked again
GONE = 410


@dataclass(frozen=True, slots=True)
class Trouble:
    """A webhook that does not take what it is told.

    :param since: Unix time in milliseconds.
    :param words: how it failed last.
    """

    since: int
    words: str


class _Teller:
    """Tells one webhook.

    :ivar cursor: the number of the last event that it need not be told any more.
    :ivar trouble: None while all is well.
    """

    def __init__(self, target: Target, spool: Spool, cursor: int, clock: Callable[[], int]) -> None:
        self.target = target
        self.cursor = cursor
        self.trouble: Trouble | None = None
        self._spool = spool
        self._clock = clock
        self._taken = cursor  # up to this number events are on their way to it
        self._lost = 0

    async def run(self, client: httpx.AsyncClient) -> None:
        """Until it is cancelled, or the webhook says that it is gone."""
        while True:
            try:
                events = await self._spool.events(self.cursor, self.target.events, BATCH)
                self._taken = events.last
                if events.found and not await self._tell(client, batch(events.found)):
                    return
                self.cursor = max(self.cursor, events.last)
                if events.found:
                    await self._spool.remember(self.target.cursor, str(self.cursor))
                if not events.more:
                    await asyncio.sleep(EVERY)
            except SpoolError as error:
                log.error("events cannot be read for a webhook", webhook=self.target.name, reason=str(error))
                await asyncio.sleep(PATIENCE)
            except Exception:  # whatever it is, mail goes on
                log.exception("webhook failed within smtprelay", webhook=self.target.name)
                await asyncio.sleep(PATIENCE)

    def lose(self, dropped: Sequence[tuple[int, str]]) -> None:
        """Events are no more; those that it was not told are counted, and said so once."""
        lost = sum(number > self._taken and event in self.target.events for number, event in dropped)
        if lost and not self._lost:
            log.error("events are dropped: their webhook has not taken them for too long", webhook=self.target.name)
        if lost:
            self._lost += lost
            metrics.WEBHOOK_DROPPED.add(self.target.name, n=lost)
        self.cursor = max(self.cursor, dropped[-1][0])

    async def _tell(self, client: httpx.AsyncClient, told: Batch) -> bool:
        """Again and again, until it has been taken. :returns: False where the webhook is gone."""
        name = self.target.name
        for wait in _waits():
            try:
                await post(client, self.target, told, self._clock() // 1000)
            except NotTaken as problem:
                metrics.WEBHOOK_DELIVERIES.add(name, "failed")
                self.trouble = Trouble(self.trouble.since if self.trouble else self._clock(), str(problem))
                if problem.status == GONE:
                    log.error("webhook is gone: it is told nothing until the next start or reload", webhook=name)
                    return False
                log.warning("webhook does not take events", webhook=name, reason=str(problem), again_in=wait)
                await asyncio.sleep(wait)
            else:
                break
        metrics.WEBHOOK_DELIVERIES.add(name, "taken")
        if self.trouble:
            log.info("webhook takes events again", webhook=name, dropped=self._lost)
        self.trouble, self._lost = None, 0
        return True


def _waits() -> Iterator[float]:
    """Seconds until it is tried again, without end."""
    wait = FIRST_WAIT
    while True:
        yield wait
        wait = min(wait * 2, LONGEST_WAIT)


class Webhooks:
    """All webhooks.

    :param clock: Unix time in milliseconds.
    """

    def __init__(self, targets: Sequence[Target], spool: Spool, clock: Callable[[], int]) -> None:
        self._targets = targets
        self._spool = spool
        self._clock = clock
        self._tellers: list[_Teller] = []
        self._changed = asyncio.Event()

    def use(self, targets: Sequence[Target]) -> None:
        """Tell these from now on. One that was gone, or waits to be tried again, is tried now."""
        if tuple(targets) != tuple(self._targets) or self.troubles:
            self._targets = targets
            self._changed.set()

    @property
    def troubles(self) -> dict[str, Trouble]:
        """The webhooks that take nothing now, by name."""
        return {teller.target.name: teller.trouble for teller in self._tellers if teller.trouble}

    async def start(self) -> None:
        """Keep events from now on. :raises SpoolError: it cannot."""
        self._changed.clear()
        await self._spool.record(wanted(self._targets))
        known = await self._spool.recall(CURSOR)
        newest = await self._spool.last_event()
        self._tellers = [
            _Teller(target, self._spool, int(known.get(target.cursor, newest)), self._clock) for target in self._targets
        ]
        await self._note_cursors(known)
        if self._tellers:
            log.info("webhooks are told", webhooks=[target.name for target in self._targets])

    async def _note_cursors(self, known: Mapping[str, str]) -> None:
        """Before anything is told: we might be killed before that."""
        cursors = {teller.target.cursor: str(teller.cursor) for teller in self._tellers}
        try:
            for fact in known.keys() | cursors.keys():
                if known.get(fact) != cursors.get(fact):
                    await self._spool.remember(fact, cursors.get(fact))
        except SpoolError as error:  # a full disk must not hinder the start
            log.error("where webhooks begin could not be noted", reason=str(error))

    async def run(self) -> None:
        """Until it is cancelled; after `start`."""
        while True:
            try:
                if self._tellers:
                    await self._tell()
                else:
                    await self._drop()
                    metrics.WEBHOOK_BACKLOG.replace({})
                    await self._changed.wait()
                await self.start()
            except Exception:
                log.exception("webhooks failed within smtprelay")
                self._changed.set()  # so that they begin anew
                await asyncio.sleep(PATIENCE)

    async def _tell(self) -> None:
        """Until other webhooks are to be told."""
        async with await open_client() as client:
            telling = [asyncio.create_task(teller.run(client)) for teller in self._tellers]
            try:
                while not self._changed.is_set():
                    await self._keep_house()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), UPKEEP)
            finally:
                for task in telling:
                    task.cancel()
                await asyncio.gather(*telling, return_exceptions=True)

    async def _keep_house(self) -> None:
        try:
            await self._drop()
            await self._count()
        except SpoolError as error:
            log.error("told events could not be dropped", reason=str(error))

    async def _drop(self) -> None:
        """What all have been told, and what waits for too long."""
        newest = await self._spool.last_event()
        told = min((teller.cursor for teller in self._tellers), default=newest)
        while dropped := await self._spool.drop_events(max(told, newest - KEPT), self._clock() - OLDEST):
            for teller in self._tellers:
                teller.lose(dropped)
            await asyncio.sleep(PAUSE)

    async def _count(self) -> None:
        waiting: dict[metrics.Labels, float] = {}
        for teller in self._tellers:
            waiting[teller.target.name,] = await self._spool.count_events(teller.cursor, teller.target.events)
        metrics.WEBHOOK_BACKLOG.replace(waiting)

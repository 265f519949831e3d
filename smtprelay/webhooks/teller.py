"""One webhook is told of events, in order, each at least once. Imported when there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import structlog

from smtprelay import metrics
from smtprelay.events import Batch, batch
from smtprelay.spool import Spool, SpoolError
from smtprelay.webhooks.http import NotTaken, post
from smtprelay.webhooks.target import Target, Trouble

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger("webhooks")

BATCH = 100  # events that are told at once
EVERY = 1.0  # seconds between two looks at what there is to tell
FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0  # seconds until it is tried again: doubled each time
PATIENCE = 10.0  # seconds until a spool that failed is asked again
GONE = 410


class Teller:
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
                since = self.trouble.since if self.trouble else self._clock()
                self.trouble = Trouble(since, str(problem), gone=problem.status == GONE)
                if self.trouble.gone:
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

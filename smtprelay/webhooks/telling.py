"""Webhooks are told of events, each in order and at least once, and never in the way of mail.

The spool keeps an event until all have been told, or until it is too old; how far each has been told, it keeps as a
fact. So a webhook that failed, or a relay that was killed, goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from smtprelay import metrics
from smtprelay.spool import Spool, SpoolError
from smtprelay.spool.facts import read_fact
from smtprelay.webhooks.target import CURSOR, Target, Trouble, wanted

if TYPE_CHECKING:
    from smtprelay.webhooks.teller import Teller

log = structlog.get_logger("webhooks")

KEPT = 100_000  # events that wait for their webhook
OLDEST = 3 * 86_400_000  # milliseconds that they wait
UPKEEP = 10.0  # seconds
PAUSE = 0.1  # seconds between two slices of events that are dropped: messages come first
PATIENCE = 10.0  # seconds until a spool that failed is asked again


class Webhooks:
    """All webhooks.

    :param clock: Unix time in milliseconds.
    """

    def __init__(self, targets: Sequence[Target], spool: Spool, clock: Callable[[], int]) -> None:
        self._targets = targets
        self._spool = spool
        self._clock = clock
        self._tellers: list[Teller] = []
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
        self._tellers = [self._teller(target, known, newest) for target in self._targets]
        await self._note_cursors(known)
        if self._tellers:
            log.info("webhooks are told", webhooks=[target.name for target in self._targets])

    def _teller(self, target: Target, known: Mapping[str, str], newest: int) -> Teller:
        from smtprelay.webhooks.teller import Teller

        cursor = read_fact(known, target.cursor, int)
        return Teller(target, self._spool, newest if cursor is None else cursor, self._clock)

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
        from smtprelay.webhooks.http import open_client

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

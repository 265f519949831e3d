"""What stays here in place of being sent ends without waiting: not for a connection, a rate, or a credential, which may
be refused, or on a test system not exist.

It is looked for beside the scheduler, which leases nothing that waits for those. What both find at one time,
`Delivery` captures just so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from smtprelay import metrics
from smtprelay.message import domain_of
from smtprelay.outcome import Phase
from smtprelay.routing import Capture, Routing
from smtprelay.spool import Due, Spool, SpoolError

log = structlog.get_logger("delivery")

EVERY = 1.0  # seconds: nobody says when mail becomes due that waited for its time
LATE = 60_000  # milliseconds until what is due stands in the spool, if all is well
REST = 9  # times as long as a look took nobody looks again, where what it passed over is still there
MOST_REST = 30.0  # seconds
WHOLE = 600.0  # seconds between looks at all that is due, however late it came and whatever the clock did


class Capturing:
    """Looks for what is due and stays here.

    :param clock: Unix time in milliseconds.
    """

    def __init__(self, spool: Spool, routing: Routing, clock: Callable[[], int]) -> None:
        self._spool = spool
        self._routing = routing
        self._clock = clock
        self._wake = asyncio.Event()
        self._since = 0
        self._whole_at = 0.0  # of the loop's clock
        self._passed = 0  # how many were found by the last look and leave

    def wake(self) -> None:
        """Something may have become due. Where nothing is captured, no message is to pay for being told of."""
        if self._routing.captures:
            self._wake.set()

    def look_at_all(self) -> None:
        """The rules have changed."""
        self._whole_at = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._wake.clear()
            if self._routing.captures:
                began = time.monotonic()
                if await self._look():
                    await asyncio.sleep(min((time.monotonic() - began) * REST, MOST_REST))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), EVERY if self._routing.captures else None)

    async def _look(self) -> bool:
        """:returns: whether another one would come to the same at once: with each message, say, that arrives."""
        now, self._passed = self._clock(), 0
        if (at := asyncio.get_running_loop().time()) >= self._whole_at:
            self._since, self._whole_at = 0, at + WHOLE
        try:
            async for due in self._spool.capture(now, self._since, self._kept):
                metrics.CAPTURED.add(domain_of(due.recipient))
                log.info(
                    "attempt",
                    id=due.message,
                    reverse_path=due.reverse_path,
                    recipient=due.recipient,
                    status="captured",
                    phase=Phase.ROUTING,
                    reply=self._kept(due),
                )
        except SpoolError as error:
            log.error("what is to be captured could not be looked for", reason=str(error))
            self._whole_at = 0.0
            return True
        self._since = max(now - LATE, 0)
        return self._passed > 0

    def _kept(self, due: Due) -> str:
        route = self._routing.route(due.account, due.reverse_path, due.recipient)
        if isinstance(route, Capture):
            return str(route)
        self._passed += 1
        return ""

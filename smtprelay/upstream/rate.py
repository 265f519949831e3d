"""A token bucket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from smtprelay.values import Rate


class Bucket:
    """A rate: so many tokens in a period, all of which may be taken at once.

    What is taken beyond them is owed, and whoever owes waits: who comes first goes first, and a take larger than
    the bucket is possible.

    :param rate: None is no limit.
    :param clock: seconds, monotonic.
    """

    def __init__(
        self,
        rate: Rate | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(rate.count) if rate else 0.0
        self._filled_at = clock()

    async def take(self, count: int) -> None:
        """Take tokens, and wait until they are there."""
        if not self._rate:
            return
        per_second = self._rate.count * 1000 / self._rate.period
        now = self._clock()
        self._tokens = min(self._rate.count, self._tokens + (now - self._filled_at) * per_second) - count
        self._filled_at = now
        if self._tokens < 0:
            try:
                await self._sleep(-self._tokens / per_second)
            except asyncio.CancelledError:
                self._tokens += count
                raise

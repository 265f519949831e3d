"""So many at one time, the rest in the order in which they came. How many may change meanwhile, which
`asyncio.Semaphore` cannot."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """``async with slots:`` waits for one, and has it until the end.

    :ivar taken: how many are had.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._queue: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    def resize(self, number: int) -> None:
        """From now on there are so many. Those that are had are had to the end."""
        self._number = number
        self._admit()

    async def __aenter__(self) -> None:
        if self.taken < self._number:  # then nobody waits
            self.taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came at the same moment: it is the next one's
                self._give_back()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self.taken -= 1
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.taken < self._number:
            turn = self._queue.popleft()
            if not turn.cancelled():
                turn.set_result(None)
                self.taken += 1

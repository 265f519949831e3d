"""What the gateway lets the outside take: connections, and memory for messages under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from smtprelay import metrics
from smtprelay.connections import ConnectionLimit

MESSAGE_MEMORY = 64 * 2**20  # octets of messages under way, over all sessions
FIRST_BLOCK = 64 * 2**10  # what a message gets with its 354; most need no more


class ClientLimit(ConnectionLimit):
    """The gateway's, of which the metrics tell."""

    def enter(self, client: str, *, trusted: bool) -> bool:
        """See there."""
        entered = super().enter(client, trusted=trusted)
        if entered:
            metrics.CLIENTS.add()
            metrics.CLIENTS_OPEN.add()
        else:
            metrics.CLIENTS_REFUSED.add()
        return entered

    def leave(self, client: str, *, trusted: bool) -> None:
        """See there."""
        super().leave(client, trusted=trusted)
        metrics.CLIENTS_OPEN.add(n=-1)


class MemoryBudget:
    """Octets of messages under way, over all sessions; who finds no room waits.

    A message gets a first block with its 354, and the room for the largest one as soon as it outgrows that. First
    blocks never take the room of the last largest message, so one that grows always gets it in the end.

    :param total: octets; at least two of the largest messages fit in any case.
    :param largest: octets of the largest message.
    """

    def __init__(self, total: int, largest: int) -> None:
        self._used = 0
        self._first_blocks = 0
        self._growing = 0
        self._changed = asyncio.Event()
        self.use(total, largest)

    def use(self, total: int, largest: int) -> None:
        """Keep to other sizes from now on. Messages under way keep the room that they were promised."""
        self._largest = max(largest, FIRST_BLOCK)
        self._total = max(total, 2 * self._largest)
        self._changed.set()

    @asynccontextmanager
    async def reserve(self, largest: int) -> AsyncIterator[Reservation]:
        """Room for one message, from its 354 until it is stored.

        :param largest: octets that it may have: perhaps it began before the largest message was made smaller.
        """
        await self._until(self._first_fits)
        self._used += FIRST_BLOCK
        self._first_blocks += FIRST_BLOCK
        reservation = Reservation(self, max(largest, FIRST_BLOCK))
        try:
            yield reservation
        finally:
            if reservation.whole:
                self._used -= reservation.largest
            else:
                self._used -= FIRST_BLOCK
                self._first_blocks -= FIRST_BLOCK
            self._changed.set()

    async def grow(self, reservation: Reservation) -> None:
        """Trade a first block for the room of the largest message."""
        more = reservation.largest - FIRST_BLOCK
        self._growing += 1
        try:
            # Where the sizes were made smaller meanwhile, the first blocks may take the room of the only large one.
            await self._until(lambda: self._used + more <= self._total or self._used == self._first_blocks)
            self._used += more
            self._first_blocks -= FIRST_BLOCK
            reservation.whole = True
        finally:
            self._growing -= 1
            self._changed.set()  # first blocks waited for this

    def _first_fits(self) -> bool:
        return (
            not self._growing
            and self._used + FIRST_BLOCK <= self._total
            and self._first_blocks + FIRST_BLOCK <= self._total - self._largest
        )

    async def _until(self, fits: Callable[[], bool]) -> None:
        while not fits():
            self._changed.clear()
            await self._changed.wait()


class Reservation:
    """One message's share of the budget.

    :param largest: octets that it gets where it outgrows its first block.
    :ivar whole: it has.
    """

    def __init__(self, budget: MemoryBudget, largest: int) -> None:
        self.whole = False
        self.largest = largest
        self._budget = budget

    async def cover(self, size: int) -> None:
        """Wait until this many octets of the message may be in memory."""
        if size > FIRST_BLOCK and not self.whole:
            await self._budget.grow(self)

"""What the gateway lets the outside take: connections, and memory for messages under way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smtprelay import metrics

MESSAGE_MEMORY = 64 * 2**20  # octets of messages under way, over all sessions
FIRST_BLOCK = 64 * 2**10  # what a message gets with its 354; most need no more


def client_address(transport: asyncio.BaseTransport) -> str:
    """Whom it is from: IPv4 is told as such on a socket for both families too, not as mapped (RFC 4291 §2.5.5.2)."""
    host = str((transport.get_extra_info("peername") or ("local",))[0])
    mapped = host.removeprefix("::ffff:")
    return host if ":" in mapped else mapped


class ConnectionLimit:
    """Counts open connections, in all and by client address.

    :param total: connections at most.
    :param per_client: connections of one client address at most; trusted clients are not counted.
    """

    def __init__(self, total: int, per_client: int) -> None:
        self._open = 0
        self._by_client: Counter[str] = Counter()
        self.use(total, per_client)

    def use(self, total: int, per_client: int) -> None:
        """Keep to other numbers from now on. Whoever is in stays."""
        self._total = total
        self._per_client = per_client

    def enter(self, client: str, *, trusted: bool) -> bool:
        """Count a new connection. :returns: False where there is no room for it, and then it is not counted."""
        if self._open >= self._total or (not trusted and self._by_client[client] >= self._per_client):
            metrics.CLIENTS_REFUSED.add()
            return False
        metrics.CLIENTS.add()
        metrics.CLIENTS_OPEN.add()
        self._open += 1
        if not trusted:
            self._by_client[client] += 1
        return True

    def leave(self, client: str, *, trusted: bool) -> None:
        """The end of a connection that was counted."""
        metrics.CLIENTS_OPEN.add(n=-1)
        self._open -= 1
        if not trusted:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]


class MemoryBudget:
    """Octets of messages under way, over all sessions; who finds no room waits.

    A message gets a first block with its 354, and the room for the largest one as soon as it outgrows that. First
    blocks never take the room of the last largest message, so one that grows always gets it in the end.

    :param total: octets; at least two of the largest messages fit in any case.
    :param largest: octets of the largest message.
    """

    def __init__(self, total: int, largest: int) -> None:
        self.use(total, largest)
        self._used = 0
        self._first_blocks = 0
        self._growing = 0
        self._changed = asyncio.Condition()

    def use(self, total: int, largest: int) -> None:
        """Keep to other sizes from now on. Messages under way keep the room that they were promised."""
        self._largest = max(largest, FIRST_BLOCK)
        self._total = max(total, 2 * self._largest)

    @asynccontextmanager
    async def reserve(self) -> AsyncIterator[Reservation]:
        """Room for one message, from its 354 until it is stored."""
        async with self._changed:
            await self._changed.wait_for(self._first_fits)
            self._used += FIRST_BLOCK
            self._first_blocks += FIRST_BLOCK
        reservation = Reservation(self, self._largest)
        try:
            yield reservation
        finally:
            if reservation.whole:
                self._used -= reservation.largest
            else:
                self._used -= FIRST_BLOCK
                self._first_blocks -= FIRST_BLOCK
            async with self._changed:
                self._changed.notify_all()

    async def grow(self, largest: int) -> None:
        """Trade a first block for the room of the largest message."""
        more = largest - FIRST_BLOCK
        self._growing += 1
        try:
            async with self._changed:
                # Where the sizes were made smaller meanwhile, the first blocks may take the room of the only large one.
                await self._changed.wait_for(
                    lambda: self._used + more <= self._total or self._used == self._first_blocks
                )
                self._used += more
                self._first_blocks -= FIRST_BLOCK
        finally:
            self._growing -= 1
        async with self._changed:
            self._changed.notify_all()  # first blocks waited for this

    def _first_fits(self) -> bool:
        return (
            not self._growing
            and self._used + FIRST_BLOCK <= self._total
            and self._first_blocks + FIRST_BLOCK <= self._total - self._largest
        )


class Reservation:
    """One message's share of the budget.

    :param largest: octets that it gets where it outgrows its first block.
    """

    def __init__(self, budget: MemoryBudget, largest: int) -> None:
        self.whole = False
        self.largest = largest
        self._budget = budget

    async def cover(self, size: int) -> None:
        """Wait until this many octets of the message may be in memory."""
        if size > FIRST_BLOCK and not self.whole:
            await self._budget.grow(self.largest)
            self.whole = True

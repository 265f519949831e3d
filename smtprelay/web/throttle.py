"""Slows down whoever guesses passwords."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from smtprelay.connections import network_of

FREE = 5  # tries that fail before the next has to wait
FIRST_WAIT, LAST_WAIT = 2.0, 60.0  # seconds, doubling
FORGOTTEN = 900.0  # seconds after the last failed try
MAX_CLIENTS = 1000  # that are remembered


@dataclass(slots=True)
class _Tries:
    failed: int = 0
    last: float = 0.0


class Throttle:
    """Counts failed tries by client.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def wait(self, client: str) -> float:
        """Seconds until this client may try again; 0: now."""
        tries = self._tries.get(network_of(client))
        if tries is None or tries.failed < FREE:
            return 0.0
        delay = min(FIRST_WAIT * 2.0 ** min(tries.failed - FREE, 10), LAST_WAIT)
        return max(tries.last + delay - self._clock(), 0.0)

    def begin(self, client: str) -> None:
        """A try begins: it counts as failed until it succeeds, so that many at once are no way around."""
        now, key = self._clock(), network_of(client)
        tries = self._tries.pop(key, _Tries())
        if now - tries.last > FORGOTTEN:
            tries.failed = 0
        tries.failed, tries.last = tries.failed + 1, now
        self._tries[key] = tries
        while len(self._tries) > MAX_CLIENTS:
            self._tries.popitem(last=False)

    def succeeded(self, client: str) -> None:
        """The password was right."""
        self._tries.pop(network_of(client), None)

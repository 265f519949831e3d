"""Which smarthosts can be reached, as far as the latest connections to each tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from smtprelay import metrics
from smtprelay.outcome import Fact, Phase


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Way(NamedTuple):
    """A smarthost and how it is spoken to: one may be reached in plaintext, and fail under TLS.

    :param place: ``host:port``.
    """

    place: str
    tls: str


@dataclass(frozen=True, slots=True)
class Outage:
    """A smarthost that nobody gets as far as AUTH at.

    :param since: when that began; Unix time in milliseconds.
    :param last: when it was tried last.
    :param fact: of that.
    """

    way: Way
    since: int
    last: int
    fact: Fact


class Reach:
    """What the latest connection to each smarthost told.

    :param clock: Unix time in milliseconds.
    """

    def __init__(self, clock: Callable[[], int] = _now_ms) -> None:
        self._clock = clock
        self.outages: dict[Way, Outage] = {}

    def opened(self, way: Way) -> None:
        """A new connection came as far as AUTH."""
        metrics.SMARTHOSTS.add(way.place, "ok")
        metrics.SMARTHOST_UP.set(1, way.place)
        self.used(way)

    def used(self, way: Way) -> None:
        """A connection works: where others were refused, they may be too many."""
        self.outages.pop(way, None)

    def failed(self, way: Way, fact: Fact) -> None:
        """A new connection failed. One whose log-in was refused has reached the smarthost."""
        if fact.phase is Phase.AUTH and fact.reply and fact.reply.permanent:
            self.opened(way)
            return
        metrics.SMARTHOSTS.add(way.place, fact.phase)
        metrics.SMARTHOST_UP.set(0, way.place)
        now, before = self._clock(), self.outages.get(way)
        self.outages[way] = Outage(way, before.since if before else now, now, fact)

    def keep(self, ways: Iterable[Way]) -> None:
        """There are these ways from now on; forget the others, and what came of none that is there."""
        ways = set(ways)
        self.outages = {way: outage for way, outage in self.outages.items() if way in ways}
        places = {way.place for way in ways}
        up = metrics.SMARTHOST_UP
        up.replace({labels: value for labels, value in up.values.items() if labels[0] in places})

    def all_out(self, ways: Iterable[Way]) -> bool:
        """Whether none of these can be reached."""
        return all(way in self.outages for way in ways)

"""Moments at which to strike: not random in time alone, but spread over what the relay is doing."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any

LONGEST = 0.02  # seconds between an event and the stroke


class Phase(StrEnum):
    """What is under way when it strikes, as it shows from outside: at the wire on both sides, and in the log.

    Of STARTING and STOPPING the process itself tells; the others overlap, as messages do.
    """

    STARTING = "starting"  # executed, and not ready
    ACCEPTING = "accepting"  # a client has sent MAIL, and not the final dot
    COMMITTING = "committing"  # a client has sent the final dot, and has no reply
    DELIVERING = "delivering"  # the smarthost has heard RCPT, and the log does not tell what came of it
    BOUNCING = "bouncing"  # the smarthost has refused RCPT, and the log does not tell
    STOPPING = "stopping"  # SIGTERM was sent, and the process has not ended


ON_THE_WIRE = (Phase.ACCEPTING, Phase.COMMITTING, Phase.DELIVERING, Phase.BOUNCING)


class Moments:
    """Watches what is under way, and strikes in the phase that was asked for: at an event of it, or a little later.

    :ivar caught: how much was under way in each phase, over all blows.
    """

    def __init__(self, chance: random.Random) -> None:
        self.caught = Counter[Phase]()
        self._chance = chance
        self._under_way: dict[Phase, set[str]] = {phase: set() for phase in ON_THE_WIRE}
        self._aim: Phase | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._strike: Callable[[], None] = lambda: None
        self._struck = asyncio.Event()

    async def strike(self, phase: Phase, act: Callable[[], None]) -> None:
        """Act while something of this phase is under way."""
        self._aim, self._strike = phase, act
        self._struck.clear()
        async with asyncio.timeout(60):
            await self._struck.wait()

    def enter(self, phase: Phase, key: str) -> None:
        self._under_way[phase].add(key)
        self.event(phase)

    def leave(self, phase: Phase, key: str) -> None:
        self._under_way[phase].discard(key)

    def event(self, phase: Phase) -> None:
        """Something happened within a phase: a place to strike at."""
        if phase is not self._aim or self._timer:
            return
        delay = self._chance.uniform(0, LONGEST)
        if phase is not Phase.COMMITTING:  # its one event is its beginning, and the commit comes later
            delay = self._chance.choice((0, delay))
        if delay:
            self._timer = asyncio.get_running_loop().call_later(delay, self._arrive)
        else:
            self._arrive()

    def _arrive(self) -> None:
        self._timer = None
        if self._aim and self._under_way[self._aim]:  # otherwise it was too late: the next event counts
            self._aim = None
            self.caught.update({phase: len(keys) for phase, keys in self._under_way.items()})
            self._strike()
            self._struck.set()

    def hear(self, line: dict[str, Any]) -> None:
        """A line of the log."""
        if line["event"] == "attempt":
            self.leave(Phase.DELIVERING, line["recipient"])
            self.leave(Phase.BOUNCING, line["recipient"])

    def forget(self) -> None:
        """The process has ended, and with it all that was under way."""
        for keys in self._under_way.values():
            keys.clear()

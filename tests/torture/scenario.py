"""Starting, striking and starting again, and what must hold each time."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.process.relay import Relay
from tests.torture.books import Books, Control
from tests.torture.load import Load
from tests.torture.moments import ON_THE_WIRE, Moments, Phase

# Of 20 kills. SIGTERM comes in addition, once for ten kills.
SHARES = {
    Phase.STARTING: 2,
    Phase.ACCEPTING: 4,
    Phase.COMMITTING: 5,
    Phase.DELIVERING: 4,
    Phase.BOUNCING: 3,
    Phase.STOPPING: 2,
}
IMPORTS = 0.6  # seconds that a start takes before the spool is opened, about
STOP = 0.3  # seconds that a stop takes, about
GRACE = 45.0  # seconds that a stop may take: those of the gateway and of the deliveries, and some
DRAIN = 300.0  # seconds for all that is left at the end


@dataclass(frozen=True, slots=True)
class Restart:
    """How long one start took, in seconds.

    :param total: from exec to the greeting on its port.
    :param waiting: of it, for a CPU that others had.
    :param own: of it, after the imports: opening the spool, judging what was in flight, listening.
    """

    total: float
    waiting: float
    own: float

    @property
    def net(self) -> float:
        """What it takes where nobody else wants the CPU."""
        return self.total - self.waiting


class Crashes:
    """The scenario.

    :ivar struck: kills by the phase that they were aimed at.
    :ivar caught: messages that were in each phase when a blow fell.
    :ivar missed: kills that were to come while it was starting, and came after.
    :ivar stops: seconds that each stop after SIGTERM took.
    :ivar blows: signal → when it was sent, Unix time in milliseconds.
    """

    def __init__(self, relay: Relay, moments: Moments, load: Load, chance: random.Random) -> None:
        self.struck = Counter[Phase]()
        self.caught = moments.caught
        self.restarts: list[Restart] = []
        self.stops: list[float] = []
        self.missed = 0
        self.blows: dict[signal.Signals, list[int]] = {signal.SIGKILL: [], signal.SIGTERM: []}
        self.control = Control(relay.folder / "control.sock")
        self._relay = relay
        self._moments = moments
        self._load = load
        self._chance = chance
        self._books = Books()
        self._in_order = True  # it ended by SIGTERM, or never ran

    async def run(self, kills: int) -> None:
        """Kill it so often, and end it by SIGTERM every now and then."""
        plan = [phase for phase, share in SHARES.items() for _ in range(share * kills // 20)]
        blows = [(signal.SIGKILL, phase) for phase in plan]
        blows += [(signal.SIGTERM, self._chance.choice(ON_THE_WIRE)) for _ in range(kills // 10)]
        self._chance.shuffle(blows)
        for i, (number, phase) in enumerate(blows):
            if i % 20 == 0:
                print(f"{i} blows of {len(blows)}, {len(self._load.sent)} messages", flush=True)
            if phase is Phase.STARTING:
                await self._kill_while_starting()
            elif phase is Phase.STOPPING:
                await self._kill_while_stopping()
            else:
                await self._live()
                await self._strike(phase, number)
                await self._ended(number, phase)

    async def settle(self) -> list[Any]:
        """Wait until every recipient has ended. :returns: the messages, attempt by attempt."""
        await self._start()
        await self._books.check(self.control, self._load.sent)
        await self.control.act("release")
        async with asyncio.timeout(DRAIN):
            while await self._waiting():
                await asyncio.sleep(0.2)
        stories = await self.control.stories(await self._books.check(self.control, self._load.sent))
        assert await self._relay.stop() == 0
        await self._relay.start()
        await _swept(self._relay.folder / "spool.db")
        assert await self._relay.stop() == 0
        return stories

    async def _waiting(self) -> int:
        recipients = (await self.control.stats())["recipients"]
        return sum(recipients[state] for state in ("queued", "sending", "held"))

    async def _start(self) -> None:
        lock = self._relay.folder / "spool.lock"
        began = time.monotonic()
        ready = await self._relay.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._relay.port)
        assert (await reader.readline()).startswith(b"220")
        total = time.monotonic() - began
        writer.close()
        assert self._relay.process
        schedstat = Path(f"/proc/{self._relay.process.pid}/schedstat").read_text()
        self.restarts.append(Restart(total, int(schedstat.split()[1]) / 1e9, time.time() - lock.stat().st_mtime))
        assert not (self._in_order and ready["recovered"]), "SIGTERM left an attempt open"

    async def _live(self) -> None:
        """Start, see that its books balance, and put it under load until it has taken some messages."""
        await self._start()
        messages = await self._books.check(self.control, self._load.sent)
        await self._operate(messages)
        seen = len(self._relay.log)
        self._load.begin(self._relay.port)
        await self._relay.logged("accepted", start=seen, count=self._chance.randint(1, 50))

    async def _operate(self, messages: dict[str, Any]) -> None:
        """An operator who holds, releases and cancels some."""
        states = {id_: {r["state"] for r in message["recipients"]} for id_, message in messages.items()}
        waiting = [id_ for id_, some in states.items() if some & {"queued", "sending"}]
        held = [id_ for id_, some in states.items() if "held" in some]
        for action, ids in (("hold", waiting), ("cancel", waiting), ("release", held)):
            if ids and self._chance.random() < 0.5:
                await self.control.act(action, self._chance.choice(ids))

    async def _strike(self, phase: Phase, number: signal.Signals) -> None:
        def strike() -> None:
            self._load.connect_no_more()
            self._signal(number)

        await self._moments.strike(phase, strike)

    def _signal(self, number: signal.Signals) -> None:
        self.blows[number].append(int(time.time() * 1000))
        self._relay.signal(number)

    async def _ended(self, number: signal.Signals, phase: Phase) -> None:
        """It has ended as it was told to."""
        began = time.monotonic()
        status = await self._relay.ended()
        await self._load.end()
        self._moments.forget()
        assert not (errors := _errors(self._relay.log)), errors
        self._in_order = status == 0
        if number is signal.SIGTERM:
            self.stops.append(time.monotonic() - began)
            assert (status, self.stops[-1] < GRACE) == (0, True)
        else:
            assert status == -signal.SIGKILL
            self.struck[phase] += 1

    async def _kill_while_starting(self) -> None:
        """At any time from exec on, or just after it has opened the spool."""
        self._in_order = False
        while True:
            seen = len(self._relay.log)
            await self._relay.launch()
            if self._chance.random() < 0.5:
                await asyncio.sleep(self._chance.uniform(0, IMPORTS))
            else:
                await self._relay.opened()
                await asyncio.sleep(self._chance.uniform(0, 0.1))
            self._signal(signal.SIGKILL)
            assert await self._relay.ended() == -signal.SIGKILL
            if not any(line["event"] == "ready" for line in self._relay.log[seen:]):
                break
            self.missed += 1
        self.struck[Phase.STARTING] += 1

    async def _kill_while_stopping(self) -> None:
        while True:
            await self._live()
            await self._strike(self._chance.choice(ON_THE_WIRE), signal.SIGTERM)
            await asyncio.sleep(self._chance.uniform(0, STOP))
            assert self._relay.process
            if self._relay.process.returncode is None:
                break
            await self._ended(signal.SIGTERM, Phase.STOPPING)  # sooner than we thought
        self._signal(signal.SIGKILL)
        await self._ended(signal.SIGKILL, Phase.STOPPING)


def _errors(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What it found wrong with itself."""
    return [line for line in log if line.get("level") in ("error", "critical") or line["event"] == "output"]


async def _swept(path: Path) -> None:
    """The spool is sound, and keeps nothing of what has ended but the history."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:

        def count(table: str) -> int:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

        async with asyncio.timeout(30):
            while count("chunks") or count("loose_bodies"):
                await asyncio.sleep(0.1)
        assert count("leases") == 0
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

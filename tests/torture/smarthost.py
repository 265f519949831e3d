"""The other side: a smarthost of moods, behind a network that takes its time."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from smtprelay.sandbox.smarthost import DROP, SILENCE, Fault, Received, Smarthost
from tests.process.relay import PLATFORM
from tests.torture.moments import Moments, Phase

DELAY = 0.01  # seconds that the smarthost's words are on their way, at most
SAMPLE = 0.1  # of the messages, to have their signatures verified
MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.MULTILINE | re.IGNORECASE)
FINAL_RECIPIENT = re.compile(rb"^Final-Recipient: rfc822; *(\S+)", re.MULTILINE | re.IGNORECASE)

# At each step: what happens in place of the usual, and how likely.
MOODS: dict[str, list[tuple[float, str | Fault]]] = {
    "GREETING": [(0.01, DROP), (0.01, "421 4.3.2 Not now")],
    "MAIL": [(0.01, "451 4.3.0 Later"), (0.005, "421 4.7.0 Too busy"), (0.005, DROP)],
    "DATA": [(0.01, "451 4.3.0 Later")],
    "BODY": [(0.01, DROP)],
    "DOT": [(0.02, "451 4.3.0 Later"), (0.015, "554 5.6.0 Nobody wants this"), (0.015, DROP)],
    "ACCEPTED": [(0.02, DROP), (0.003, SILENCE)],
}


@dataclass(slots=True)
class Arrival:
    """A message that the smarthost accepted.

    :param at: Unix time in milliseconds.
    :param body: digest of the body.
    :param whole: digest of header and body.
    :param about: the recipients that a DSN speaks of.
    :ivar answered: the 250 was sent.
    """

    message_id: str
    recipients: tuple[str, ...]
    at: int
    body: str
    whole: str
    about: tuple[str, ...]
    answered: bool = True


class Moody(Smarthost):
    """Accepts, refuses, defers and loses, by the recipient's name or by chance.

    :ivar arrivals: what it accepted.
    :ivar sample: some of it as a whole.
    """

    def __init__(self, chance: random.Random, moments: Moments) -> None:
        super().__init__(credentials=PLATFORM, extensions=("PIPELINING", "SIZE 52428800", "8BITMIME"))
        self.arrivals: list[Arrival] = []
        self.sample: list[bytes] = []
        self._chance = chance
        self._moments = moments
        self._asked = Counter[str]()

    def ruling(self, at: str, argument: str) -> str | Fault | None:
        if at == "RCPT":
            return self._rcpt(argument.partition("<")[2].partition(">")[0])
        if at in ("BODY", "DOT", "ACCEPTED"):
            self._moments.event(Phase.DELIVERING)
        dice = self._chance.random()
        for chance, reply in MOODS.get(at, ()):
            dice -= chance
            if dice < 0:
                if at == "ACCEPTED":
                    self.arrivals[-1].answered = False
                return reply
        return None

    def _rcpt(self, address: str) -> str | None:
        self._asked[address] += 1
        kind = address.partition(".")[0]
        if kind in ("refused", "quiet"):
            self._moments.enter(Phase.BOUNCING, address)
            return "550 5.1.1 No such user"
        self._moments.enter(Phase.DELIVERING, address)
        if kind == "never" or (kind == "later" and self._asked[address] < 3):
            return "451 4.2.0 Mailbox busy"
        if kind == "flaky" and self._chance.random() < 0.5:
            return "452 4.5.3 Too many recipients"
        return None

    def keep(self, received: Received) -> None:
        """Digests: as a whole, they would fill the memory."""
        header, _, body = received.content.partition(b"\r\n\r\n")
        message_id = MESSAGE_ID.search(header)
        assert message_id, header
        self.arrivals.append(
            Arrival(
                message_id[1].decode(),
                tuple(received.recipients),
                int(received.received_at * 1000),
                digest(body),
                digest(received.content),
                tuple(address.decode() for address in FINAL_RECIPIENT.findall(body)),
            )
        )
        if self._chance.random() < SAMPLE and len(received.content) < 1_000_000:
            self.sample.append(received.content)


def digest(octets: bytes) -> str:
    return hashlib.blake2b(octets, digest_size=16).hexdigest()


class Network:
    """Between relay and smarthost: the smarthost's words take a while, and may come too late for a relay that died.

    :param port: the smarthost's.
    :ivar port: the one to connect to.
    """

    def __init__(self, chance: random.Random, port: int) -> None:
        self.port = 0
        self._chance = chance
        self._smarthost = port
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        delay = self._chance.uniform(0, DELAY)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._smarthost)
        try:
            await asyncio.gather(_carry(reader, far_writer, 0), _carry(far_reader, writer, delay))
        finally:
            writer.close()
            far_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Octets from one side to the other, to the end of either."""
    with suppress(ConnectionError):
        while octets := await reader.read(2**16):
            await asyncio.sleep(delay)
            writer.write(octets)
            await writer.drain()
    writer.close()

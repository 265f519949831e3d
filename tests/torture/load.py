"""Apps that send without end, and remember what they were promised."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from tests.process.relay import DOMAIN
from tests.torture.moments import Moments, Phase
from tests.torture.smarthost import digest

T = TypeVar("T")

SESSIONS = ("kept", "kept", "kept", "single", "single", "plain")
PAUSE = 0.05  # seconds between two messages of a session, at most
SIZES = {100: 40, 5_000: 45, 70_000: 8, 300_000: 6, 5_000_000: 0.5}  # octets → weight
COUNTS = {1: 75, 2: 12, 5: 8, 30: 3, 120: 0.5}  # recipients → weight
# What the smarthost does with a recipient follows from the first word of its name.
KINDS = {"good": 70, "success": 4, "refused": 12, "quiet": 3, "later": 8, "flaky": 4, "never": 2}
NOTIFY = {"success": "SUCCESS,FAILURE", "quiet": "NEVER"}
RETS = {"": 70, "HDRS": 10, "FULL": 20}
REVERSE_PATHS = {"app": 85, "refused": 10, "": 5}  # a DSN to "refused" is refused


class Stage(IntEnum):
    """How far a client came with a message."""

    BEGUN = 0
    DOT = 1  # sent, and no reply read: it may be in the spool
    ACCEPTED = 2
    REFUSED = 3


@dataclass(slots=True)
class Sent:
    """A message as its client knows it.

    :param recipients: address → NOTIFY, in order.
    :param ret: RET of MAIL.
    :param body: digest of the body.
    :param id: what the 250 named.
    """

    number: int
    reverse_path: str
    ret: str
    recipients: dict[str, str]
    size: int
    body: str = ""
    stage: Stage = Stage.BEGUN
    id: str = ""

    @property
    def message_id(self) -> str:
        return f"<{self.number}@load.{DOMAIN}>"


class _Ended(Exception):
    """The relay closes the connection, or is gone."""


class Load:
    """All the clients.

    :ivar sent: by the message's number.
    :ivar surprises: replies that no client should have had.
    """

    def __init__(self, chance: random.Random, moments: Moments) -> None:
        self.sent: dict[int, Sent] = {}
        self.surprises: list[str] = []
        self._chance = chance
        self._moments = moments
        self._connecting = False
        self._sessions: list[asyncio.Task[None]] = []

    def begin(self, port: int) -> None:
        """Connect, and send until the relay is gone."""
        self._connecting = True
        self._sessions = [asyncio.create_task(self._session(port, kind)) for kind in SESSIONS]

    def connect_no_more(self) -> None:
        """The port is somebody else's soon."""
        self._connecting = False

    async def end(self) -> None:
        """Wait until every client has read what the relay last said."""
        async with asyncio.timeout(30):
            await asyncio.gather(*self._sessions)

    async def _session(self, port: int, kind: str) -> None:
        with suppress(OSError, EOFError, _Ended):
            while self._connecting:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await self._connection(_Client(reader, writer, kind))
                finally:
                    writer.close()

    async def _connection(self, client: _Client) -> None:
        await client.reply()
        [_hello] = await client.commands("HELO plain" if client.kind == "plain" else "EHLO load")
        while True:
            await asyncio.sleep(self._chance.uniform(0, PAUSE))
            await self._message(client)
            if client.kind != "kept":
                await client.commands("QUIT")
                return

    async def _message(self, client: _Client) -> None:
        sent, content = self._compose()
        self.sent[sent.number] = sent
        key = str(sent.number)
        self._moments.enter(Phase.ACCEPTING, key)
        try:
            replies = await client.commands(*_envelope(sent, dsn=client.kind != "plain"))
            if wrong := [reply for reply in replies if reply[:1] not in "23"]:
                self.surprises += wrong
                raise _Ended
            half = len(content) // 2
            await client.write(content[:half])
            self._moments.event(Phase.ACCEPTING)
            await asyncio.sleep(self._chance.uniform(0, 0.01))
            await client.write(content[half:])
            self._moments.leave(Phase.ACCEPTING, key)
            sent.stage = Stage.DOT
            await client.write(b".\r\n")
            self._moments.enter(Phase.COMMITTING, key)  # not before: a blow could keep the dot from being sent
            reply = await client.reply()
        finally:
            self._moments.leave(Phase.ACCEPTING, key)
            self._moments.leave(Phase.COMMITTING, key)
        if reply.startswith("250 "):
            sent.id = reply.rpartition(" ")[2]
            sent.stage = Stage.ACCEPTED
        else:
            sent.stage = Stage.REFUSED
            self.surprises.append(reply)

    def _compose(self) -> tuple[Sent, bytes]:
        number = len(self.sent)
        chance = random.Random(self._chance.random())
        kinds = chance.choices([*KINDS], [*KINDS.values()], k=_pick(chance, COUNTS))
        recipients = {f"{kind}.{number}.{n}@example.org": NOTIFY.get(kind, "") for n, kind in enumerate(kinds)}
        who = _pick(chance, REVERSE_PATHS)
        reverse_path = who and f"{who}.{number}@{DOMAIN}"
        sent = Sent(number, reverse_path, _pick(chance, RETS), recipients, _pick(chance, SIZES))
        # The bodies differ, so that none can stand for another.
        lines = base64.encodebytes(chance.randbytes(sent.size * 3 // 4)).replace(b"\n", b"\r\n")
        body = b".a line that begins with a dot\r\n..\r\n" + lines
        sent.body = digest(body)
        header = f"From: app@{DOMAIN}\r\nSubject: {number}\r\nMessage-ID: {sent.message_id}\r\n\r\n".encode()
        return sent, (header + body).replace(b"\r\n.", b"\r\n..")


class _Client:
    """One connection; "plain" ones speak HELO and do not pipeline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str) -> None:
        self.kind = kind
        self._reader = reader
        self._writer = writer

    async def write(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def commands(self, *lines: str) -> list[str]:
        """Send commands. :returns: their replies."""
        if self.kind == "plain":
            return [await self._command(line) for line in lines]
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        return [await self.reply() for _ in lines]

    async def _command(self, line: str) -> str:
        self._writer.write(f"{line}\r\n".encode())
        return await self.reply()

    async def reply(self) -> str:
        """The last line of a reply. :raises _Ended: there is none, or it is 421."""
        while True:
            line = (await self._reader.readuntil(b"\r\n")).decode().rstrip()
            if line.startswith("421"):
                raise _Ended
            if line[3:4] != "-":
                return line


def _envelope(sent: Sent, *, dsn: bool) -> list[str]:
    if not dsn:  # RFC 3461 §3: no parameters that were not offered
        sent.recipients, sent.ret = dict.fromkeys(sent.recipients, ""), ""
    recipients = [f"RCPT TO:<{a}>" + f" NOTIFY={notify}" * bool(notify) for a, notify in sent.recipients.items()]
    return [f"MAIL FROM:<{sent.reverse_path}>" + f" RET={sent.ret}" * bool(sent.ret), *recipients, "DATA"]


def _pick(chance: random.Random, weights: Mapping[T, float]) -> T:
    return chance.choices([*weights], [*weights.values()])[0]

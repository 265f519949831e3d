"""A client at the wire, and a pipeline that only remembers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from smtprelay.accounts import hash_password
from smtprelay.config import Gateway
from smtprelay.gateway.listeners import Listeners
from smtprelay.message import Envelope, Origin, Recipient
from smtprelay.pipeline import Accepted
from smtprelay.preparation import Submission
from smtprelay.reply import SMTPReplyError
from smtprelay.sockets import tls_context

PASSWORD = "correct horse"
PASSWORD_HASH = hash_password(PASSWORD)
PATIENCE = 10.0  # seconds


@dataclass
class Taken:
    """One message as the gateway handed it over."""

    origin: Origin
    envelope: Envelope
    content: bytes
    unstuffed: bool


@dataclass
class FakePipeline:
    """In place of `smtprelay.pipeline.Pipeline`.

    :ivar refusal: raised by the method of that name.
    :ivar gate: submit() waits for it.
    """

    taken: list[Taken] = field(default_factory=list)
    refusal: dict[str, Exception] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    submitting: asyncio.Event = field(default_factory=asyncio.Event)

    async def check_sender(self, origin: Origin, reverse_path: str, size: int) -> None:
        self._refuse("check_sender")

    async def check_recipient(self, reverse_path: str, recipient: Recipient) -> Recipient:
        self._refuse("check_recipient")
        return recipient

    async def submit(self, of: Submission) -> Accepted:
        self.submitting.set()
        if self.gate:
            await self.gate.wait()
        self._refuse("submit")
        self.taken.append(Taken(of.origin, of.envelope, of.content, of.unstuffed))
        return Accepted((f"id{len(self.taken)}",))

    def _refuse(self, method: str) -> None:
        if error := self.refusal.get(method):
            raise error


class Client:
    """Says and hears octets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, text: str | bytes, end: bytes = b"\r\n") -> None:
        self.writer.write((text.encode() if isinstance(text, str) else text) + end)
        await self.writer.drain()

    async def hear(self, pattern: str) -> str:
        """The next reply, whole; it must match."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), PATIENCE)).decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                break
        reply = "\n".join(lines)
        assert re.match(pattern, reply), f"{reply!r} is not {pattern!r}"
        return reply

    async def ask(self, text: str | bytes, pattern: str) -> str:
        await self.say(text)
        return await self.hear(pattern)

    async def hear_end(self) -> None:
        """The server has closed the connection."""
        assert await asyncio.wait_for(self.reader.read(), PATIENCE) == b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Server:
    """A gateway on a free port of loopback."""

    def __init__(self, listeners: Listeners, pipeline: FakePipeline, port: int) -> None:
        self.listeners = listeners
        self.pipeline = pipeline
        self.port = port

    @asynccontextmanager
    async def client(self, greeting: str = "220 ", **options: Any) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        client = Client(reader, writer)
        try:
            if greeting:
                await client.hear(greeting)
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def serving(
    settings: Mapping[str, Any] | None = None, *, pipeline: FakePipeline | None = None, login_delay: float = 0.0
) -> AsyncIterator[Server]:
    """A gateway with these settings; by default one that trusts nobody and knows the account ``app``."""
    account = {"username": "app", "password_hash": PASSWORD_HASH, "senders": ["*@example.com"]}
    defaults = {"listen": ["127.0.0.1:0"], "hostname": "relay.test", "trusted_networks": [], "accounts": [account]}
    config = Gateway.model_validate({**defaults, **(settings or {})})
    pipeline = pipeline or FakePipeline()
    tls = tls_context(config.tls_certificate, config.tls_key)
    listeners = Listeners(config, pipeline, tls, login_delay=login_delay)  # type: ignore[arg-type]
    [address] = await listeners.start()
    try:
        yield Server(listeners, pipeline, int(address.rpartition(":")[2]))
    finally:
        await listeners.stop(grace=1.0)


def refused(error: SMTPReplyError, method: str) -> FakePipeline:
    """A pipeline one of whose methods refuses."""
    return FakePipeline(refusal={method: error})

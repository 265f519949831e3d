"""A stand-in for the platform's smarthost: AUTH LOGIN, keeps what it gets, and fails as it is told to.

async with Smarthost(Rule("RCPT", "550 5.1.1 No such user", match="nobody@"), Rule("DOT", DROP, times=1)) as host:
    ...  # send to 127.0.0.1, host.port
    [received] = await host.wait_for(1)
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import dkim

from smtprelay.sandbox.session import DROP, SILENCE, Fault, Received, Rule, Session

__all__ = ["DROP", "SILENCE", "Fault", "Received", "Rule", "Smarthost", "verify"]


class Smarthost:
    """An SMTP server on loopback.

    :param credentials: username → password. Where there are some, nobody sends without AUTH, as on the platform.
    :param extensions: the lines of EHLO, besides AUTH and STARTTLS.
    :param reprompts: it asks for the username of AUTH LOGIN though the command brought it, as old ones do.
    :param take: asked about each message that no rule refuses; what it returns is replied, and the message is not kept.
    :param tls: for STARTTLS, or from the first octet on where it is `implicit`.
    :ivar rules: may be changed at any time.
    :ivar messages: what was accepted.
    :ivar commands: the last ones, AUTH exchanges left out.
    :ivar connections: made so far.
    """

    def __init__(
        self,
        *rules: Rule,
        credentials: Mapping[str, str] | None = None,
        mechanisms: Sequence[str] = ("LOGIN", "PLAIN"),
        extensions: Sequence[str] = ("PIPELINING", "SIZE 26214400", "8BITMIME"),
        reprompts: bool = False,
        take: Callable[[Received], str | None] = lambda received: None,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        hostname: str = "smarthost.test",
    ) -> None:
        self.rules = list(rules)
        self.credentials = {} if credentials is None else credentials
        self.mechanisms = mechanisms
        self.extensions = extensions
        self.reprompts = reprompts
        self.take = take
        self.tls = tls
        self.implicit = implicit
        self.hostname = hostname
        self.messages: list[Received] = []
        self.commands: deque[str] = deque(maxlen=1000)
        self.connections = 0
        self.port = 0
        self.sessions: set[Session] = set()
        self._arrival = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; with port 0 the system chooses one, which is then `port`."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Session(self), host, port, ssl=self.tls if self.implicit else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything, and wait until it is."""
        assert self._server is not None
        self._server.close()
        self.drop_connections()
        await self._server.wait_closed()

    def drop_connections(self) -> None:
        """Close every connection, as a smarthost does that restarts."""
        for session in list(self.sessions):
            session.drop()

    async def wait_for(self, count: int, timeout: float = 10.0) -> list[Received]:
        """The first messages, as soon as there are so many. :raises TimeoutError: after so many seconds."""
        async with asyncio.timeout(timeout):
            while len(self.messages) < count:
                self._arrival.clear()
                await self._arrival.wait()
        return self.messages[:count]

    def keep(self, received: Received) -> None:
        self.messages.append(received)
        self._arrival.set()

    def ruling(self, at: str, argument: str) -> str | Fault | None:
        return next((rule.reply for rule in self.rules if rule.applies(at, argument)), None)


def verify(received: Received, records: Mapping[str, str]) -> list[bool]:
    """Whether each DKIM signature of a message holds, from the top.

    :param records: name of the TXT record, without a last dot → its text.
    """

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        record = records.get(name.decode().rstrip("."))
        return record.encode() if record is not None else None

    message = dkim.DKIM(received.content)
    signatures = [name for name, _ in message.headers if name.lower() == b"dkim-signature"]
    return [_holds(message, index, look_up) for index in range(len(signatures))]


def _holds(message: dkim.DKIM, index: int, look_up: Callable[..., bytes | None]) -> bool:
    try:
        return bool(message.verify(index, dnsfunc=look_up))
    except dkim.DKIMException:
        return False

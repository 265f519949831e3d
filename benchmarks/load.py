"""The apps of the benchmark. A process of its own: ``python -m benchmarks.load '{"port": …}'`` prints its result."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from typing import cast

import uvloop

SENDER = "app@example.com"
PASSWORD = "correct horse"
LINE = b"The quick brown fox jumps over the lazy dog, and nobody is told of it.\r\n"
PATIENCE = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Load:
    """What to send.

    :param size: of a message, in octets.
    :param sessions: at one time, each sending as fast as it is answered; they share out the messages.
    :param kept: a session sends all its messages over one connection, otherwise each over a new one.
    :param login: AUTH LOGIN on every connection.
    :param rate: messages a second: each starts at its time, on a connection of its own, whether the others are done or
        not; 0: by sessions.
    """

    port: int
    messages: int
    size: int = 5_000
    sessions: int = 20
    kept: bool = True
    login: bool = False
    rate: float = 0.0


@dataclass(slots=True)
class Sent:
    """What came of it; monotonic seconds.

    :param began: the first connection.
    :param accepted: the last 250.
    :param latencies: for each message the seconds until its 250: from its last octet where sessions send, from the time
        when it was due where messages have their times.
    """

    began: float = 0.0
    accepted: float = 0.0
    latencies: list[float] = field(default_factory=list)


def body(size: int, number: int) -> bytes:
    """A message of so many octets, and the dot."""
    head = (
        f"From: {SENDER}\r\nTo: user{number}@example.org\r\nSubject: Your receipt no. {number}\r\n"
        f"Message-ID: <{number}.{time.time_ns()}@app.example.com>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    ).encode()
    return head + LINE * max((size - len(head)) // len(LINE), 1) + b".\r\n"


def dialogue(load: Load, numbers: Iterator[int], sent: Sent, due: float = 0.0) -> Generator[bytes]:
    """What a client says, reply by reply."""
    yield b"EHLO app.example.com\r\n"
    if load.login:
        yield b"AUTH LOGIN " + base64.b64encode(SENDER.encode()) + b"\r\n"
        yield base64.b64encode(PASSWORD.encode()) + b"\r\n"
    for number in numbers:
        yield f"MAIL FROM:<{SENDER}>\r\n".encode()
        yield f"RCPT TO:<user{number}@example.org>\r\n".encode()
        yield b"DATA\r\n"
        content = body(load.size, number)
        start = due or time.monotonic()
        yield content
        sent.accepted = time.monotonic()
        sent.latencies.append(sent.accepted - start)
    yield b"QUIT\r\n"


class Client(asyncio.Protocol):
    """One connection: says what comes next as soon as it has the reply to what came before."""

    def __init__(self, words: Generator[bytes]) -> None:
        self._words = words
        self._reply = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._reply += data
        last = self._reply[self._reply.rfind(b"\n", 0, -1) + 1 :]
        if not last.endswith(b"\n") or last[3:4] == b"-":
            return
        if last[:1] in b"45":
            self._end(RuntimeError(f"refused: {self._reply!r}"))
            return
        self._reply = b""
        said = next(self._words, None)
        if said is not None:
            self._transport.write(said)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or (RuntimeError("closed by the relay") if next(self._words, None) else None))

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error:
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)
        self._transport.close()


async def converse(port: int, words: Generator[bytes]) -> None:
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(words), "127.0.0.1", port)
    await client.ended


async def send(load: Load) -> Sent:
    """:raises RuntimeError: something was refused: a benchmark that loses mail measures nothing."""
    sent = Sent(began=time.monotonic())
    numbers = iter(range(load.messages))
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        if load.rate:
            for number in numbers:
                due = sent.began + number / load.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(converse(load.port, dialogue(load, iter((number,)), sent, due)))
        else:
            for _ in range(load.sessions):
                group.create_task(_session(load, numbers, sent))
    return sent


async def _session(load: Load, numbers: Iterator[int], sent: Sent) -> None:
    if load.kept:
        await converse(load.port, dialogue(load, numbers, sent))
        return
    for number in numbers:
        await converse(load.port, dialogue(load, iter((number,)), sent))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(send(Load(**json.loads(sys.argv[1])))))))

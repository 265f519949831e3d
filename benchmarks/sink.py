"""The smarthost of the benchmark: takes everything, keeps nothing, and costs as little as it can.

A process of its own, so that its work is nobody else's: ``python -m benchmarks.sink``. It prints its port; then for
each number on standard input it prints, as soon as so many messages have come since the last one, what it saw of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

EHLO = b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250 AUTH LOGIN PLAIN\r\n"
END = b"\r\n.\r\n"


@dataclass(slots=True)
class Seen:
    """What came since the last report.

    :param last: when the last message was there; monotonic seconds, which all processes of a machine share.
    :param signed: how many had a DKIM signature.
    :param recipients: different ones, since the sink was started.
    """

    messages: int = 0
    signed: int = 0
    recipients: int = 0
    connections: int = 0
    last: float = 0.0


class Sink:
    """What all connections count into."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._recipients: set[bytes] = set()
        self._arrival = asyncio.Event()

    def arrived(self, recipients: Sequence[bytes], *, signed: bool) -> None:
        self._recipients.update(recipients)
        self.seen.messages += 1
        self.seen.signed += signed
        self.seen.last = time.monotonic()
        self._arrival.set()

    async def report(self, count: int) -> Seen:
        """What came, as soon as it is so many messages; then counting begins anew."""
        while self.seen.messages < count:
            self._arrival.clear()
            await self._arrival.wait()
        seen, self.seen = self.seen, Seen()
        seen.recipients = len(self._recipients)
        return seen


class Session(asyncio.Protocol):
    """One connection; commands may come in one packet (RFC 2920)."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._searched = 0  # octets of the buffer that hold no end
        self._in_body = False
        self._recipients: list[bytes] = []
        self._answers_to_come = 0  # words of AUTH LOGIN

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"220 sink.test ESMTP\r\n")
        self._sink.seen.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies = b""
        while True:
            end = END if self._in_body else b"\r\n"
            at = self._buffer.find(end, self._searched)
            if at < 0:
                self._searched = max(0, len(self._buffer) - len(END))
                break
            part = bytes(self._buffer[:at])
            del self._buffer[: at + len(end)]
            self._searched = 0
            replies += self._body(part) if self._in_body else self._command(part)
        self._transport.write(replies)

    def _body(self, content: bytes) -> bytes:
        self._in_body = False
        self._sink.arrived(self._recipients, signed=b"DKIM-Signature:" in content[:4096])
        self._recipients = []
        return b"250 2.0.0 Ok\r\n"

    def _command(self, line: bytes) -> bytes:
        if self._answers_to_come:
            self._answers_to_come -= 1
            return b"334 UGFzc3dvcmQ6\r\n" if self._answers_to_come else b"235 2.7.0 Ok\r\n"
        verb, *words = line.upper().split()
        match verb:
            case b"EHLO":
                return EHLO
            case b"AUTH":
                self._answers_to_come = 3 - len(words)
                return b"334 UGFzc3dvcmQ6\r\n" if self._answers_to_come else b"235 2.7.0 Ok\r\n"
            case b"RCPT":
                self._recipients.append(words[0])
                return b"250 2.0.0 Ok\r\n"
            case b"DATA":
                self._in_body = True
                return b"354 Go ahead\r\n"
            case b"QUIT":
                self._transport.write(b"221 2.0.0 Bye\r\n")
                self._transport.close()
                return b""
            case _:
                return b"250 2.0.0 Ok\r\n"


async def main() -> None:
    loop = asyncio.get_running_loop()
    sink = Sink()
    server = await loop.create_server(lambda: Session(sink), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(await sink.report(int(line)))), flush=True)


if __name__ == "__main__":
    uvloop.run(main())

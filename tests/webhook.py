"""A webhook on loopback: it keeps what it is told, and answers as a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE = 30.0  # seconds


@dataclass(frozen=True)
class Request:
    """What came; header names are in lower case."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = json.loads(self.body)["data"]
        return told


class Endpoint:
    """Use it as a context manager.

    :param answer: what it answers to a request; None for nothing at all, the connection is closed.
    :ivar taken: the requests that were answered by 2xx.
    """

    def __init__(self, answer: Callable[[Request], Awaitable[bytes | None]] | None = None) -> None:
        self.answer = answer or _take
        self.requests: list[Request] = []
        self.taken: list[Request] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._came = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mail?token=hidden"

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has taken, in the order in which it came."""
        return [event for request in self.taken for event in request.events]

    async def __aenter__(self) -> Endpoint:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def until(self, enough: Callable[[Endpoint], bool]) -> None:
        """Wait for something to have come."""
        async with asyncio.timeout(PATIENCE):
            while not enough(self):
                self._came.clear()
                await self._came.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while request := await _read(reader):
                self.requests.append(request)
                self._came.set()
                answer = await self.answer(request)
                if answer is None:
                    return
                if answer.startswith(b"HTTP/1.1 2"):
                    self.taken.append(request)
                writer.write(answer)
                await writer.drain()
                self._came.set()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Request(line, headers, await reader.readexactly(int(headers["content-length"])))


def status(line: str, body: bytes = b"", *headers: str) -> bytes:
    """An answer: ``status("500 Broken")``."""
    fields = "".join(f"{field}\r\n" for field in (f"content-length: {len(body)}", *headers))
    return f"HTTP/1.1 {line}\r\n{fields}\r\n".encode() + body


async def _take(_: Request) -> bytes:
    return status("204 No Content")


def answering(*answers: bytes | None) -> Callable[[Request], Awaitable[bytes | None]]:
    """These answers, one after the other; then it takes everything."""
    left = list(answers)

    async def answer(request: Request) -> bytes | None:
        return left.pop(0) if left else await _take(request)

    return answer

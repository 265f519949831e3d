"""What a client says to the gateway, overheard between the two."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self


class Tap:
    """Listens in the gateway's place, hands octets on both ways and keeps the client's; under TLS they tell nothing."""

    def __init__(self, gateway: int) -> None:
        self.port = 0
        self._gateway = gateway
        self._heard: list[bytearray] = []  # one a connection
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1")
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def heard(self) -> bytes:
        """All that was said, one connection after the other."""
        return b"".join(self._heard)

    def said(self, verb: str) -> list[str]:
        """The arguments of a command, each time that it was given."""
        lines = [line.decode("ascii", "replace") for heard in self._heard for line in heard.splitlines()]
        return [line[len(verb) :].strip() for line in lines if line.upper().split()[:1] == [verb]]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        self._heard.append(heard := bytearray())
        from_gateway, to_gateway = await asyncio.open_connection("127.0.0.1", self._gateway)
        try:
            await asyncio.gather(_hand_on(reader, to_gateway, heard), _hand_on(from_gateway, writer, bytearray()))
        finally:
            writer.close()
            to_gateway.close()
            self._connections.discard(task)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray) -> None:
    with suppress(ConnectionError):
        while octets := await reader.read(2**16):
            heard += octets
            writer.write(octets)
            await writer.drain()
        writer.write_eof()

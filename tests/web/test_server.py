"""What connections there are to the page, whatever is asked on them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from smtprelay.web import server, site
from tests.web.backstage import behind

PATIENCE = 10.0  # seconds


@pytest_asyncio.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with behind(tmp_path) as backstage:
        sock = socket.create_server(("127.0.0.1", 0))
        until = asyncio.Event()
        serving = asyncio.create_task(server.serve([sock], backstage.stage, tls=None, until=until))
        yield sock.getsockname()[1]
        until.set()
        async with asyncio.timeout(PATIENCE):
            await serving
        sock.close()


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What came until the other side closed the connection."""
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionResetError):
            return await reader.read()
    return b""


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_who_asks_nothing_is_let_go(port: int, beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning)
    assert await closed(reader) == b""
    writer.close()


async def test_an_answer_that_lasts_is_not_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"data: ")
        await asyncio.sleep(0.1)  # ten times as long as others have
    assert not reader.at_eof()
    writer.close()


async def test_a_form_that_does_not_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "PATIENCE", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\nConnection: close"
    writer.write(f"POST /login HTTP/1.1\r\nHost: localhost\r\n{form}\r\n\r\nusername=".encode())
    assert (await closed(reader)).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_there_are_so_many_connections(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    several = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    assert await closed(several[-1][0]) == b""
    reader, writer = several[0]
    writer.write(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await closed(reader)).startswith(b"HTTP/1.1 200 ")
    for _, other in several:
        other.close()
    writer.close()

"""What connections there are to the page, whatever is asked on them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from smtprelay import connections
from smtprelay.web import server, site
from tests.web.backstage import behind

PATIENCE = 10.0  # seconds


Serve = Callable[..., Awaitable[int]]


@pytest_asyncio.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Has the page answer on a free port, with TLS where there is a context; closed after the test."""
    until = asyncio.Event()
    async with AsyncExitStack() as stack:
        backstage = await stack.enter_async_context(behind(tmp_path))
        serving: list[asyncio.Task[None]] = []

        async def started(tls: ssl.SSLContext | None = None) -> int:
            sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            serving.append(asyncio.create_task(server.serve([sock], backstage.stage, tls=tls, until=until)))
            return int(sock.getsockname()[1])

        yield started
        until.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*serving)


@pytest_asyncio.fixture
async def port(serve: Serve) -> int:
    return await serve()


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


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether one who was let in asks for a page."""
    writer.write(b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await closed(reader)
    writer.close()
    return answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("limit", "local"), [("MAX_CONNECTIONS", True), ("PER_CLIENT", False)])
async def test_there_are_so_many_connections(
    serve: Serve, limit: str, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One host could have had all of them."""
    monkeypatch.setattr(server, limit, 3)
    monkeypatch.setattr(server, "is_loopback", lambda _address: local)
    port = await serve()
    several = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
    assert await closed(several[-1][0]) == b""
    assert await answered(*several[0])
    assert await answered(*await asyncio.open_connection("127.0.0.1", port)), "its place is free again"
    for _, writer in several[1:]:
        writer.close()


async def test_a_web_server_on_this_machine_has_no_share(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes on what many ask."""
    monkeypatch.setattr(server, "PER_CLIENT", 1)
    port = await serve()
    several = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    assert [await answered(*connection) for connection in several] == [True, True, True]


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's, and that of a client that trusts it."""
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("relay.test").configure_cert(ours)
    authority.configure_trust(theirs)
    return ours, theirs


async def test_who_connects_for_tls_and_says_nothing_is_counted(
    serve: Serve, contexts: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio waits a minute for a handshake and tells nobody: strangers could take all descriptors."""
    monkeypatch.setattr(connections, "HANDSHAKE", 10 * PATIENCE)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    port = await serve(contexts[0])
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    assert await closed(silent[-1][0]) == b""
    for _, writer in silent:
        writer.close()


async def test_a_handshake_has_its_time(
    serve: Serve, contexts: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = contexts
    with monkeypatch.context() as hasty:
        hasty.setattr(connections, "HANDSHAKE", 0.05)
        hasty.setattr(server, "MAX_CONNECTIONS", 1)
        port = await serve(ours)
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await closed(reader) == b""
            writer.close()
    assert await answered(*await asyncio.open_connection("127.0.0.1", port, ssl=theirs, server_hostname="relay.test"))

"""The status server of the real daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.process.relay import make_relay


async def get(address: str, path: str) -> tuple[int, str]:
    """:returns: status and body of an answer."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body.decode()


async def test_it_answers_from_the_first_connection_on_and_ends_with_the_daemon(tmp_path: Path) -> None:
    relay = make_relay(tmp_path, 9)
    ready = await relay.start()
    [address] = ready["status"]
    assert await get(address, "/healthz") == (200, "ok\n")
    assert await get(address, "/healthz") == (200, "ok\n")
    assert await relay.stop() == 0

"""Sockets that are served by a module which is imported when somebody connects."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from smtprelay import on_demand
from smtprelay.on_demand import OnDemand

MODULE = "served_on_demand"


async def hello(_module: Any, socks: Sequence[socket.socket], until: asyncio.Event) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(greet, sock=socks[0]):
        await until.wait()


async def test_a_module_that_could_not_be_imported_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When descriptors run out is when an operator looks at the page, and asks over the control socket."""
    monkeypatch.setattr(on_demand, "AGAIN", 0.0)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / f"{MODULE}.py"
    module.write_text("raise OSError(24, 'Too many open files')", encoding="utf-8")
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    door = OnDemand(MODULE, hello)
    door.open([sock])
    failed = asyncio.Event()
    monkeypatch.setattr(on_demand.log, "exception", lambda *_args, **_fields: failed.set(), raising=False)
    try:
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        await asyncio.wait_for(failed.wait(), 10)
        module.write_text("", encoding="utf-8")
        assert await asyncio.wait_for(reader.read(), 10) == b"hello"
        writer.close()
    finally:
        await door.close()
        sys.modules.pop(MODULE, None)


async def test_it_closes_while_it_waits_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = asyncio.Event()
    monkeypatch.setattr(on_demand.log, "exception", lambda *_args, **_fields: failed.set(), raising=False)
    sock = socket.create_server(("127.0.0.1", 0))
    door = OnDemand("no_such_module", hello)
    door.open([sock])
    _, writer = await asyncio.open_connection(*sock.getsockname())
    await asyncio.wait_for(failed.wait(), 10)
    await asyncio.wait_for(door.close(), 2)
    writer.close()
    assert sock.fileno() == -1

"""Serving sockets by a module that is imported when somebody connects: until then it would be megabytes for nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import structlog

log = structlog.get_logger("control")

AGAIN = 5.0  # seconds until a module that could not be imported is tried again

Serve = Callable[[Any, Sequence[socket.socket], asyncio.Event], Awaitable[None]]


class OnDemand:
    """Listening sockets, and who answers on them.

    :param module: what is imported.
    :param serve: given that module and the sockets, answers on them until the event is set.
    """

    def __init__(self, module: str, serve: Serve) -> None:
        self._module = module
        self._serve = serve
        self._socks: Sequence[socket.socket] = ()
        self._serving: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    def open(self, socks: Sequence[socket.socket]) -> None:
        """Wait for somebody on these sockets; they are closed by `close`."""
        self._socks = socks
        for sock in socks:
            asyncio.get_running_loop().add_reader(sock, self._connected)

    def _connected(self) -> None:
        self._stop_waiting()
        self._serving = asyncio.create_task(self._answer())

    def _stop_waiting(self) -> None:
        for sock in self._socks:
            asyncio.get_running_loop().remove_reader(sock)

    async def _answer(self) -> None:
        try:
            module = await asyncio.to_thread(import_module, self._module)
        except Exception:  # for want of descriptors or memory, say, or while it is being upgraded: that passes
            log.exception("nobody answers yet", by=self._module)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), AGAIN)
            if not self._closed.is_set():
                self._serving = None
                self.open(self._socks)
            return
        try:
            await self._serve(module, self._socks, self._closed)
        except Exception:
            log.exception("nobody answers any more", by=self._module)

    async def close(self) -> None:
        """Let go of the sockets."""
        self._closed.set()
        if self._serving:
            await self._serving
        else:
            self._stop_waiting()
        for sock in self._socks:
            sock.close()

"""HTTP on a listening socket, in the daemon's loop: imported when somebody connects."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn.config
import uvicorn.server
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

LAST_ANSWERS = 5  # seconds that answers under way get at shut-down


async def serve(
    socks: Sequence[socket.socket],
    app: ASGIApp,
    *,
    until: asyncio.Event,
    protocol: Callable[..., H11Protocol],
) -> None:
    """Answer on listening sockets until the event is set.

    :param protocol: makes the one of a new connection, of what uvicorn gives its own.
    """
    config = uvicorn.config.Config(
        app,
        http=protocol,  # type: ignore[arg-type]  # it is only called
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=LAST_ANSWERS,  # somebody may ask and never read
    )
    config.load()
    server = _Server(config)
    serving, ending = asyncio.create_task(server.serve(sockets=list(socks))), asyncio.create_task(until.wait())
    await asyncio.wait([serving, ending], return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    server.should_exit = True
    await serving


class _Server(uvicorn.server.Server):
    """Signals are the daemon's, not the web server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

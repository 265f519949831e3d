"""Where `smtprelay.status` hands its sockets over."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from smtprelay import http_server
from smtprelay.status import Backstage
from smtprelay.web.app import app

MAX_CONNECTIONS = 100
PATIENCE = 20.0  # seconds that a connection has for its request's header


async def serve(
    socks: Sequence[socket.socket], backstage: Backstage, *, tls: ssl.SSLContext | None, until: asyncio.Event
) -> None:
    """Answer until the event is set."""
    await http_server.serve(socks, app(backstage, until), until=until, tls=tls, protocol=_Bounded)


class _Bounded(H11Protocol):
    """Strangers cannot use up the descriptors that mail needs: connections are bounded, and none waits for ever."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._deadline = self.loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        if self.conn.their_state is h11.IDLE:  # no whole header came; after an answer, uvicorn closes sooner
            self.transport.abort()
        else:
            self._deadline = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

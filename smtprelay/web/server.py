"""Where `smtprelay.status` hands its sockets over."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from smtprelay import http_server
from smtprelay.connections import ConnectionLimit, begin_tls, client_address
from smtprelay.status import Backstage
from smtprelay.values import is_loopback
from smtprelay.web.app import app

MAX_CONNECTIONS = 100
PER_CLIENT = 30  # of them; a browser keeps one for each page that changes by itself
PATIENCE = 20.0  # seconds that a connection has for its request's header


async def serve(
    socks: Sequence[socket.socket], backstage: Backstage, *, tls: ssl.SSLContext | None, until: asyncio.Event
) -> None:
    """Answer until the event is set.

    :param tls: where it is set, nothing else is spoken.
    """
    protocol = partial(_Bounded, ConnectionLimit(MAX_CONNECTIONS, PER_CLIENT), tls)
    await http_server.serve(socks, app(backstage, until), until=until, protocol=protocol)


class _Bounded(H11Protocol):
    """Strangers cannot use up the descriptors that mail needs: connections are bounded, and none waits for ever.

    Who connects from this machine may be a web server that passes on what many ask, and has no bound of its own.
    """

    _counted = False
    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, limit: ConnectionLimit, tls: ssl.SSLContext | None, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._limit = limit
        self._tls = tls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection, or the same one under TLS."""
        super().connection_made(transport)
        if self._counted:
            return
        self._client = client_address(transport)
        self._local = is_loopback(self._client)
        self._counted = self._limit.enter(self._client, trusted=self._local)
        if not self._counted:
            transport.abort()
            return
        self._deadline = self.loop.call_later(PATIENCE, self._look)
        if self._tls:
            _, handshake = begin_tls(transport, self, self._tls)
            handshake.add_done_callback(self._shaken)

    def _shaken(self, handshake: asyncio.Future[None]) -> None:
        if handshake.exception() or self.scheme != "https":
            self.connection_lost(None)

    def _look(self) -> None:
        if self.conn.their_state is h11.IDLE:  # no whole header came; after an answer, uvicorn closes sooner
            self.transport.abort()
        else:
            self._deadline = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        if self._counted:
            self._limit.leave(self._client, trusted=self._local)
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

"""The gateway's sockets: opening, TLS, closing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from smtprelay.accounts import Accounts
from smtprelay.config import Gateway
from smtprelay.gateway.limits import MESSAGE_MEMORY, ClientLimit, MemoryBudget
from smtprelay.gateway.services import Services
from smtprelay.gateway.session import Session
from smtprelay.pipeline import Pipeline
from smtprelay.sockets import BACKLOG, ListenError, Place, ServerTLS, address_of, close_all, new_sockets

LOGIN_DELAY = 1.0  # seconds that a failed log-in takes longer each time


class _Door(NamedTuple):
    sock: socket.socket
    server: asyncio.Server


class Listeners:
    """All sockets of the gateway, and the sessions on them.

    :param tls: None where there is no certificate.
    """

    def __init__(
        self, config: Gateway, pipeline: Pipeline, tls: ssl.SSLContext | None, *, login_delay: float = LOGIN_DELAY
    ) -> None:
        self._doors: dict[Place, list[_Door]] = {}
        self._services = Services(
            config,
            Accounts(config.accounts),
            pipeline,
            ClientLimit(config.max_connections, config.max_connections_per_client),
            MemoryBudget(MESSAGE_MEMORY, config.max_message_size),
            ServerTLS(tls),
            login_delay=login_delay,
        )

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as they came out (port 0 is replaced)."""
        return [address_of(door.sock) for doors in self._doors.values() for door in doors]

    async def start(self) -> list[str]:
        """Listen. :returns: `addresses`. :raises ListenError: it cannot."""
        await self.serve(self.open(self._services.config))
        return self.addresses

    def open(self, config: Gateway) -> dict[Place, list[socket.socket]]:
        """The sockets that these settings need and that are not open yet; `serve` takes connections from them.

        :raises ListenError: one of them cannot be had.
        """
        here = {place: [door.sock for door in doors] for place, doors in self._doors.items()}
        opened = new_sockets(_places(config), here)
        if not any(here.get(place) or opened.get(place) for place in _places(config)):
            close_all(opened.values())
            raise ListenError("no address to listen on: set [gateway] listen")
        return opened

    def use(self, config: Gateway, tls: ssl.SSLContext | None) -> None:
        """Have other settings from now on. Sessions go on, and so do those of addresses that are left; a message that
        has begun ends as it began."""
        services = self._services
        services.config = config
        services.accounts.use(config.accounts)
        services.connections.use(config.max_connections, config.max_connections_per_client)
        services.memory.use(MESSAGE_MEMORY, config.max_message_size)
        services.tls.use(tls)
        for place in self._doors.keys() - set(_places(config)):
            for door in self._doors.pop(place):
                door.server.close()

    def hand_to(self, pipeline: Pipeline) -> None:
        """Hand the messages that begin from now on to another pipeline."""
        self._services.pipeline = pipeline

    async def serve(self, opened: Mapping[Place, Sequence[socket.socket]]) -> None:
        """Take connections from sockets that `open` made."""
        loop = asyncio.get_running_loop()
        for place, socks in opened.items():
            tls = self._services.tls.context if place.tls else None
            for sock in socks:
                session = partial(Session, self._services, loop, tls)
                server = await loop.create_server(session, sock=sock, backlog=BACKLOG)
                self._doors.setdefault(place, []).append(_Door(sock, server))

    async def stop(self, grace: float) -> None:
        """Take no more connections, end sessions politely, and wait for messages under way.

        :param grace: seconds; then what is still open is cut.
        """
        self._services.stopping = True  # for those too that were accepted, and begin only now
        for doors in self._doors.values():
            for door in doors:
                door.server.close()
        sessions, submissions = self._services.sessions, self._services.submissions
        for session in list(sessions):
            session.stop()
        deadline = asyncio.get_running_loop().time() + grace
        while (sessions or submissions) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        for session in list(sessions):
            session.abort()
        # What had its last dot read is stored in any case.
        if submissions:
            await asyncio.wait(submissions)
        self._services.accounts.close()


def _places(config: Gateway) -> list[Place]:
    return [*(Place(listen, False) for listen in config.listen), *(Place(listen, True) for listen in config.listen_tls)]

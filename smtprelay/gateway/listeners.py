"""The gateway's sockets: opening, TLS, closing."""

from __future__ import annotations

import asyncio

from smtprelay.accounts import Accounts
from smtprelay.config import Gateway
from smtprelay.gateway.limits import MESSAGE_MEMORY, ConnectionLimit, MemoryBudget
from smtprelay.gateway.services import Services
from smtprelay.gateway.session import Session
from smtprelay.pipeline import Pipeline
from smtprelay.sockets import BACKLOG, ListenError, address_of, listening, tls_context

LOGIN_DELAY = 1.0  # seconds that a failed log-in takes longer each time


class Listeners:
    """All sockets of the gateway, and the sessions on them."""

    def __init__(self, config: Gateway, pipeline: Pipeline, *, login_delay: float = LOGIN_DELAY) -> None:
        self._config = config
        self._servers: list[asyncio.Server] = []
        self._accounts = Accounts(config.accounts)
        self._services = Services(
            config,
            self._accounts,
            pipeline,
            ConnectionLimit(config.max_connections, config.max_connections_per_client),
            MemoryBudget(MESSAGE_MEMORY, config.max_message_size),
            tls=tls_context(config.tls_certificate, config.tls_key),
            login_delay=login_delay,
        )

    async def start(self) -> list[str]:
        """Listen. :returns: the addresses, as they came out (port 0 is replaced). :raises ListenError: it cannot."""
        loop = asyncio.get_running_loop()
        addresses = []
        for listen, tls in [(listen, False) for listen in self._config.listen] + [
            (listen, True) for listen in self._config.listen_tls
        ]:
            for sock in listening(listen):
                server = await loop.create_server(
                    lambda: Session(self._services, loop),
                    sock=sock,
                    ssl=self._services.tls if tls else None,
                    backlog=BACKLOG,
                )
                self._servers.append(server)
                addresses.append(address_of(sock))
        if not addresses:
            raise ListenError("no address to listen on: set [gateway] listen")
        return addresses

    async def stop(self, grace: float) -> None:
        """Take no more connections, end sessions politely, and wait for messages under way.

        :param grace: seconds; then what is still open is cut.
        """
        for server in self._servers:
            server.close()
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
        self._accounts.close()

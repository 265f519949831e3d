"""The gateway's sockets: opening, TLS, closing."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import structlog

from smtprelay.config import Gateway
from smtprelay.gateway.auth import Accounts
from smtprelay.gateway.limits import MESSAGE_MEMORY, ConnectionLimit, MemoryBudget
from smtprelay.gateway.services import Services
from smtprelay.gateway.session import Session
from smtprelay.pipeline import Pipeline
from smtprelay.values import Listen

log = structlog.get_logger("gateway")

BACKLOG = 1024
LOGIN_DELAY = 1.0  # seconds that a failed log-in takes longer each time
_FIRST_PASSED_FD = 3  # sd_listen_fds(3)


class ListenError(Exception):
    """An address cannot be listened on; the text says which and why."""


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
            for sock in _open(listen):
                server = await loop.create_server(
                    lambda: Session(self._services, loop),
                    sock=sock,
                    ssl=self._services.tls if tls else None,
                    backlog=BACKLOG,
                )
                self._servers.append(server)
                host, port = sock.getsockname()[:2]
                addresses.append(str(Listen(host=host, port=port)))
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


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The server's side of TLS, for old clients too: a certificate that cannot be verified beats plaintext.

    :raises ListenError: the files are no certificate and its key.
    """
    if certificate is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ListenError(f"tls_certificate {certificate} and tls_key {key} cannot be used: {error}") from error
    return context


def _open(listen: Listen) -> Sequence[socket.socket]:
    if listen.fd_name:
        return _passed(listen.fd_name)
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        sock = socket.create_server((listen.host, listen.port), family=family, backlog=BACKLOG)
    except OSError as error:
        if family == socket.AF_INET6 and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            log.info("IPv6 is absent; not listening there", address=str(listen))
            return []
        raise ListenError(f"cannot listen on {listen}: {error.strerror or error}") from error
    return [sock]


def _passed(name: str) -> Sequence[socket.socket]:
    """Sockets that the service manager passed under this name (sd_listen_fds_with_names(3))."""
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = int(os.environ.get("LISTEN_FDS", "0")) if os.environ.get("LISTEN_PID") == str(os.getpid()) else 0
    found = [socket.socket(fileno=_FIRST_PASSED_FD + i) for i in range(count) if names[i : i + 1] == [name]]
    for sock in found:
        sock.set_inheritable(False)
    if not found:
        raise ListenError(f"fd:{name}: the service manager passed no socket of this name")
    return found

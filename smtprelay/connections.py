"""Connections from outside: whose they are, how many there may be, and TLS on them: for the gateway and the page."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from asyncio.sslproto import SSLProtocol
from collections import Counter
from typing import cast

HANDSHAKE = 10  # seconds that a client has for that of TLS


def client_address(transport: asyncio.BaseTransport) -> str:
    """Whom it is from."""
    return unmapped(str((transport.get_extra_info("peername") or ("local",))[0]))


def unmapped(address: str) -> str:
    """IPv4 is told as such on a socket for both families too, not as mapped (RFC 4291 §2.5.5.2)."""
    mapped = address.removeprefix("::ffff:")
    return address if ":" in mapped else mapped


def network_of(client: str) -> str:
    """Whom to count a client as: one of IPv6 can have any address of its /64."""
    if ":" not in client:
        return client
    return str(ipaddress.IPv6Network((client.partition("%")[0], 64), strict=False))


class ConnectionLimit:
    """Counts open connections, in all and by client.

    :param total: connections at most.
    :param per_client: connections of one client address (of IPv6, one /64) at most; trusted clients are not counted.
    """

    def __init__(self, total: int, per_client: int) -> None:
        self._open = 0
        self._by_client: Counter[str] = Counter()
        self.use(total, per_client)

    def use(self, total: int, per_client: int) -> None:
        """Keep to other numbers from now on. Whoever is in stays."""
        self._total = total
        self._per_client = per_client

    def enter(self, client: str, *, trusted: bool) -> bool:
        """Count a new connection. :returns: False where there is no room for it, and then it is not counted."""
        network = network_of(client)
        if self._open >= self._total or (not trusted and self._by_client[network] >= self._per_client):
            return False
        self._open += 1
        if not trusted:
            self._by_client[network] += 1
        return True

    def leave(self, client: str, *, trusted: bool) -> None:
        """The end of a connection that was counted."""
        self._open -= 1
        if not trusted:
            network = network_of(client)
            self._by_client[network] -= 1
            if not self._by_client[network]:
                del self._by_client[network]


def begin_tls(
    transport: asyncio.BaseTransport, protocol: asyncio.BaseProtocol, context: ssl.SSLContext
) -> tuple[SSLProtocol, asyncio.Future[None]]:
    """Go on under TLS, as the server: `connection_made` comes again, with the transport under it.

    A listening socket of asyncio's that has a context tells nobody of a connection until its handshake is done: who
    connects and says nothing could not be counted.

    :returns: TLS, and what is done with the handshake, or with the connection before that; `connection_lost` does not
        come then.
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    tls = SSLProtocol(loop, protocol, context, done, server_side=True, ssl_handshake_timeout=HANDSHAKE)
    cast("asyncio.Transport", transport).set_protocol(tls)
    tls.connection_made(transport)
    return tls, done

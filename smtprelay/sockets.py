"""Listening sockets, and the server's side of TLS: for the gateway and the page."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from smtprelay.certificates import why_unusable
from smtprelay.service import passed_sockets
from smtprelay.values import Listen

log = structlog.get_logger("gateway")

BACKLOG = 1024


class ListenError(Exception):
    """An address cannot be listened on; the text says which and why."""


class Place(NamedTuple):
    """Where somebody listens.

    :param tls: from the first octet on.
    """

    listen: Listen
    tls: bool


def new_sockets(
    wanted: Collection[Place], listened_on: Mapping[Place, Sequence[socket.socket]]
) -> dict[Place, list[socket.socket]]:
    """The sockets of the places that nobody listens on yet. Where only TLS begins or ends, they are copies, so that the
    address is not closed for a moment.

    :raises ListenError: one of them cannot be had; none is left open then.
    """
    made: dict[Place, list[socket.socket]] = {}
    try:
        for place in dict.fromkeys(wanted):
            if not listened_on.get(place):
                same = listened_on.get(Place(place.listen, not place.tls), ())
                made[place] = [sock.dup() for sock in same] or list(listening(place.listen))
    except ListenError:
        close_all(made.values())
        raise
    return made


def close_all(sockets: Iterable[Sequence[socket.socket]]) -> None:
    """Close what was opened in vain."""
    for socks in sockets:
        for sock in socks:
            sock.close()


def listening(listen: Listen) -> Sequence[socket.socket]:
    """The sockets of an address; none where it is of IPv6 and this machine has none.

    :raises ListenError: it cannot be listened on.
    """
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


def address_of(sock: socket.socket) -> str:
    """``host:port`` of a listening socket, as it came out (port 0 is replaced)."""
    host, port = sock.getsockname()[:2]
    return str(Listen(host=host, port=port))


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The server's side of TLS, for old clients too: a certificate that cannot be verified beats plaintext.

    :raises ListenError: the files are no certificate and its key.
    """
    if certificate is None or key is None:
        return None
    for name, file in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            file.open("rb").close()
        except OSError as error:  # load_cert_chain would not say which it is
            raise ListenError(f"{name} {file} cannot be read: {error.strerror}") from error

    def passphrase() -> str:  # or OpenSSL would ask for it at the terminal, and a reload would wait for that
        raise ListenError(f"tls_key {key} is encrypted: write it without its passphrase (openssl pkey -in … -out …)")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, passphrase)
    except ssl.SSLError as error:
        problem = f"tls_certificate {certificate} and tls_key {key} cannot be used: {why_unusable(error)}"
        raise ListenError(problem) from error
    return context


class ServerTLS:
    """The server's side of TLS, whose certificate can be exchanged while sockets listen: each handshake has the newest.

    :param context: None: no TLS.
    :ivar context: for listening sockets, and for STARTTLS.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context: ssl.SSLContext | None = None
        self.use(context)

    def use(self, context: ssl.SSLContext | None) -> None:
        """Have another certificate from now on; sessions under TLS go on."""
        self._newest = context
        if context is None or self.context is None:
            self.context = context
        if self.context:
            self.context.sni_callback = self._begin

    def _begin(self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        if self._newest:
            handshake.context = self._newest


def _passed(name: str) -> Sequence[socket.socket]:
    found = passed_sockets(name)
    if not found:
        raise ListenError(f"fd:{name}: the service manager passed no socket of this name")
    for sock in found:
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ListenError(f"fd:{name}: its unit needs ListenStream=, and Accept=no, as by default")
    return found

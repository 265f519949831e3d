"""Listening sockets, and the server's side of TLS: for the gateway and the page."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import structlog

from smtprelay.service import passed_sockets
from smtprelay.values import Listen

log = structlog.get_logger("gateway")

BACKLOG = 1024


class ListenError(Exception):
    """An address cannot be listened on; the text says which and why."""


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
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ListenError(f"tls_certificate {certificate} and tls_key {key} cannot be used: {error}") from error
    return context


def _passed(name: str) -> Sequence[socket.socket]:
    found = passed_sockets(name)
    if not found:
        raise ListenError(f"fd:{name}: the service manager passed no socket of this name")
    for sock in found:
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ListenError(f"fd:{name}: its unit needs ListenStream=, and Accept=no, as by default")
    return found

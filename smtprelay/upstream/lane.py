"""What a credential comes to: where to connect, how to log in, whom to trust."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from smtprelay import config
from smtprelay.upstream.reach import Way


@dataclass(slots=True)
class Lane:
    """The way of one credential's mail. Two are equal where a connection of the one is as good for the other.

    :param trust: the octets of `tls_ca_file`.
    :ivar smtputf8: whether it was offered at the last EHLO; None: not known yet.
    :ivar retired: the configuration has another one, or none, for the credential by now.
    """

    hosts: tuple[str, ...]
    port: int
    tls: config.TLSMode
    username: str
    password: str = field(repr=False)
    trust: bytes = field(repr=False)
    context: ssl.SSLContext | None = field(compare=False)
    smtputf8: bool | None = field(default=None, compare=False)
    retired: bool = field(default=False, compare=False)

    @property
    def ways(self) -> list[Way]:
        """To each of its hosts."""
        return [self.way(f"{host}:{self.port}") for host in self.hosts]

    def way(self, place: str) -> Way:
        """:param place: ``host:port``."""
        return Way(place, self.tls)


def lanes(settings: config.Upstream, passwords: Mapping[str, str]) -> dict[str, Lane]:
    """The lane of each credential, by its key. The file of certificates is read.

    :param passwords: by the credential's key.
    :raises OSError: the file of certificates cannot be used (ssl.SSLError is one too).
    """
    context = cache(partial(_tls_context, settings.tls_ca_file))
    trust = settings.tls_ca_file.read_bytes() if settings.tls_ca_file else b""
    made = {}
    for credential in settings.log_ins:
        tls = credential.tls or settings.tls
        made[credential.key] = Lane(
            hosts=credential.host or settings.host,
            port=credential.port or settings.port,
            tls=tls,
            username=credential.username,
            password=passwords[credential.key] if credential.username else "",
            trust=trust,
            context=None if tls == "none" else context(verified=tls != "opportunistic"),
        )
    return made


def _tls_context(ca_file: Path | None, *, verified: bool) -> ssl.SSLContext:
    if verified:
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities, which take 2 MB
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # any encryption beats none (RFC 7435 §3), and none is what remains
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # old smarthosts have small keys and SHA-1
    if ca_file:
        context.load_verify_locations(ca_file)  # for a credential of its own that verifies; a wrong file is told of
    return context

"""`[gateway]`: where apps hand in their mail, and who may."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from smtprelay.config.section import PasswordHash, Section, require_tls_pair
from smtprelay.values import (
    Charsets,
    Domain,
    Listen,
    ListenAddress,
    NetworkRange,
    OptionalPath,
    OptionalRate,
    PositiveSize,
    SenderPattern,
    TrustedNetworks,
    parse_network,
    parse_size,
    unique,
)

LOOPBACK = (parse_network("127.0.0.0/8"), parse_network("::1/128"))


class Account(Section):
    """`[[gateway.accounts]]`: somebody who logs in to the gateway."""

    username: str = Field(min_length=1)
    password_hash: PasswordHash
    senders: tuple[SenderPattern, ...] = ()
    templates: tuple[str, ...] = ("*",)
    charsets: Charsets = ()
    rate: OptionalRate = None
    recipients_per_day: int = Field(default=0, ge=0)


class Gateway(Section):
    """`[gateway]`: where apps hand in their mail."""

    listen: tuple[ListenAddress, ...] = (Listen("127.0.0.1", 2525), Listen("::1", 2525))
    listen_tls: tuple[ListenAddress, ...] = ()
    hostname: Domain = "localhost"
    max_message_size: PositiveSize = parse_size("25MiB")
    max_recipients: int = Field(default=1000, ge=1)
    max_connections: int = Field(default=500, ge=1)
    max_connections_per_client: int = Field(default=20, ge=1)
    trusted_networks: TrustedNetworks = LOOPBACK
    plaintext_auth_networks: tuple[NetworkRange, ...] = LOOPBACK
    tls_certificate: OptionalPath = None
    tls_key: OptionalPath = None
    client_rate: OptionalRate = None
    client_recipients_per_day: int = Field(default=0, ge=0)
    accounts: Annotated[tuple[Account, ...], unique("username")] = ()

    @model_validator(mode="after")
    def _has_tls_pair(self) -> Gateway:
        require_tls_pair(self)
        if self.listen_tls and not self.tls_certificate:
            raise ValueError("listen_tls needs tls_certificate and tls_key")
        return self

"""What the daemon runs by: the configuration, and what is in the files that it names."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from smtprelay.config import Config, ConfigError
from smtprelay.config_file import read_config
from smtprelay.credentials import read_lanes, read_platform_passwords, read_webhook_keys
from smtprelay.keyfiles import KeyFile, configured_keys
from smtprelay.sockets import ListenError, tls_context
from smtprelay.upstream import Lane
from smtprelay.webhooks import Target, targets


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration with which nothing is wrong, as far as files can tell.

    :param lanes: by the credential's key.
    :param keys: of `[[domains.keys]]`.
    :param gateway_tls: the certificate of the gateway; None for none.
    :param status_tls: of the status server.
    :param webhooks: with their secrets.
    :param platform_passwords: by the account's key.
    """

    config: Config
    lanes: Mapping[str, Lane] = field(repr=False)
    keys: Sequence[KeyFile]
    gateway_tls: ssl.SSLContext | None
    status_tls: ssl.SSLContext | None
    webhooks: Sequence[Target]
    platform_passwords: Mapping[str, str] = field(repr=False)


def read_settings(file: Path) -> Settings:
    """The configuration, and all that it names.

    :raises ConfigError: with every problem that was found.
    """
    config = read_config(file)
    gateway, status = config.gateway, config.status
    problems: list[str] = []
    with _noting(problems):
        lanes = read_lanes(config)
    with _noting(problems):
        keys = configured_keys(config)
    with _noting(problems):
        gateway_tls = tls_context(gateway.tls_certificate, gateway.tls_key)
    with _noting(problems):
        status_tls = tls_context(status.tls_certificate, status.tls_key)
    with _noting(problems):
        webhooks = targets(config.webhooks, read_webhook_keys(config))
    with _noting(problems):
        platform_passwords = read_platform_passwords(config)
    if problems:
        raise ConfigError([f"{file}: {problem}" for problem in problems])
    return Settings(config, lanes, keys, gateway_tls, status_tls, webhooks, platform_passwords)


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        problems += error.problems
    except ListenError as error:
        problems.append(str(error))

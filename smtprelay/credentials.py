"""The configured credentials: their passwords, and the way out that logs in with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smtprelay.config import Config, ConfigError, Credential
from smtprelay.upstream import Upstream


def read_passwords(config: Config) -> dict[str, str]:
    """The upstream passwords by credential, from files, systemd credentials or the environment.

    :raises ConfigError: with every one that cannot be read.
    """
    passwords, problems = {}, []
    for credential in config.upstream.credentials:
        try:
            passwords[credential.key] = _read_password(credential) if credential.username else ""
        except (OSError, KeyError, UnicodeDecodeError) as error:
            reason = f"${credential.password_env} is not set" if isinstance(error, KeyError) else str(error)
            problems.append(f"upstream.credentials {credential.key}: the password cannot be read: {reason}")
    if problems:
        raise ConfigError(problems)
    return passwords


def _read_password(credential: Credential) -> str:
    if credential.password_env:
        return os.environ[credential.password_env]
    path = credential.password_file
    if path is None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise OSError("$CREDENTIALS_DIRECTORY is not set: the unit needs LoadCredential=")
        path = Path(folder, credential.password_credential)
    return path.read_text(encoding="utf-8-sig").removesuffix("\n").removesuffix("\r")


def make_upstream(config: Config, passwords: Mapping[str, str], **memory: Any) -> Upstream:
    """The way out.

    :param memory: what was learnt of the smarthosts before, as `Upstream` takes it.
    :raises ConfigError: the file of certificates cannot be used.
    """
    try:
        return Upstream(config.upstream, hostname=config.gateway.hostname, passwords=passwords, **memory)
    except OSError as error:  # ssl.SSLError is one too
        raise ConfigError([f"upstream.tls_ca_file: {config.upstream.tls_ca_file} cannot be used: {error}"]) from error

"""The configured credentials: their passwords, and the ways out that log in with them."""

from __future__ import annotations

import os
from pathlib import Path

from smtprelay.config import Config, ConfigError, Credential
from smtprelay.upstream import Lane, lanes


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


def read_lanes(config: Config) -> dict[str, Lane]:
    """The way of each credential's mail, by its key.

    :raises ConfigError: a password cannot be read, or the file of certificates cannot be used.
    """
    passwords = read_passwords(config)
    try:
        return lanes(config.upstream, passwords)
    except OSError as error:  # ssl.SSLError is one too
        raise ConfigError([f"upstream.tls_ca_file: {config.upstream.tls_ca_file} cannot be used: {error}"]) from error

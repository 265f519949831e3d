"""The configured secrets: passwords of credentials, and the ways out that log in with them; of the
platform's accounts; secrets of webhooks."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from smtprelay.certificates import why_unusable
from smtprelay.config import Config, ConfigError, PlatformAccount, webhook_names
from smtprelay.upstream import Lane, lanes

MIN_WEBHOOK_KEY = 24  # octets


def read_passwords(config: Config) -> dict[str, str]:
    """The upstream passwords by credential, from files, systemd credentials or the environment; not those that nothing
    leaves with.

    :raises ConfigError: with every one that cannot be read.
    """
    passwords, problems = {}, []
    for credential in config.upstream.log_ins:
        source = credential.password_file, credential.password_env, credential.password_credential
        try:
            passwords[credential.key] = _read_secret(*source) if credential.username else ""
        except ValueError as error:
            problems.append(f"upstream.credentials {credential.key}: the password cannot be read: {error}")
    if problems:
        raise ConfigError(problems)
    return passwords


def read_platform_passwords(config: Config) -> dict[str, str]:
    """The passwords of the platform's accounts by their key.

    :raises ConfigError: with every one that cannot be read.
    """
    passwords, problems = {}, []
    for account in config.platform.accounts:
        try:
            passwords[account.key] = read_platform_password(account)
        except ValueError as error:
            problems.append(f"platform.accounts {account.key}: the password cannot be read: {error}")
    if problems:
        raise ConfigError(problems)
    return passwords


def read_platform_password(account: PlatformAccount) -> str:
    """:raises ValueError: it cannot be read; the text says why."""
    return _read_secret(account.password_file, account.password_env, account.password_credential)


def read_webhook_keys(config: Config) -> dict[str, tuple[bytes, ...]]:
    """The keys of webhooks by URL: one for each line of their secret, so that a secret can be changed.

    :raises ConfigError: with every one that cannot be read or is no key.
    """
    keys, problems, names = {}, [], webhook_names(config.webhooks)
    for webhook in config.webhooks:
        try:
            secret = _read_secret(webhook.secret_file, webhook.secret_env, webhook.secret_credential)
            keys[webhook.url] = tuple(map(_webhook_key, secret.split()))
        except ValueError as error:
            problems.append(f"webhooks {names[webhook.url]}: the secret cannot be used: {error}")
    if problems:
        raise ConfigError(problems)
    return keys


def _webhook_key(secret: str) -> bytes:
    """Standard Webhooks 1.0.0, "Signature scheme": 24 random octets or more, in base64, behind ``whsec_``."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) < MIN_WEBHOOK_KEY:
        raise ValueError("make one with: (printf whsec_; openssl rand -base64 32)")
    return key


def _read_secret(path: Path | None, variable: str, credential: str) -> str:
    """What a file, the environment or a systemd credential holds.

    :raises ValueError: it cannot be read, or is empty; the text says why.
    """
    secret = _kept_secret(path, variable, credential)
    if not secret.strip():
        raise ValueError("it is empty")
    return secret


def _kept_secret(path: Path | None, variable: str, credential: str) -> str:
    if variable:
        if variable not in os.environ:
            raise ValueError(f"${variable} is not set")
        return os.environ[variable]
    if path is None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise ValueError("$CREDENTIALS_DIRECTORY is not set: the unit needs LoadCredential=")
        path = Path(folder, credential)
    return read_secret_file(path)


def read_secret_file(path: Path) -> str:
    """A secret from its file, without the newline at its end.

    :raises ValueError: it cannot be read; the text says why, and shows nothing of it.
    """
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:  # which shows an octet of it
        raise ValueError(f"{path} is not UTF-8") from None


def read_lanes(config: Config) -> dict[str, Lane]:
    """The way of each credential's mail, by its key.

    :raises ConfigError: a password cannot be read, or the file of certificates cannot be used.
    """
    passwords = read_passwords(config)
    try:
        return lanes(config.upstream, passwords)
    except OSError as error:  # ssl.SSLError is one too
        problem = f"upstream.tls_ca_file: {config.upstream.tls_ca_file} cannot be used: {why_unusable(error)}"
        raise ConfigError([problem]) from error

"""Which relay, and who logs in there."""

from __future__ import annotations

import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from smtprelay.cli.configuration import config_path, fail, fail_of_config, load_config
from smtprelay.cli.sending.rehearsal import Rehearsal
from smtprelay.cli.sendmail import DEFAULT_GATEWAY
from smtprelay.client.direct import Direct
from smtprelay.client.handover import Handover, Transport
from smtprelay.client.url import parse_url
from smtprelay.config import ConfigError

CONNECTIONS = 16  # enough for the relay to render, sign and commit side by side; it lets a client have 20
TIMEOUT = 60.0  # seconds that a relay has for each answer
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on
PASSWORD = "SMTPRELAY_PASSWORD"


class Way(StrEnum):
    """How messages go; the words say what has become of one then."""

    RELAY = "handed over"
    DIRECT = "sent"
    DRY_RUN = "can be sent"


def open_way(way: Way, relay: str, config: Path | None, user: str, password_file: Path | None) -> Transport:
    """What messages are given to."""
    try:
        match way:
            case Way.RELAY:
                url = relay_url(relay, config, user, password_file)
                return Handover(parse_url(url, connections=CONNECTIONS, timeout=TIMEOUT))
            case Way.DIRECT:
                return Direct.from_file(config_path(config))
            case Way.DRY_RUN:
                return Rehearsal.from_file(config_path(config))
    except ConfigError as error:
        fail_of_config(error)


def relay_url(relay: str, config: Path | None, user: str, password_file: Path | None) -> str:
    """The URL of the relay, with the log-in in it.

    :param relay: as the user wrote it: a URL, ``HOST:PORT``, or ``""``: then the first address that the configuration
        listens on, where one is named; else $SMTPRELAY_GATEWAY.
    """
    if not relay:
        relay = _listens_on(config) if config else os.environ.get("SMTPRELAY_GATEWAY") or DEFAULT_GATEWAY
    url = urlsplit(relay if "://" in relay else f"smtp://{relay}")
    if url.password is not None:
        fail(os.EX_USAGE, f"A command line is not secret: give the password in ${PASSWORD} or with --password-file.")
    login = ""
    if user := user or unquote(url.username or ""):
        login = f"{quote(user, safe='')}:{quote(_password(password_file), safe='')}@"
    return url._replace(netloc=f"{login}{url.netloc.rpartition('@')[2]}").geturl()


def _password(file: Path | None) -> str:
    from smtprelay.credentials import read_secret_file

    try:
        return read_secret_file(file) if file else os.environ[PASSWORD]
    except KeyError:
        fail(os.EX_USAGE, f"--user needs a password: set ${PASSWORD}, or give --password-file.")
    except ValueError as error:
        fail(os.EX_NOINPUT, f"The password cannot be read: {error}.")


def _listens_on(path: Path) -> str:
    """An address that can be connected to: where all are listened on, that of this machine."""
    listen = next((listen for listen in load_config(path).gateway.listen if listen.port), None)
    if listen is None:
        fail(os.EX_USAGE, f"{path} does not tell a port that the relay listens on: give --relay smtp://HOST:PORT.")
    return str(replace(listen, host=_HERE.get(listen.host, listen.host)))

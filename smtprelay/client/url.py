"""Where the relay is: ``smtp://user:password@host:port`` → the settings of an `Upstream`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import ValidationError

from smtprelay import config
from smtprelay.config import ConfigError, problems

LANE = "relay"  # the name of the one credential

# Scheme → TLS and port (RFC 8314 §3.3 for the implicit one).
_SCHEMES = {"smtp": ("opportunistic", 25), "smtps": ("implicit", 465), "smtp+starttls": ("starttls", 587)}
_FORM = "it is not smtp://[USER:PASSWORD@]HOST:PORT; in a password, @ : / ? # are written %40 %3A %2F %3F %23"
_OPTIONS = {"tls", "tls_ca_file"}


@dataclass(frozen=True, slots=True)
class Target:
    """A relay, as an `Upstream` takes it.

    :param place: ``host:port``, for people.
    """

    settings: config.Upstream
    password: str = field(repr=False)
    place: str


def parse_url(url: str, *, connections: int, timeout: float) -> Target:
    """
    >>> parse_url("smtp://127.0.0.1:2525", connections=4, timeout=60).place
    '127.0.0.1:2525'

    :param connections: at one time, at most.
    :param timeout: seconds that the relay has for each answer.
    :raises ConfigError: the URL is none of a relay.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose text is of the URL, as is the password
        raise _bad(_FORM) from None
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise _bad(_FORM)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.keys() - _OPTIONS:
        raise _bad(f"after the ? come {' and '.join(sorted(_OPTIONS))} only")
    tls, usual_port = _SCHEMES[parts.scheme]
    port = port or usual_port
    credential = {"name": LANE}
    if parts.username:
        credential |= {"username": unquote(parts.username), "password_credential": "in the URL"}
    values = {
        "host": parts.hostname,
        "port": port,
        "tls": tls,
        "connections": connections,
        "timeouts": dict.fromkeys(config.Timeouts.model_fields, f"{round(timeout * 1000)}ms"),
        "credentials": [credential],
        **options,
    }
    try:
        settings = config.Upstream.model_validate(values, context={"base": Path.cwd()})
    except ValidationError as error:
        raise _bad("; ".join(problems(error))) from None
    return Target(settings, unquote(parts.password or ""), f"{parts.hostname}:{port}")


def _bad(problem: str) -> ConfigError:
    return ConfigError([f"the relay's URL: {problem}"])

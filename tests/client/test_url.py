"""Where the relay is."""

from __future__ import annotations

import pytest

from smtprelay import AsyncRelay, ConfigError, InvalidMessage, Relay
from smtprelay.client.url import parse_url


@pytest.mark.parametrize(
    ("url", "place", "tls"),
    [
        ("smtp://127.0.0.1:2525", "127.0.0.1:2525", "opportunistic"),
        ("smtp://[::1]:2525/", "::1:2525", "opportunistic"),
        ("smtp://relay.example.com", "relay.example.com:25", "opportunistic"),
        ("smtps://relay.example.com", "relay.example.com:465", "implicit"),
        ("smtp+starttls://relay.example.com", "relay.example.com:587", "starttls"),
        ("smtp://relay.example.com?tls=none", "relay.example.com:25", "none"),
    ],
)
def test_forms(url: str, place: str, tls: str) -> None:
    target = parse_url(url, connections=3, timeout=1.5)
    assert (target.place, target.settings.tls) == (place, tls)
    assert target.settings.connections == 3
    assert target.settings.timeouts.dot == 1500


def test_a_password_with_signs_in_it() -> None:
    target = parse_url("smtp://app%40example.com:a%2Fb%3A%23@relay.example.com", connections=1, timeout=1)
    assert target.settings.credentials[0].username == "app@example.com"
    assert target.password == "a/b:#"
    assert "a/b" not in repr(target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:2525",
        "http://127.0.0.1",
        "smtp://",
        "smtp://127.0.0.1:port",
        "smtp://127.0.0.1:99999",
        "smtp://app:secret/secret@127.0.0.1",
        "smtp://app:secret#secret@127.0.0.1",
        "smtp://app:secret?secret@127.0.0.1",
        "smtp://127.0.0.1?tls=perhaps",
        "smtp://127.0.0.1?ssl=1",
        "smtp://127.0.0.1?tls_ca_file=/nowhere/ca.pem&tls=starttls",
    ],
)
@pytest.mark.parametrize("kind", [Relay, AsyncRelay])
def test_what_is_none(url: str, kind: type[Relay | AsyncRelay]) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("connections", [0, 1001])
def test_so_many_connections_are_none(connections: int) -> None:
    with pytest.raises(ConfigError, match="connections"):
        Relay("smtp://127.0.0.1", connections=connections)


def test_an_author_that_is_none() -> None:
    with pytest.raises(InvalidMessage, match="from_"):
        Relay("smtp://127.0.0.1", from_="shop")

"""What the tests of `smtprelay.client` share: a stand-in for the relay, and relays that send to it."""

from __future__ import annotations

from smtprelay import AsyncRelay
from smtprelay.sandbox.smarthost import Rule, Smarthost

SHOP = "shop@example.com"
ID = "0123456789abcdef"
QUEUED = Rule("ACCEPTED", f"250 2.0.0 Ok: queued as {ID}")


def url(host: Smarthost | int, user: str = "", query: str = "") -> str:
    port = host if isinstance(host, int) else host.port
    return f"smtp://{user and user + '@'}127.0.0.1:{port}{query}"


def relay_to(host: Smarthost | int, *, connections: int = 4, timeout: float = 5.0) -> AsyncRelay:
    return AsyncRelay(url(host), from_=SHOP, connections=connections, timeout=timeout)

"""What the tests of `smtprelay.upstream` share: an upstream for the sandbox smarthost, and messages to send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from smtprelay import config
from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.outcome import Fact
from smtprelay.sandbox.smarthost import Smarthost
from smtprelay.upstream import Progress, Report, Upstream, lanes

USER, PASSWORD = "news@example.com", "corréct horse"
ACCOUNT = {USER: PASSWORD}
CONTENT = b"Subject: hello\r\n\r\nA line\r\n.\r\n..two dots\r\n"
TWO = ("ann@example.net", "bob@example.net")
THREE = (*TWO, "cy@example.net")
SHORT = "100ms"
Body = Callable[[], AsyncIterator[bytes]]


def streamed(*chunks: bytes) -> Body:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return body


LINE = b"x" * 76 + b"\r\n"
LONG = streamed(*[LINE * 1000] * 30)  # more than fits between two sockets
_CONTENT = streamed(CONTENT)


def verbs(host: Smarthost) -> list[str]:
    """What the smarthost was told, AUTH left out."""
    return [command.split()[0] for command in host.commands]


def code(fact: Fact) -> int:
    assert fact.reply is not None, fact
    return fact.reply.code


def message(*recipients: str | Recipient, size: int = len(CONTENT), **envelope: Any) -> Message:
    values = {"reverse_path": "app@example.com"} | envelope
    to = tuple(Recipient(r) if isinstance(r, str) else r for r in recipients or ("dan@example.net",))
    return Message(
        id="0123456789abcdef",
        envelope=Envelope(recipients=to, **values),
        origin=Origin("local"),
        content=b"",
        size=size,
        received_at=0,
        due_at=0,
        credential=USER,
    )


def settings(port: int, **changes: Any) -> config.Upstream:
    timeouts = dict.fromkeys(("connect", "greeting", "command", "data", "block", "dot"), "5s")
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "credentials": [{"username": USER, "password_env": "PASSWORD"}],
    } | changes
    values["timeouts"] = timeouts | changes.get("timeouts", {})
    return config.Upstream.model_validate(values, context={"base": Path("/")})


class Relay:
    """An `Upstream` with the words of the tests."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    async def report(
        self, mail: Message | None = None, body: Body = _CONTENT, progress: Progress | None = None
    ) -> Report:
        mail = mail or message()
        return await self.upstream.send(mail.credential, mail, mail.envelope.recipients, body, progress)

    async def send(self, *recipients: str) -> tuple[Fact, ...]:
        return (await self.report(message(*recipients))).facts

    async def send_one(self) -> Fact:
        [fact] = await self.send()
        return fact

    async def probe(self) -> Fact:
        return await self.upstream.probe(USER)


@asynccontextmanager
async def relay_to(
    smarthost: Smarthost | int, *, passwords: Mapping[str, str] | None = None, **changes: Any
) -> AsyncIterator[Relay]:
    """A relay to a smarthost, or to a port.

    :param changes: to `[upstream]`; ``tls_seen`` and ``on_tls`` go to `Upstream`.
    """
    memory = {name: changes.pop(name) for name in ("tls_seen", "on_tls") if name in changes}
    port = smarthost.port if isinstance(smarthost, Smarthost) else smarthost
    chosen = settings(port, **changes)
    ways = lanes(chosen, passwords or ACCOUNT)
    upstream = Upstream(chosen, hostname="relay.example.com", lanes=ways, **memory)
    try:
        yield Relay(upstream)
    finally:
        await upstream.close()

"""A daemon that is told to reload, and its apps."""

from __future__ import annotations

import asyncio
import base64
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme

from smtprelay.instructions import read_queued
from tests.gateway.wire import PASSWORD, Client
from tests.process.relay import ACCOUNT, PATIENCE, Relay

REFUSED = "the new configuration is refused, and the old one stays"
MESSAGE = f"From: {ACCOUNT}\r\nTo: b@example.org\r\nSubject: x\r\n\r\nx\r\n."


class Manager:
    """The service manager's ear (sd_notify(3))."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.setblocking(False)

    async def hears(self, beginning: str) -> str:
        """The next thing that it is told that begins like this."""
        async with asyncio.timeout(PATIENCE):
            while True:
                told = (await asyncio.get_running_loop().sock_recv(self._sock, 4096)).decode()
                if told.startswith(beginning):
                    return told

    def close(self) -> None:
        self._sock.close()


def edit(relay: Relay, *changes: tuple[str, str]) -> None:
    """Each of these texts in the configuration becomes another one."""
    file = relay.folder / "config.toml"
    text = file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    file.write_text(text)


async def reload(relay: Relay, *changes: tuple[str, str]) -> None:
    """Another configuration, which is taken."""
    edit(relay, *changes)
    seen = len(relay.log)
    relay.signal(signal.SIGHUP)
    await relay.logged("reloaded", start=seen)


async def refused(relay: Relay, *changes: tuple[str, str]) -> str:
    """Another configuration, which is not taken. :returns: why."""
    edit(relay, *changes)
    seen = len(relay.log)
    relay.signal(signal.SIGHUP)
    line = await relay.logged(REFUSED, start=seen)
    return str(line["problem"])


@asynccontextmanager
async def client(port: int, **options: Any) -> AsyncIterator[Client]:
    """A client that has been greeted and has said EHLO."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    connected = Client(reader, writer)
    try:
        await connected.hear("220 ")
        await connected.ask("EHLO app.test", "250")
        yield connected
    finally:
        await connected.close()


def auth(account: str) -> str:
    return f"AUTH PLAIN {base64.b64encode(f'{chr(0)}{account}{chr(0)}{PASSWORD}'.encode()).decode()}"


async def logged_in(app: Client, account: str = ACCOUNT) -> None:
    await app.ask(auth(account), "235 ")


async def sent(app: Client, content: str = MESSAGE, recipient: str = "b@example.org") -> str:
    """:returns: the id."""
    await app.ask(f"MAIL FROM:<{ACCOUNT}>", "250 ")
    await app.ask(f"RCPT TO:<{recipient}>", "250 ")
    await app.ask("DATA", "354 ")
    message_id, _ = read_queued(await app.ask(content, "250 "))
    assert message_id
    return message_id


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A certificate and its key, as NAME.pem and NAME.key. :returns: who trusts it, and no other one."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / f"{name}.pem").write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return trusting


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])

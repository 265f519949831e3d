"""STARTTLS and AUTH with real servers: what is encrypted, and what waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from smtprelay.sandbox.apps import Endpoint, plain_mail
from tests.peers import smarthosts
from tests.peers.smarthosts import WITH_LOGIN, Smarthost, arrival, maildir
from tests.process.relay import ACCOUNT, Relay, make_relay

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

OPPORTUNISTIC = 'tls = "opportunistic"'
VERIFIED = 'tls = "starttls"\ntls_ca_file = "ca.pem"'
BEFORE_TLS = b"EHLO relay.example.com\r\nSTARTTLS\r\n"


@dataclass
class Wire:
    """It lies between the relay and a server, and listens.

    :ivar heard: from the relay, connection by connection.
    """

    server: Smarthost
    authority: trustme.CA
    port: int = 0
    heard: list[bytearray] = field(default_factory=list)

    @asynccontextmanager
    async def relay(self, folder: Path, upstream: str, *, password: str = smarthosts.PASSWORD) -> AsyncIterator[Relay]:
        """The daemon at its other end."""
        self.heard.clear()
        relay = make_relay(folder, self.port, upstream=upstream, schedule="1h", timeout="30s")
        (folder / "platform.password").write_text(password)
        await relay.start()
        try:
            yield relay
        finally:
            await relay.stop()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self.heard.append(heard)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.server.port)
        await asyncio.gather(_copy(reader, to_server, heard), _copy(from_server, writer, bytearray()))

    def assert_encrypted(self) -> None:
        """All that was said in plaintext is the wish for TLS."""
        assert self.heard
        for heard in self.heard:
            assert heard.startswith(BEFORE_TLS)
            records = heard[len(BEFORE_TLS) :]
            assert records
            while records:  # RFC 8446 §5.1: type (20 to 23), version 3.n, length
                assert 20 <= records[0] <= 23
                assert records[1] == 3
                del records[: 5 + int.from_bytes(records[3:5])]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray) -> None:
    with suppress(ConnectionError):
        while octets := await reader.read(65536):
            heard += octets
            writer.write(octets)
            await writer.drain()
    writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=WITH_LOGIN)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    authority = trustme.CA()
    async with smarthosts.START[request.param](authority.issue_cert("127.0.0.1")) as server:
        wire = Wire(server, authority)
        listener = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
        wire.port = listener.sockets[0].getsockname()[1]
        async with listener:
            yield wire


async def send(relay: Relay, recipient: str) -> None:
    await asyncio.to_thread(plain_mail, Endpoint("127.0.0.1", relay.port), recipient, ACCOUNT)


@pytest.mark.parametrize("upstream", [OPPORTUNISTIC, VERIFIED], ids=["opportunistic", "starttls"])
async def test_all_is_encrypted(wire: Wire, tmp_path: Path, upstream: str) -> None:
    """Opportunistic TLS takes the certificate though nobody vouches for it."""
    wire.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    recipient = f"{tmp_path.name}@example.org"
    async with wire.relay(tmp_path, upstream) as relay:
        await send(relay, recipient)
        await arrival(wire.server, recipient)
    wire.assert_encrypted()


async def test_without_trust_mail_waits_and_nothing_is_said_in_plaintext(wire: Wire, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    async with wire.relay(tmp_path, VERIFIED) as relay:
        await send(relay, "untrusted@example.org")
        attempt = await relay.logged("attempt")
        await relay.settled(queued=1)
        why = await relay.run("queue", "why", attempt["id"])
    assert "waiting after 1 attempt" in why
    assert "deferred at starttls" in why
    assert "unable to get local issuer certificate" in why
    assert "check [upstream] tls and tls_ca_file" in why
    wire.assert_encrypted()
    assert not [delivered for delivered in maildir(wire.server) if "untrusted@example.org" in delivered.recipients]


async def test_with_a_wrong_password_mail_waits(wire: Wire, tmp_path: Path) -> None:
    async with wire.relay(tmp_path, OPPORTUNISTIC, password="wrong") as relay:
        await send(relay, "wrong@example.org")
        await relay.logged("the smarthost refuses this credential; its mail waits. Check username and password")
        await relay.settled(queued=1)
        why = await relay.run("queue", "why", (await relay.logged("accepted"))["id"])
    assert "CREDENTIAL PAUSED" in why
    assert " 535 " in why
    wire.assert_encrypted()

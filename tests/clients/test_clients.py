"""Each client through the daemon to a smarthost: every kind of mail that it builds, and what it does by itself."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from smtprelay.cli.configuration import load_config
from smtprelay.cli.remote import connect
from smtprelay.sandbox.smarthost import Received
from tests.clients.mails import MAILS, Posting
from tests.clients.running import Gateway, environment, link_programs, marks, run, settings
from tests.clients.table import CLIENTS, FAILS, FOLDER, Client
from tests.clients.tap import Tap
from tests.debian import needs, present
from tests.process.relay import Relay, running

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

JAVA_MAIL = "/usr/share/java/javax.mail.jar"

# What `queue show` says of a repair → what docs/clients.md calls it.
MENDED = {
    "added Date": "Date",
    "added Message-ID": "Message-ID",
    "added MIME-Version": "MIME-Version",
    "removed Bcc": "Bcc",
    "From: held no address": "From",
    "text encoded (RFC 2": "raw header",
    "8-bit text encoded as ": "8-bit body",
    "Content-Transfer-Encoding set to 7bit": "8-bit body",
    "charset utf-8 declared": "charset",
    "line ends made": "line ends",
}


@dataclass(frozen=True)
class World:
    """What all clients find: gateways that offer more or less, a CA's certificate, and compiled Java."""

    neither: Gateway
    auth: Gateway
    starttls: Gateway
    ca: Path
    classes: Path
    programs: Path

    def environment(self, home: Path) -> dict[str, str]:
        classes = f"{self.classes}:{JAVA_MAIL}:/usr/share/java/javax.activation.jar"
        return {**environment(home, self.programs), "CLASSPATH": classes}

    def trust(self) -> dict[str, str]:
        """What makes OpenSSL, Node.js and Java trust the CA."""
        java = f"-Djavax.net.ssl.trustStore={self.classes}/ca"
        return {"SSL_CERT_FILE": str(self.ca), "NODE_EXTRA_CA_CERTS": str(self.ca), "JAVA_TOOL_OPTIONS": java}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("world")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    tls = f'tls_certificate = "{folder}/server.pem"\ntls_key = "{folder}/server.pem"'
    link_programs(folder)
    async with AsyncExitStack() as stack:

        async def gateway(name: str, **parts: str) -> Gateway:
            (folder / name).mkdir()
            return Gateway(*await stack.enter_async_context(running(folder / name, **parts)))

        yield World(
            neither=await gateway("neither", accounts=""),
            auth=await gateway("auth"),
            starttls=await gateway("starttls", gateway=tls),
            ca=folder / "ca.pem",
            classes=_java(folder),
            programs=folder,
        )


def _java(folder: Path) -> Path:
    """JavaMail's class, and the CA as Java wants it; nothing where Java is missing, as its tests then say."""
    classes = folder / "classes"
    classes.mkdir()
    if present("javac") and present(JAVA_MAIL):
        javac = f"javac -cp {JAVA_MAIL} -d {classes} {FOLDER}/JavaMail.java"
        keytool = f"keytool -importcert -noprompt -alias ca -file {folder}/ca.pem -storetype jks -keystore {classes}/ca"
        for command in (javac, f"{keytool} -storepass public"):
            subprocess.run(command.split(), check=True, capture_output=True)
    return classes


@needs("libopendkim.so.11")
@pytest.mark.parametrize("client", [pytest.param(client, marks=marks(client), id=client.name) for client in CLIENTS])
async def test_all_its_mails_arrive_whole_and_signed(world: World, client: Client, tmp_path: Path) -> None:
    """What is mended in them, taken together, is neither less nor more than the page says."""
    repairs: set[str] = set()
    for kind in client.sends:
        posting = Posting.of(MAILS[kind], "whole-" + _slug(client, kind))
        environment = world.environment(tmp_path) | settings(world.auth.relay.port) | posting.environment(tmp_path)
        status, output = await run(client, environment)
        assert status == 0, (kind, output)
        received = await world.auth.arrived(posting.to[0])
        posting.check(received, world.auth.relay.records)
        repairs |= await mended(world.auth.relay, received)
    assert repairs == set(client.mended)


@pytest.mark.parametrize(
    ("client", "offer"),
    [
        pytest.param(client, offer, marks=marks(client), id=f"{client.name}-{offer}")
        for client in CLIENTS
        for offer in client.by_itself()
    ],
)
async def test_what_it_does_by_itself(world: World, client: Client, offer: str, tmp_path: Path) -> None:
    gateway: Gateway = getattr(world, {"unknown_ca": "starttls", "in_vain": "neither"}.get(offer, offer))
    posting = Posting.of(MAILS[client.sends[0]], f"{offer}-{_slug(client)}")
    async with Tap(gateway.relay.port) as tap:
        environment = (
            world.environment(tmp_path) | settings(tap.port, user=offer != "neither") | posting.environment(tmp_path)
        )
        status, output = await run(client, environment | (world.trust() if offer == "starttls" else {}))
        expected = client.by_itself()[offer]
        if expected == FAILS:
            assert status != 0, output
            assert not tap.said("MAIL")
            return
        assert status == 0, output
        received = await gateway.arrived(posting.to[0])
    mechanisms = [argument.split()[0] for argument in tap.said("AUTH")]
    assert " ".join([protocol(received), *mechanisms]) == expected


@pytest.mark.parametrize("known", [True, False], ids=["known CA", "unknown CA"])
@pytest.mark.parametrize(
    "client",
    [pytest.param(client, marks=marks(client), id=client.name) for client in CLIENTS if client.can_starttls],
)
async def test_it_insists_on_starttls_where_it_is_told_to(
    world: World, client: Client, known: bool, tmp_path: Path
) -> None:
    posting = Posting.of(MAILS["plain"], f"insists-{_slug(client)}-{known}")
    port = world.starttls.relay.port
    environment = world.environment(tmp_path) | settings(port, starttls=True) | posting.environment(tmp_path)
    status, output = await run(client, environment | (world.trust() if known else {}))
    assert (status == 0) == (known or not client.verifies), output
    if status == 0:
        assert protocol(await world.starttls.arrived(posting.to[0])) == "ESMTPSA"


@pytest.mark.parametrize(
    "client",
    [pytest.param(client, marks=marks(client), id=client.name) for client in CLIENTS if client.can_starttls],
)
async def test_where_starttls_is_not_offered_it_sends_nothing_in_plaintext(
    world: World, client: Client, tmp_path: Path
) -> None:
    posting = Posting.of(MAILS["plain"], f"in-vain-{_slug(client)}")
    async with Tap(world.auth.relay.port) as tap:
        environment = world.environment(tmp_path) | settings(tap.port, starttls=True) | posting.environment(tmp_path)
        status, output = await run(client, environment | world.trust())
    assert status != 0, output
    assert tap.said("EHLO")
    assert not tap.said("AUTH")
    assert not tap.said("MAIL")


def protocol(received: Received) -> str:
    """By which the gateway got it (RFC 3848)."""
    return received.content.partition(b" with ")[2].split()[0].decode()


async def mended(relay: Relay, received: Received) -> set[str]:
    """What the relay says that it repaired."""
    file = relay.folder / "config.toml"
    hostname = load_config(file).gateway.hostname
    [message_id] = re.findall(rf"by {hostname} with \w+ id (\w+)", received.content.decode("ascii"))
    repairs = (await asyncio.to_thread(connect(file).show, message_id))["repairs"]
    return {next(word for part, word in MENDED.items() if part in repair) for repair in repairs}


def _slug(*words: Client | str) -> str:
    text = "-".join(word.name if isinstance(word, Client) else word for word in words)
    return "".join(c if c.isalnum() else "-" for c in text).strip("-").lower()

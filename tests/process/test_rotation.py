"""A key is replaced while mail flows. What arrives is verified as it arrives, against what DNS says at that moment."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import smtplib
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from smtprelay.sandbox.nameserver import NameServer
from smtprelay.sandbox.session import Received
from smtprelay.sandbox.smarthost import Rule, Smarthost
from smtprelay.signing import generate_key, load_key
from tests.process.relay import ACCOUNT, DOMAIN, PATIENCE, PLATFORM, Relay, make_relay
from tests.process.test_outcomes import send
from tests.verifiers import dkimpy_verify

pytestmark = pytest.mark.slow

CLIENTS = 16  # sessions at a time: enough that messages are prepared in the process of their own
NEW = f"relay1._domainkey.{DOMAIN}"
OLD = f"relay0._domainkey.{DOMAIN}"

# The daemon, looking often.
HASTY = """
import smtprelay.keyring as keyring
keyring.LOOK_EVERY, keyring.LOOK_AGAIN = 0.2, 0.1
{fault}
from smtprelay.__main__ import main
main()
"""
KILLED = """
import os, signal
from smtprelay import {module}
{module}.{function} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


class World:
    """DNS, and a smarthost that verifies each message as it arrives.

    :ivar records: what DNS has of keys.
    :ivar arrived: selector → messages that it has signed.
    :ivar broken: messages with a signature that did not verify.
    """

    def __init__(self, dns: NameServer) -> None:
        self.dns = dns
        self.smarthost = _Verifying(self)
        self.records: dict[str, str] = {}
        self.arrived: dict[str, int] = {}
        self.broken: list[bytes] = []
        self._arrival = asyncio.Event()

    def publish(self, name: str, value: str) -> None:
        self.records[name] = value
        strings = " ".join(f'"{value[at : at + 255]}"' for at in range(0, len(value), 255))
        self.dns.publish(f"{name}. IN TXT ( {strings} )")

    def withdraw(self, name: str) -> None:
        del self.records[name]
        self.dns.withdraw(f"{name}.", "TXT")

    def receive(self, content: bytes) -> None:
        verdicts = dkimpy_verify(content, self.records)
        if not verdicts or not all(verdicts):
            self.broken.append(content)
        for selector in re.findall(rb"[ ;]s=([^;]+);", content.partition(b"\r\nFrom:")[0]):
            self.arrived[selector.decode()] = self.arrived.get(selector.decode(), 0) + 1
        self._arrival.set()

    async def more(self, selector: str, count: int = 1) -> None:
        """Wait until so many more messages arrived that this key has signed."""
        enough = self.arrived.get(selector, 0) + count
        async with asyncio.timeout(PATIENCE):
            while self.arrived.get(selector, 0) < enough:
                self._arrival.clear()
                await self._arrival.wait()

    async def looks(self, count: int, name: str = NEW) -> None:
        """Wait until DNS was asked so many more times for a record."""
        enough = self._asked(name) + count
        async with asyncio.timeout(PATIENCE):
            while self._asked(name) < enough:
                await self.dns.wait_for(len(self.dns.questions) + 1, PATIENCE)

    def _asked(self, name: str) -> int:
        return sum(question.name == name for question in self.dns.questions)


class _Verifying(Smarthost):
    def __init__(self, world: World) -> None:
        super().__init__(credentials=PLATFORM)
        self._world = world

    def keep(self, received: Received) -> None:
        super().keep(received)
        self._world.receive(received.content)


@asynccontextmanager
async def rotating(folder: Path, *, overlap: str = "7d") -> AsyncIterator[tuple[Relay, World]]:
    """The daemon with one key, relay0, whose record is published."""
    async with NameServer() as dns:
        world = World(dns)
        async with world.smarthost as smarthost:
            relay = make_relay(
                folder,
                smarthost.port,
                domain_rules=f'on_failure = "off"\nnameservers = ["{dns.address}"]',
                more=f'[signing]\nrotation_overlap = "{overlap}"',
                gateway="max_connections_per_client = 100",
            )
            for name, value in relay.records.items():
                world.publish(name, value)
            hasten(relay)
            await relay.start()
            try:
                yield relay, world
            finally:
                await relay.stop()


def hasten(relay: Relay, fault: str = "") -> None:
    relay.entry = [sys.executable, "-c", HASTY.format(fault=fault)]


async def rotate(relay: Relay) -> dict[str, Any]:
    rotation: dict[str, Any] = await relay.json("dkim", "rotate", DOMAIN)
    return rotation


async def states(relay: Relay) -> dict[str, tuple[str, str]]:
    return {key["selector"]: (key["state"], key["dns"]) for key in await relay.json("dkim", "status")}


async def activated(relay: Relay, world: World) -> None:
    """A new key that signs."""
    rotation = await rotate(relay)
    world.publish(rotation["name"], rotation["value"])
    await relay.logged("key active", selector="relay1", replaces=["relay0"])


class Load:
    """Clients that send all the time. Each message is taken.

    :ivar taken: so far.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._stopped = False
        self.taken = 0

    async def __aenter__(self) -> Load:
        self._executor = ThreadPoolExecutor(CLIENTS)
        loop = asyncio.get_running_loop()
        self._clients = [loop.run_in_executor(self._executor, self._send) for _ in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        self.taken = sum(await asyncio.gather(*self._clients))
        self._executor.shutdown()

    def _send(self) -> int:
        taken = 0
        with smtplib.SMTP("127.0.0.1", self._relay.port, timeout=PATIENCE) as smtp:
            while not self._stopped:
                smtp.sendmail(ACCOUNT, ["b@example.org"], f"From: {ACCOUNT}\nSubject: {taken}\n\nHello\n")
                taken += 1
        return taken


async def test_not_one_message_leaves_with_a_signature_that_does_not_verify(tmp_path: Path) -> None:
    """Under load, also while the second process prepares messages: the record appears late, and at first a wrong one;
    the old one is withdrawn as soon as the log says that it can go."""
    async with rotating(tmp_path, overlap="1s") as (relay, world):
        async with Load(relay) as load:
            await relay.logged("busy: messages are prepared in a process of their own")
            rotation = await rotate(relay)
            assert (rotation["name"], rotation["is_new"]) == (NEW, True)
            await world.looks(3)
            world.publish(NEW, load_key(generate_key("rsa"), DOMAIN, "x").record)
            await world.looks(3)
            await world.more("relay0", 20)
            assert "relay1" not in world.arrived
            world.withdraw(NEW)
            world.publish(NEW, rotation["value"])
            await world.more("relay1", 50)
            todo = await relay.logged("a key is not needed any more", selector="relay0", level="warning")
            assert OLD in todo["todo"]
            world.withdraw(OLD)
            await world.more("relay1", 50)
        await relay.settled(delivered=load.taken, queued=0, sending=0, held=0)
        assert sum(world.arrived.values()) == load.taken
        assert not world.broken
        assert (await relay.logged("operator", action="rotate"))["by"] == f"uid {os.getuid()}"
        assert not [line for line in relay.log if line.get("level") in ("error", "critical")]
        assert not [line for line in relay.log if line["event"] == "output"]
        assert await states(relay) == {"relay0": ("retired", "not published"), "relay1": ("active", "published")}


async def test_a_held_message_keeps_the_old_record_alive(tmp_path: Path) -> None:
    async with rotating(tmp_path, overlap="0s") as (relay, world):
        world.smarthost.rules.append(Rule("RCPT", "451 4.7.1 Later", match="later@"))
        held = await send(relay, "later@example.org")
        await relay.logged("attempt", id=held, status="deferred")
        assert await relay.json("queue", "hold", held) == {"recipients": 1}
        await activated(relay, world)
        await send(relay, "b@example.org")
        await world.smarthost.wait_for(1)
        await world.looks(3)
        (old,) = [key for key in await relay.json("dkim", "status") if key["selector"] == "relay0"]
        assert (old["state"], old["live"]) == ("retiring", 1)
        assert "that it has signed are in the spool: 1 now" in await relay.run("dkim", "status")
        world.smarthost.rules.clear()
        await relay.run("queue", "release", held)
        await relay.logged("a key is not needed any more", selector="relay0")
        assert world.arrived == {"relay0": 1, "relay1": 1}
        assert not world.broken


async def test_where_the_new_record_vanishes_the_old_key_signs_again(tmp_path: Path) -> None:
    async with rotating(tmp_path) as (relay, world):
        await activated(relay, world)
        await send(relay, "b@example.org")
        await world.smarthost.wait_for(1)
        world.withdraw(NEW)
        await relay.logged("the record of a key is gone: the key before it signs again until it is back")
        await send(relay, "b@example.org")
        await world.smarthost.wait_for(2)
        assert world.arrived == {"relay1": 1, "relay0": 1}
        assert not world.broken


@pytest.mark.parametrize(
    ("module", "function", "made"),
    [
        ("keyfiles", "os.fsync", False),  # the key's file is half there
        ("keyfiles", "os.link", False),
        ("keyfiles", "sync_folder", True),  # … is there
        ("keyring", "Keyring._note", True),
    ],
)
async def test_a_kill_while_a_key_is_made(tmp_path: Path, module: str, function: str, made: bool) -> None:
    async with rotating(tmp_path) as (relay, world):
        await relay.stop()
        hasten(relay, KILLED.format(module=module, function=function))
        await relay.start()
        hasten(relay)
        await relay.run("dkim", "rotate", DOMAIN, status=os.EX_TEMPFAIL)
        assert await relay.ended() == -signal.SIGKILL
        await relay.start()
        assert (await states(relay)).get("relay1") == (("pending", "not published") if made else None)
        rotation = await rotate(relay)
        assert (rotation["selector"], rotation["is_new"]) == ("relay1", not made)
        world.publish(NEW, rotation["value"])
        await relay.logged("key active", selector="relay1")
        await send(relay, "b@example.org")
        await world.smarthost.wait_for(1)
        assert world.arrived == {"relay1": 1}
        assert not world.broken


async def test_a_kill_before_and_after_the_new_key_signs(tmp_path: Path) -> None:
    async with rotating(tmp_path, overlap="1s") as (relay, world):
        rotation = await rotate(relay)
        await relay.stop(signal.SIGKILL)
        hasten(relay, KILLED.format(module="keyring", function="Keyring._note"))
        await relay.start()
        assert (await states(relay))["relay1"] == ("pending", "not published")
        world.publish(NEW, rotation["value"])
        assert await relay.ended() == -signal.SIGKILL  # when it would have signed
        hasten(relay)
        await relay.start()
        await relay.logged("key active", selector="relay1")
        await relay.stop(signal.SIGKILL)
        await relay.start()
        assert (await states(relay))["relay1"] == ("active", "published")
        await send(relay, "b@example.org")
        await world.smarthost.wait_for(1)
        assert world.arrived == {"relay1": 1}
        assert not world.broken
        await relay.logged("a key is not needed any more", selector="relay0")
        wanted = await relay.run("domain", "records", DOMAIN)
        assert NEW in wanted
        assert OLD not in wanted


async def test_without_a_daemon_the_keys_are_those_of_the_spool(tmp_path: Path) -> None:
    async with rotating(tmp_path) as (relay, world):
        await relay.stop()
        words = await relay.run("dkim", "rotate", DOMAIN, "--bits", "1024")
        assert words.startswith("Warning: the DKIM key of example.com, selector relay1, has 1024 bits")
        assert "1024 bits" in await relay.run("check", "--offline")
        rotation = await rotate(relay)
        assert not rotation["is_new"]
        assert await states(relay) == {"relay0": ("active", "published"), "relay1": ("pending", "not published")}
        shown = await relay.run("dkim", "status")
        assert f"{NEW}. IN TXT" in shown
        assert rotation["value"] in shown
        await relay.run("dkim", "rotate", "example.net", status=os.EX_USAGE)
        await relay.start()
        assert "already; no other one was made" in await relay.run("dkim", "rotate", DOMAIN)
        world.publish(NEW, rotation["value"])
        await relay.logged("key active", selector="relay1")
        await relay.stop()
        await relay.start()
        assert "1024 bits" in (await relay.logged("weak key"))["problem"]


def test_what_the_control_socket_is_asked_for_is_checked() -> None:
    from smtprelay.control import BadRequest
    from smtprelay.control_http import _wish

    good: Sequence[dict[str, Any]] = ({"domain": DOMAIN}, {"domain": DOMAIN, "kind": "ed25519", "bits": 2048})
    for words in good:
        assert _wish(words).domain == DOMAIN
    for words in ({"kind": "dsa"}, {"bits": "2048"}, {"domain": None}, {"nonsense": ""}, {"selector": 1}):
        with pytest.raises(BadRequest):
            _wish(words)

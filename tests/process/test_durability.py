"""A 250 means that the message is on the disk."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import smtplib
import sys
from collections import Counter
from pathlib import Path

import pytest

from smtprelay.sandbox.smarthost import Received, Rule, Smarthost
from tests.debian import needs
from tests.process.relay import ACCOUNT, PATIENCE, PLATFORM, Relay, make_relay

pytestmark = pytest.mark.slow

KILLS = 20
SESSIONS = 4
MARK = re.compile(rb"^X-Number: (\d+)", re.MULTILINE)


class Load:
    """Apps that send without end, and remember which messages got a 250.

    :ivar accepted: message number → the id that the 250 named.
    """

    def __init__(self, relay: Relay, chance: random.Random) -> None:
        self.accepted: dict[int, str] = {}
        self.sent = 0
        self._relay = relay
        self._chance = chance

    def session(self) -> None:
        """One connection, until the relay dies."""
        try:
            with smtplib.SMTP("127.0.0.1", self._relay.port, timeout=30) as smtp:
                smtp.ehlo()
                while True:
                    self._message(smtp)
        except (OSError, smtplib.SMTPException):
            pass

    def _message(self, smtp: smtplib.SMTP) -> None:
        self.sent += 1
        number = self.sent
        recipient = self._chance.choice(["good", "good", "good", "bounce", "later"]) + f"{number}@example.org"
        size = self._chance.choice([100, 5_000, 5_000, 300_000])
        content = f"From: {ACCOUNT}\r\nX-Number: {number}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72)
        smtp.mail(ACCOUNT)
        smtp.rcpt(recipient)
        code, reply = smtp.data(content.encode())
        if code == 250:
            self.accepted[number] = reply.decode().rpartition(" ")[2]


async def test_kill_9_under_load_loses_nothing_that_got_250(tmp_path: Path) -> None:
    """At 20 moments of accepting, committing, delivering and bouncing. Seeded."""
    chance = random.Random(20261123)
    rules = [
        Rule("RCPT", "550 5.1.1 No such user", match="bounce"),
        Rule("RCPT", "451 4.2.0 Later", match="later", times=30),
    ]
    async with Smarthost(*rules, credentials=PLATFORM) as smarthost:
        relay = make_relay(tmp_path, smarthost.port)
        load = Load(relay, chance)
        for _ in range(KILLS):
            await relay.start()
            sessions = [asyncio.create_task(asyncio.to_thread(load.session)) for _ in range(SESSIONS)]
            await asyncio.sleep(chance.uniform(0.02, 0.5))
            await relay.stop(signal.SIGKILL)
            await asyncio.gather(*sessions)
        await relay.start()
        try:
            await relay.settled(queued=0, sending=0)
            states = await _states(relay, load)
        finally:
            await relay.stop()
    assert len(load.accepted) > KILLS * 5, "too little load to mean anything"
    _balance(load, states, smarthost.messages)


async def _states(relay: Relay, load: Load) -> dict[str, str]:
    """Message id → the state of its recipient, from the books."""
    listed = await relay.json("queue", "list", "--limit", "10000")
    assert len(listed) < 10_000
    return {message["id"]: message["recipients"][0]["state"] for message in listed}


def _balance(load: Load, states: dict[str, str], arrived: list[Received]) -> None:
    numbers = Counter(int(match[1]) for received in arrived if (match := MARK.search(received.content)))
    missing = [number for number, message_id in load.accepted.items() if message_id not in states]
    assert not missing, f"got 250 and are unknown: {missing}"
    for number, message_id in load.accepted.items():
        assert states[message_id] in ("delivered", "bounced")
        assert numbers[number], f"{message_id} ({states[message_id]}) has left no trace at the smarthost"


SYNC = re.compile(r"^\d+ +f(?:data)?sync\(\d+<[^>]*-wal>")
END_READ = re.compile(r"^\d+ +(?:read|recvfrom|recvmsg)\(.*X-End: here\\r\\n\\r\\nlast line\\r\\n\.\\r\\n")
REPLY = re.compile(r"^\d+ +(?:write|sendto|sendmsg|writev)\(.*250 2\.0\.0 Ok: queued")

WEAKENED = """
import smtprelay.spool.sqlite.file as file
set_up = file._set_up
def weakened(connection, path):
    set_up(connection, path)
    connection.execute("PRAGMA synchronous = NORMAL")
file._set_up = weakened
from smtprelay.__main__ import main
main()
"""


async def _traced(trace: Path, relay: Relay) -> list[str]:
    """The whole trace: its writer ends a little after the daemon."""
    assert relay.process
    async with asyncio.timeout(PATIENCE):
        while f"{relay.process.pid} +++ exited" not in " ".join(trace.read_text(errors="replace").split()):
            await asyncio.sleep(0.1)
    return trace.read_text(errors="replace").splitlines()


@needs("strace")
@pytest.mark.parametrize("weakened", [False, True], ids=["as it is", "with synchronous=NORMAL"])
async def test_the_wal_is_synced_between_the_last_byte_and_the_250(tmp_path: Path, weakened: bool) -> None:
    """A kill keeps the page cache, a power cut does not. (Weakened, it shows that this test can fail.)"""
    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay = make_relay(tmp_path, smarthost.port)
        calls = "trace=read,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync"
        trace = tmp_path / "trace"
        relay.wrapper = ["strace", "-D", "-f", "-y", "-s", "4000", "-e", calls, "-o", str(trace)]
        if weakened:
            relay.entry = [sys.executable, "-c", WEAKENED]
        await relay.start()

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
                smtp.sendmail(ACCOUNT, ["b@example.org"], f"From: {ACCOUNT}\r\nX-End: here\r\n\r\nlast line\r\n")

        await asyncio.to_thread(send)
        await smarthost.wait_for(1)
        await relay.stop()
        lines = await _traced(trace, relay)
    read = next(i for i, line in enumerate(lines) if END_READ.match(line))
    replied = next(i for i, line in enumerate(lines) if i > read and REPLY.match(line))
    synced = [line for line in lines[read:replied] if SYNC.match(line)]
    assert bool(synced) is not weakened, lines[read:replied]

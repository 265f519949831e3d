"""Large messages do not keep small ones waiting."""

from __future__ import annotations

import asyncio
import smtplib
import threading
import time
from pathlib import Path

import pytest

from tests.process.relay import ACCOUNT, Relay, running

pytestmark = pytest.mark.slow

STALL = 0.05  # seconds that the event loop may be busy with one thing
TRIES = 12  # the machine may be busy with other tests too; one quiet try shows that the daemon is not at fault
TEXT = ("十一月的月度报表。 A line of a report, with some text on it.\r\n" * 330_000).encode()[:25_000_000]
BASE64 = b"QUJD" * 19 + b"\r\n"


class Pings:
    """Asks NOOP again and again over a connection of its own, and keeps the longest wait."""

    def __init__(self, port: int) -> None:
        self.longest = 0.0
        self._port = port
        self._stop = threading.Event()

    def run(self) -> None:
        with smtplib.SMTP("127.0.0.1", self._port) as smtp:
            while not self._stop.is_set():
                for _ in range(90):  # of 100 commands without a message that a session may have
                    began = time.perf_counter()
                    smtp.noop()
                    self.longest = max(self.longest, time.perf_counter() - began)
                    time.sleep(0.001)
                smtp.close()
                smtp.connect("127.0.0.1", self._port)

    def stop(self) -> None:
        self._stop.set()


def send(relay: Relay, content: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
        smtp.ehlo()
        smtp.mail(ACCOUNT)
        smtp.rcpt("b@example.org")
        smtp.putcmd("data")
        smtp.getreply()
        assert smtp.sock
        smtp.sock.sendall(content + b"\r\n.\r\n")
        code, reply = smtp.getreply()
        assert code == 250, reply


@pytest.mark.parametrize("kind", ["8-bit text", "base64"])
async def test_25_mb_do_not_stall_the_loop(tmp_path: Path, kind: str) -> None:
    """Receiving, repairing, signing, storing and sending it: each in slices, or in a thread that lets the GIL go."""
    header = f"From: {ACCOUNT}\r\nSubject: report\r\n".encode()
    body = TEXT if kind == "8-bit text" else BASE64 * (25_000_000 // len(BASE64))
    if kind == "base64":
        header += b"MIME-Version: 1.0\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n"
    content = header + b"\r\n" + body
    waits = []
    async with running(tmp_path, gateway='max_message_size = "40MiB"') as (relay, smarthost):
        for attempt in range(1, TRIES + 1):
            pings = Pings(relay.port)
            pinging = asyncio.create_task(asyncio.to_thread(pings.run))
            await asyncio.to_thread(send, relay, content)
            await smarthost.wait_for(attempt, 60)
            pings.stop()
            await pinging
            waits.append(pings.longest)
            if pings.longest < STALL:
                return
    raise AssertionError(f"the longest waits for NOOP: {waits}")

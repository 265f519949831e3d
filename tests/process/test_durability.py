"""A 250 means that the message is on the disk. (That it stays there through kills: tests/torture.)"""

from __future__ import annotations

import asyncio
import re
import smtplib
import sys
from pathlib import Path

import pytest

from smtprelay.sandbox.smarthost import Smarthost
from tests.debian import needs
from tests.process.relay import ACCOUNT, PATIENCE, PLATFORM, Relay, make_relay

pytestmark = pytest.mark.slow

SYNC = re.compile(r"^\d+ +f(?:data)?sync\(\d+<[^>]*-wal>")
# What another thread's call came between is told in two lines, and what was read stands in the second.
_READ = r"^\d+ +(?:<\.\.\. )?(?:read|recvfrom|recvmsg)(?:\(| resumed>).*"
END_READ = re.compile(_READ + r"X-End: here\\r\\n\\r\\nlast line\\r\\n\.\\r\\n")
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

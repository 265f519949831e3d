"""A spool in which many recipients wait, and how the daemon starts with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.load import SENDER
from benchmarks.peers import SinkProcess, name_server, smtprelay
from smtprelay.clock import now_ms
from smtprelay.message import Envelope, Message, Origin, Recipient, new_id
from smtprelay.spool.sqlite import SQLiteSpool

GROUP = 1000
CONTENT = b"Subject: waits\r\n\r\n" + b"One line of a message that waits.\r\n" * 10
SETTLES = 5.0  # seconds of delivering, until memory is looked at


async def start(sink: SinkProcess, count: int) -> tuple[float, float]:
    """With so many recipients due: the seconds from exec to ready, and the most MiB in memory (RSS) some seconds after,
    while they are being delivered."""
    with TemporaryDirectory(prefix="smtprelay-") as folder:
        await _fill(Path(folder) / "spool.db", count)
        async with name_server() as dns, smtprelay(sink.port, dns, Path(folder)) as (relay, seconds):
            await asyncio.sleep(SETTLES)
            return seconds, relay.peak()


async def _fill(path: Path, count: int) -> None:
    """One recipient and one millisecond a message: the most rows that so many can have."""
    now = now_ms()
    spool = await SQLiteSpool.open(path, now=now)
    try:
        for first in range(0, count, GROUP):
            await spool.put(
                [_message(number, now - count + number) for number in range(first, min(first + GROUP, count))]
            )
    finally:
        await spool.close()


def _message(number: int, at: int) -> Message:
    return Message(
        id=new_id(at),
        envelope=Envelope(SENDER, (Recipient(f"user{number}@example.org"),)),
        origin=Origin("127.0.0.1"),
        content=CONTENT,
        size=len(CONTENT),
        received_at=at,
        due_at=at,
        credential=SENDER,
        domain="example.com",
    )

"""Messages, results and files for the spool's tests."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from smtprelay.message import Envelope, Message, Origin, Recipient, new_id
from smtprelay.spool import Lease, MessageRecord, Query, Result, Spool, State
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.spool.sqlite.index_file import BEYOND

NOW = 1_800_000_000_000
HOUR = 3_600_000
TTL = 60_000
CREDENTIAL = "news"


def message(*to: str, content: bytes = b"Subject: Hello\r\n\r\nHello\r\n", now: int = NOW, **fields: Any) -> Message:
    """A message that is due at once."""
    recipients = tuple(Recipient(address) for address in to or ("bob@example.net",))
    values: dict[str, Any] = {
        "id": new_id(now),
        "envelope": Envelope("billing@example.com", recipients),
        "origin": Origin("192.0.2.7", "printer", "ESMTP"),
        "content": content,
        "size": len(content),
        "received_at": now,
        "due_at": now,
        "credential": CREDENTIAL,
    }
    return Message(**values | fields)


def as_handed_out(original: Message) -> Message:
    return replace(original, content=b"")


async def lease_all(spool: Spool, now: int = NOW, *, limit: int = 100, credential: str = CREDENTIAL) -> list[Lease]:
    return await spool.lease("test", now, TTL, limit, [credential], 100)


async def lease_one(spool: Spool, now: int = NOW) -> Lease:
    (lease,) = await lease_all(spool, now)
    return lease


def results(lease: Lease, state: State = State.DELIVERED, **fields: Any) -> list[Result]:
    return [Result(recipient.id, state, **fields) for recipient in lease.recipients]


async def states(spool: Spool, message_id: str) -> list[State]:
    record = await shown(spool, message_id)
    return [recipient.state for recipient in record.recipients]


async def shown(spool: Spool, message_id: str) -> MessageRecord:
    record = await spool.show(message_id)
    assert record is not None
    return record


async def read_body(spool: Spool, message_id: str) -> bytes:
    return b"".join([chunk async for chunk in spool.body(message_id)])


async def found(spool: Spool, query: Query) -> list[MessageRecord]:
    """All that is found, in as many steps as a slow machine takes."""
    records: list[MessageRecord] = []
    before = ""
    while True:
        some = await spool.find(query, 100, before)
        records += some.records
        if not (before := some.before):
            return records


@asynccontextmanager
async def opened(path: Path, now: int = NOW) -> AsyncIterator[SQLiteSpool]:
    spool = await SQLiteSpool.open(path, now=now)
    try:
        yield spool
    finally:
        await spool.close()


async def indexed(spool: SQLiteSpool) -> None:
    """Wait until everything that was put is in the index of words."""
    spool._indexer.begin(at_once=True)
    async with asyncio.timeout(30):
        while (covered := spool._indexer.covered()) is None or covered.floor or covered.ceiling != BEYOND:
            await asyncio.sleep(0.005)


def execute(path: Path, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """What a hand at the file would do, while the spool is closed or beside it."""
    with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def execute_without_types(path: Path, table: str, statement: str) -> None:
    """What damage does: values of any type, NULL too, in a table that does not take them."""
    with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
        [[strict]] = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
        loose = strict.replace(") STRICT,", ")").replace("NOT NULL", "")
        for columns, then in ((loose, statement), (strict, "SELECT 1")):
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (columns, table))
            connection.execute("PRAGMA writable_schema = RESET")
            connection.execute(then)

"""Messages and their bodies: in, out chunk by chunk, and away."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from smtprelay.message import Message
from smtprelay.spool.sqlite import rows
from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.values import BodyCorrupt, SpoolError

CHUNK = 256 * 1024

_READ_CHUNK = """
    SELECT size, chunks, crc, data, iif(ended_at, NOT EXISTS (
        SELECT 1 FROM recipients WHERE message = messages.id AND state = 'captured'
    ), 0) AS gone
    FROM messages LEFT JOIN chunks ON chunks.message = messages.id AND chunks.n = ?
    WHERE messages.id = ?
"""


def chunk_count(message: Message) -> int:
    return max(1, -(-len(message.content) // CHUNK))  # an empty body is one empty chunk


def is_large(message: Message) -> bool:
    """Whether its body is to be written ahead of it, chunk by chunk, so that it never delays a group."""
    return len(message.content) > CHUNK and not message.for_nobody


def insert(connection: sqlite3.Connection, messages: Sequence[Message]) -> list[str]:
    """Messages with their recipients and their bodies, but for large bodies: `insert_chunk_ahead` wrote those."""
    ids = []
    for message in messages:
        if first := _first_of_its_key(connection, message):
            ids.append(first)  # a large body written ahead stays loose, and is swept
            continue
        ids.append(message.id)
        ended = message.for_nobody
        row = rows.message_row(message, chunk_count(message), message.received_at if ended else 0)
        connection.execute(rows.INSERT_MESSAGE, row)
        connection.executemany(rows.INSERT_RECIPIENT, rows.recipient_rows(message))
        if suppressed := rows.attempt_rows(message):
            connection.executemany(rows.INSERT_ATTEMPT, suppressed)
        if ended:
            continue
        if is_large(message):
            _adopt_body(connection, message)
        else:
            _insert_chunk(connection, message, 0)
    return ids


def _first_of_its_key(connection: sqlite3.Connection, message: Message) -> str:
    """The id of the message that its sender has given the same idempotency key, or ``""``."""
    if not message.idempotency_key:
        return ""
    row = connection.execute(
        "SELECT id FROM messages WHERE sender = ? AND idempotency_key = ? AND idempotency_key <> ''",  # for the index
        (message.origin.key, message.idempotency_key),
    ).fetchone()
    return row["id"] if row else ""


def insert_chunk_ahead(connection: sqlite3.Connection, message: Message, n: int) -> None:
    """A chunk ahead of its message. Until `insert` the body is loose, so that what a crash leaves is swept."""
    if n == 0:
        if connection.execute("SELECT 1 FROM messages WHERE id = ?", (message.id,)).fetchone():
            raise SpoolError(f"Message {message.id} is in the spool already.")
        connection.execute("DELETE FROM chunks WHERE message = ?", (message.id,))  # of a try that failed
        connection.execute("INSERT OR IGNORE INTO loose_bodies VALUES (?)", (message.id,))
    _insert_chunk(connection, message, n)


def _adopt_body(connection: sqlite3.Connection, message: Message) -> None:
    there = connection.execute("SELECT count(*) FROM chunks WHERE message = ?", (message.id,)).fetchone()[0]
    if there != chunk_count(message):
        raise SpoolError(f"The body of {message.id} was not written as a whole; nothing was stored.")
    connection.execute("DELETE FROM loose_bodies WHERE message = ?", (message.id,))


def _insert_chunk(connection: sqlite3.Connection, message: Message, n: int) -> None:
    data = memoryview(message.content)[n * CHUNK : (n + 1) * CHUNK]
    connection.execute("INSERT INTO chunks VALUES (?, ?, ?, ?)", (message.id, n, zlib.crc32(data), data))


def end_where_done(connection: sqlite3.Connection, message_id: str, now: int) -> None:
    """Where all recipients have ended, so has the message: its body goes, but where one of them was captured."""
    ended = connection.execute(
        """
        UPDATE messages SET ended_at = :now WHERE id = :id AND ended_at = 0 AND NOT EXISTS (
            SELECT 1 FROM recipients WHERE message = :id AND state IN ('queued', 'sending', 'held')
        ) RETURNING chunks
        """,
        {"id": message_id, "now": now},
    ).fetchall()
    captured = "SELECT 1 FROM recipients WHERE message = ? AND state = 'captured' LIMIT 1"
    if not ended or connection.execute(captured, (message_id,)).fetchone():
        return
    if ended[0]["chunks"] > 1:  # swept later, in slices
        connection.execute("INSERT INTO loose_bodies VALUES (?)", (message_id,))
    else:
        connection.execute("DELETE FROM chunks WHERE message = ?", (message_id,))


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a body, with the counts of the whole."""

    data: bytes
    count: int
    size: int


def read_chunk(connection: sqlite3.Connection, message_id: str, n: int) -> Chunk:
    """:raises BodyCorrupt: it is missing or not what was written."""
    try:
        row = connection.execute(_READ_CHUNK, (n, message_id)).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        raise BodyCorrupt(f"The body of {message_id} cannot be read (SQLite says: {error}).") from error
    if row is None:
        raise SpoolError(f"There is no message {message_id} in the spool.")
    if row["gone"]:
        raise SpoolError(f"Message {message_id} has ended: its body is no longer kept.")
    if row["data"] is None:
        raise BodyCorrupt(f"Chunk {n + 1} of {row['chunks']} of the body of {message_id} is missing.")
    if zlib.crc32(row["data"]) != row["crc"]:
        raise BodyCorrupt(f"Chunk {n + 1} of {row['chunks']} of the body of {message_id} is not what was written.")
    return Chunk(row["data"], row["chunks"], row["size"])


def remember(connection: sqlite3.Connection, key: str, value: str | None) -> None:
    if value is None:
        connection.execute("DELETE FROM facts WHERE key = ?", (key,))
    else:
        connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))

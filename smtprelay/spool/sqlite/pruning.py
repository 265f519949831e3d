"""What goes: history that is old, bodies that nobody needs, pages that are empty. All in slices of some 20 ms."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection

from smtprelay.spool.sqlite.damage import of_message

_SLICE = 0.02  # seconds
_CHUNKS_AT_ONCE = 4  # 1 MiB
_PAGES_AT_ONCE = 64
_PAGES_KEPT = 4096  # 16 MB: what the next messages would only ask for again

# Of a message that was captured: others have none by now.
_LOOSEN_BODY = """
    INSERT OR IGNORE INTO loose_bodies SELECT :id WHERE EXISTS (SELECT 1 FROM chunks WHERE message = :id)
"""


def drop_messages(connection: sqlite3.Connection, before: int, but: Collection[str]) -> int:
    """Messages that ended before then, with all that belongs to them; the oldest ends first. Returns how many.

    :param but: ids of those that stay.
    :raises DamagedMessage: this one cannot be dropped, and nothing was.
    """
    deadline = time.monotonic() + _SLICE
    ended = connection.execute(
        """
        SELECT id FROM messages WHERE ended_at BETWEEN 1 AND ? AND id NOT IN (SELECT value FROM json_each(?))
        ORDER BY ended_at LIMIT 1000
        """,
        (before - 1, json.dumps(list(but))),
    ).fetchall()
    for gone, row in enumerate(ended, 1):
        with of_message(row["id"], readable=True):
            connection.execute(_LOOSEN_BODY, {"id": row["id"]})
            connection.execute("DELETE FROM messages WHERE id = ?", (row["id"],))
        if time.monotonic() >= deadline:
            return gone
    return len(ended)


def sweep_bodies(connection: sqlite3.Connection, being_written: Collection[str]) -> bool:
    """Loose bodies, but those that are being written now. Returns whether there may be more."""
    deadline = time.monotonic() + _SLICE
    while time.monotonic() < deadline:
        loose = connection.execute(
            "SELECT message FROM loose_bodies WHERE message NOT IN (SELECT value FROM json_each(?)) LIMIT 1",
            (json.dumps(list(being_written)),),
        ).fetchone()
        if loose is None:
            return False
        deleted = connection.execute(
            "DELETE FROM chunks WHERE message = :id AND n IN (SELECT n FROM chunks WHERE message = :id LIMIT :limit)",
            {"id": loose["message"], "limit": _CHUNKS_AT_ONCE},
        ).rowcount
        if deleted < _CHUNKS_AT_ONCE:
            connection.execute("DELETE FROM loose_bodies WHERE message = ?", (loose["message"],))
    return True


def return_pages(connection: sqlite3.Connection) -> bool:
    """Empty pages to the disk, but for a reserve of a quarter. Returns whether there may be more."""
    deadline = time.monotonic() + _SLICE
    while time.monotonic() < deadline:
        free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        total: int = connection.execute("PRAGMA page_count").fetchone()[0]
        if free <= max(_PAGES_KEPT, total // 4):
            return False
        # Every row that is fetched frees a page.
        connection.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
    return True

"""The file of the index: where it lies, how it is opened, how it goes."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

FORMAT = 1  # of the file, and of the words in it: another one is made anew
BEYOND = "~"  # greater than any id

_TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE segments (
    n        INTEGER PRIMARY KEY,
    first    TEXT NOT NULL,      -- no id in it is smaller; none is as great as the first of the next segment
    messages INTEGER NOT NULL
) STRICT;
"""


def path_of(spool: Path) -> Path:
    """Where the index of a spool lies."""
    return spool.with_suffix(".search.db")


def discard(spool: Path) -> None:
    """Remove the index of a spool."""
    path = path_of(spool)
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def open_for_indexing(spool: Path) -> sqlite3.Connection:
    """The one connection that writes to the index; the spool is attached, to be read. One of another format is empty
    again.

    :raises sqlite3.Error: it cannot be used.
    :raises OSError: it cannot be opened.
    """
    connection = _open(path_of(spool))
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            connection.close()
            discard(spool)
            connection = _open(path_of(spool))
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT")
        connection.execute("PRAGMA synchronous = NORMAL")  # what the last seconds brought may go; the rest is whole
        connection.execute("PRAGMA journal_size_limit = 16777216")
        attach(connection, spool, "spool")
    except BaseException:
        connection.close()
        raise
    return connection


def attach(connection: sqlite3.Connection, path: Path, name: str) -> None:
    """Make a database readable under a name."""
    connection.execute(f"ATTACH ? AS {name}", (f"{path.absolute().as_uri()}?mode=ro",))


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

"""The spool's file: the lock beside it, how it is opened, how its schema is brought up to date."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from smtprelay.spool.sqlite import schema
from smtprelay.spool.sqlite.errors import damaged, explain, is_damage
from smtprelay.spool.values import SpoolError

LOCK_NAME = "spool.lock"
_BUSY_SECONDS = 5.0
# Of all tables and indices, and of the tables' columns.
_NAMES = """
    SELECT s.name, c.name FROM sqlite_schema AS s LEFT JOIN pragma_table_info(s.name) AS c ON s.type = 'table'
"""


class Lock:
    """The right to write in a folder, held by one process at a time and given up by the kernel when it dies.

    :raises SpoolError: another process holds it, or the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SpoolError(f"The spool's folder {folder} does not exist. Create it, owned by the daemon's user.")
        path = folder / LOCK_NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolError(f"{path} cannot be opened ({error.strerror}). Its folder must belong to us.") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise SpoolError(f"Another process (pid {holder}) holds {path}: it is using the spool.") from error
        with suppress(OSError):  # a full disk: the pid is only for people
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def open_for_writing(path: Path, now: int) -> sqlite3.Connection:
    """The one connection that writes and checkpoints. Every lease that the last process left runs out; what it
    passed over is tried again.

    One only, because SQLite before 3.51.3 can corrupt a file whose WAL is reset by one connection while another
    one checkpoints.

    :param now: Unix time in milliseconds.
    :raises SpoolError: the file is damaged, from a newer version, or not ours.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise SpoolError(f"The spool {path} cannot be opened ({error.strerror}).") from error
    connection = _connect(path, "rw")
    try:
        _migrate(connection, path)
        _check_schema(connection, path)
        connection.execute("UPDATE leases SET until = min(until, ?)", (now,))
        connection.execute("DELETE FROM damaged")
    except Exception as error:
        connection.close()
        if isinstance(error, UnicodeDecodeError):  # SQLite's word about it
            raise damaged(path, "a name in its schema is not UTF-8") from error
        raise explain(error, path) from error
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    return _connect(path, "ro")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # Our transactions are written out, so the module's own handling of them is off (isolation_level=None).
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _scalar(connection, "PRAGMA user_version")
    newest = len(schema.MIGRATIONS)
    if version > newest:
        raise SpoolError(
            f"{path} was written by a newer smtprelay (schema {version}, this one knows {newest}); nothing was changed."
            " Install that version again."
        )
    if version == 0:
        if _scalar(connection, "SELECT count(*) FROM sqlite_schema"):
            raise SpoolError(f"{path} is another program's database; nothing was changed. Give the spool its own path.")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before anything is written
    _set_up(connection, path)
    if 0 < version < newest:  # a new file has nothing to lose; one copy, for the disk may not have room for many
        _copy(connection, path.with_name(f"{path.name}.before-{version + 1}"))
    for number, script in enumerate(schema.MIGRATIONS[version:], version + 1):
        # The number is part of the transaction: after a crash the migration is wholly there or not at all.
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            words = f"it stays at schema {number - 1}, which the version before this one can use; SQLite says: {error}"
            raise damaged(path, words) from error


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """:raises SpoolDamaged: a table, a column or an index is not there, or has another name."""
    with closing(sqlite3.connect(":memory:")) as sound:
        sound.executescript(";".join(schema.MIGRATIONS))
        missing = {tuple(row) for row in sound.execute(_NAMES)} - {tuple(row) for row in connection.execute(_NAMES)}
    if missing:
        names = sorted(".".join(filter(None, name)) for name in missing)
        raise damaged(path, f"its schema has no {', '.join(names)}")


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    mode = _scalar(connection, "PRAGMA journal_mode = WAL")
    if mode != "wal":
        raise SpoolError(f"{path} lies on a file system without shared memory (SQLite says: {mode}). Use a local disk.")
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 1000")  # pages: 4 MB, some 10 ms of one commit in many
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA temp_store = MEMORY")  # savepoints journal there
    connection.execute("PRAGMA cache_size = -8000")  # KiB


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the file as it is. One that a crash left half done is made anew."""
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # bodies are nobody else's
    with closing(sqlite3.connect(partial)) as copy:
        connection.backup(copy)
    partial.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _scalar(connection: sqlite3.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]

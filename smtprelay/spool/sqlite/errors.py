"""What SQLite says → what the operator is told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from smtprelay.spool.values import SpoolDamaged, SpoolError, SpoolFull

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# What a row may hold that is no value any more, and has no code of its own: the first is found by Python.
_NO_VALUE = ("Could not decode to UTF-8", "malformed JSON", "JSON cannot hold BLOB values")


def explain(error: Exception, path: Path) -> Exception:
    """SQLite's error as a `SpoolError`; any other as it is."""
    if not isinstance(error, sqlite3.Error):
        return error
    explained = _spool_error(error, path)
    explained.__cause__ = error
    return explained


def is_full(error: Exception) -> bool:
    return _primary_code(error) == sqlite3.SQLITE_FULL


def is_damage(error: Exception) -> bool:
    """Whether something could not be read for what it holds: a broken page, a text that is not UTF-8, no JSON, or a
    row that holds something else than was written (`rows`)."""
    if isinstance(error, sqlite3.OperationalError) and str(error).startswith(_NO_VALUE):
        return True
    return isinstance(error, SpoolDamaged) or _primary_code(error) in _DAMAGE


def damaged(path: Path, words: str) -> SpoolDamaged:
    """:param words: how that is known."""
    return SpoolDamaged(
        f"{path} is damaged ({words}); nothing was changed. Stop the daemon, copy the file and its"
        f" -wal aside, then run: sqlite3 {path} .recover | sqlite3 recovered.db (the sqlite3 of sqlite.org: Debian 12's"
        " makes an empty file)"
    )


def _spool_error(error: sqlite3.Error, path: Path) -> SpoolError:
    if is_full(error):
        return SpoolFull(f"The disk that holds {path} is full: nothing was stored. Free some space on it.")
    if is_damage(error):
        return damaged(path, f"SQLite says: {error}")
    if _primary_code(error) == sqlite3.SQLITE_BUSY:
        return SpoolError(
            f"Another program holds {path} ({error}); nothing was changed. Close it: only we write to it."
        )
    return SpoolError(f"The spool {path} cannot be used (SQLite says: {error}); nothing was changed.")


def _primary_code(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF

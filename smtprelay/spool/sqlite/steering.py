"""What an operator does to recipients, one page of keys in one transaction.

The pages are looked up by readers; meanwhile a recipient may have moved on, so every change asks for its state again,
and `release` for the reason, which may be an operator's by now.
Each change returns how many recipients it changed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from smtprelay.spool.sqlite import storing
from smtprelay.spool.sqlite.selection import PASSES, Key
from smtprelay.spool.sqlite.writer import Writer
from smtprelay.spool.values import PASSING, SpoolDamaged

_log = logging.getLogger(__name__)

_HOLD = f"""
    UPDATE recipients
    SET state = 'held', reason = ?, held_since = iif(state = 'held', held_since, ?), updated_at = ?
    WHERE message = ? AND n = ? AND (state = 'queued' OR state = 'held' AND reason IN {PASSES} AND ?)
"""  # noqa: S608 - our own words
_WISH_HELD = """
    UPDATE recipients SET wish = 'held', reason = ?
    WHERE message = ? AND n = ? AND state = 'sending' AND (wish = '' OR ?)
"""
# What was never tried keeps its turn, which its app may have wanted to be later: nothing newer goes before it.
_RELEASE = """
    UPDATE recipients
    SET state = 'queued', reason = '', next_at = iif(attempts = 0, next_at, ?),
        held_ms = held_ms + max(0, ? - held_since), held_since = 0, updated_at = ?
    WHERE message = ? AND n = ? AND state = 'held' AND ? IN ('', reason)
"""
_WISH_NOTHING = """
    UPDATE recipients SET wish = '', reason = ''
    WHERE message = ? AND n = ? AND state = 'sending' AND wish <> '' AND ? IN ('', reason)
"""
_CANCEL = """
    UPDATE recipients SET state = 'cancelled', reason = '', held_since = 0, updated_at = ?
    WHERE message = ? AND n = ? AND state IN ('queued', 'held')
"""
_WISH_CANCELLED = """
    UPDATE recipients SET wish = 'cancelled', reason = '' WHERE message = ? AND n = ? AND state = 'sending'
"""
_RETRY = """
    UPDATE recipients SET next_at = ? WHERE message = ? AND n = ? AND state = 'queued' AND next_at > ?
"""


class Change(Protocol):
    """A function of this file, with all but its page given."""

    def __call__(self, connection: sqlite3.Connection, keys: Sequence[Key]) -> int: ...


async def apply(writer: Writer, change: Change, keys: Sequence[Key]) -> int:
    """Change a page; where the file is damaged, message by message what can be."""
    try:
        return await writer.run(partial(change, keys=keys))
    except SpoolDamaged:
        changed = 0
        for message_id, of_message in groupby(keys, key=itemgetter(0)):
            try:
                changed += await writer.run(partial(change, keys=list(of_message)))
            except SpoolDamaged as error:
                _log.error("message %s is damaged in the spool: it stays as it is (%s)", message_id, error)
        return changed


def hold(connection: sqlite3.Connection, keys: Sequence[Key], now: int, reason: str) -> int:
    """A reason that passes by itself takes the place of no other one: once it passes, that one would be forgotten."""
    stays = reason not in PASSING
    held = connection.executemany(_HOLD, [(reason, now, now, *key, stays) for key in keys])
    wished = connection.executemany(_WISH_HELD, [(reason, *key, stays) for key in keys])
    return held.rowcount + wished.rowcount


def release(connection: sqlite3.Connection, keys: Sequence[Key], now: int, reason: str) -> int:
    released = connection.executemany(_RELEASE, [(now, now, now, *key, reason) for key in keys])
    wished = connection.executemany(_WISH_NOTHING, [(*key, reason) for key in keys])
    return released.rowcount + wished.rowcount


def cancel(connection: sqlite3.Connection, keys: Sequence[Key], now: int) -> int:
    cancelled = connection.executemany(_CANCEL, [(now, *key) for key in keys])
    wished = connection.executemany(_WISH_CANCELLED, keys)
    for message_id in dict.fromkeys(message_id for message_id, _ in keys):
        storing.end_where_done(connection, message_id, now)
    return cancelled.rowcount + wished.rowcount


def retry(connection: sqlite3.Connection, keys: Sequence[Key], now: int) -> int:
    return connection.executemany(_RETRY, [(now, *key, now) for key in keys]).rowcount

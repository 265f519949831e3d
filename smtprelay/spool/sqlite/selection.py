"""`Selector` → SQL, over `messages AS m` and `recipients AS r`."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.values import PASSING, Selector, State

_log = logging.getLogger(__name__)

PAGE = 1000  # recipients that one transaction of `hold`, `cancel` and their like changes: some 20 ms

Key = tuple[str, int]  # a recipient: its message's id and its number there
FIRST: Key = ("", 0)

# Written out, not bound, so that SQLite can tell which partial index holds them.
_IN_STATE = {state: f"r.state = '{state}'" for state in State}
_WAITING = "m.ended_at = 0"
PASSES = "('" + "', '".join(sorted(PASSING)) + "')"  # reasons that pass by themselves


@dataclass(frozen=True, slots=True)
class Where:
    """Terms of a WHERE clause and the values bound in them."""

    terms: tuple[str, ...]
    values: tuple[str | int, ...] = ()

    def __and__(self, other: Where) -> Where:
        return Where(self.terms + other.terms, self.values + other.values)

    def __str__(self) -> str:
        return " AND ".join(self.terms) or "true"


def where(selector: Selector) -> Where:
    """What a recipient must be to match all that is given."""
    chosen = Where(())
    if selector.ids:
        chosen &= Where(("r.message IN (SELECT value FROM json_each(?))",), (json.dumps(selector.ids),))
    if selector.account:  # Origin.key
        chosen &= Where(("CASE m.account WHEN '' THEN m.client ELSE m.account END = ?",), (selector.account,))
    if selector.to.startswith("*@"):
        domain = selector.to[1:]
        chosen &= Where(("substr(r.address, ?) = ? COLLATE NOCASE",), (-len(domain), domain))
    elif selector.to:
        chosen &= Where(("r.address = ? COLLATE NOCASE",), (selector.to,))
    if selector.state:
        chosen &= Where((_IN_STATE[selector.state],))
    if selector.reason:
        chosen &= Where(("r.reason = ?",), (selector.reason,))
    if selector.tag:
        chosen &= Where(("EXISTS (SELECT 1 FROM json_each(m.tags) WHERE value = ?)",), (selector.tag,))
    if selector.bulk is not None:
        chosen &= Where(("m.bulk = ?",), (selector.bulk,))
    if selector.credentials:
        chosen &= Where(("r.credential IN (SELECT value FROM json_each(?))",), (json.dumps(selector.credentials),))
    if selector.other_credentials:
        others = json.dumps(selector.other_credentials)
        chosen &= Where(("r.credential NOT IN (SELECT value FROM json_each(?))",), (others,))
    if selector.due_by is not None:
        chosen &= Where(("r.next_at <= ?",), (selector.due_by,))
    return chosen


def waits_beyond(latest: int) -> Where:
    """What is due later than that, but for what its app wanted to be sent later and was never tried."""
    asked_for = "m.due_at > m.received_at AND r.next_at = m.due_at"
    return Where((_IN_STATE[State.QUEUED], "r.next_at > ?", f"NOT ({asked_for})"), (latest,))


def waiting_keys(connection: sqlite3.Connection, chosen: Where, after: Key) -> list[Key]:
    """The next page of recipients in messages that have not ended, in the order of their keys; what is damaged is
    passed over."""
    try:
        return _keys(connection, "m.id >= ?", after[0], chosen, after, PAGE)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return list(islice(_keys_around_damage(connection, chosen, after), PAGE))


def _keys_around_damage(connection: sqlite3.Connection, chosen: Where, after: Key) -> Iterator[Key]:
    """Message by message: which ones wait, an index alone tells."""
    waiting = f"SELECT m.id FROM messages AS m WHERE {_WAITING} AND m.id >= ? ORDER BY m.id"  # noqa: S608
    for row in connection.execute(waiting, after[:1]):
        try:
            keys = _keys(connection, "m.id = ?", row["id"], chosen, after, -1)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            _log.error("message %s is damaged in the spool: it stays as it is (%s)", row["id"], error)
        else:
            yield from keys


def _keys(
    connection: sqlite3.Connection, messages: str, message_id: str, chosen: Where, after: Key, limit: int
) -> list[Key]:
    statement = f"""
        SELECT r.message, r.n FROM messages AS m CROSS JOIN recipients AS r ON r.message = m.id
        WHERE {_WAITING} AND {messages} AND (m.id > ? OR r.n > ?) AND {chosen}
        ORDER BY m.id, r.n LIMIT ?
    """  # noqa: S608 - our own words; what comes from outside is bound
    values: Sequence[str | int] = (message_id, *after, *chosen.values, limit)
    return [(row["message"], row["n"]) for row in connection.execute(statement, values)]

"""What happened to messages, kept until webhooks have been told.

Triggers of the writing connection note it within the transaction that makes it true, whichever operation that is. They
are temporary, and there is one only for what somebody wants to know: without webhooks nothing is written.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.values import Event, Events

_SLICE = 1000  # events that one transaction drops: some 5 ms
_MAX_RECIPIENTS = 1000  # of one answer, so that a reader is short; one event may have more

_ACCEPTED = "AFTER INSERT ON messages"
_HELD_AT_ONCE = "AFTER INSERT ON recipients WHEN NEW.state = 'held'"
_SUPPRESSED_AT_ONCE = "AFTER INSERT ON recipients WHEN NEW.state = 'suppressed'"
_DEFERRED = "AFTER UPDATE OF outcome ON attempts WHEN NEW.outcome = 'deferred'"
_BECAME = "AFTER UPDATE OF state ON recipients WHEN NEW.state = '{}'"
_ATTEMPT = "iif(OLD.state = 'sending', NEW.attempts, 0)"  # what an operator does is no attempt's

# By event: when it happens, and (at, message, n, attempt, reason).
_TRIGGERS = {
    "accepted": [(_ACCEPTED, "NEW.received_at, NEW.id, 0, 0, ''")],
    "held": [
        (_HELD_AT_ONCE, "NEW.updated_at, NEW.message, NEW.n, 0, NEW.reason"),
        (_BECAME.format("held"), f"NEW.updated_at, NEW.message, NEW.n, {_ATTEMPT}, NEW.reason"),
    ],
    "suppressed": [
        (_SUPPRESSED_AT_ONCE, "NEW.updated_at, NEW.message, NEW.n, NEW.attempts, NEW.reason"),
        (_BECAME.format("suppressed"), f"NEW.updated_at, NEW.message, NEW.n, {_ATTEMPT}, NEW.reason"),
    ],
    "deferred": [(_DEFERRED, "NEW.ended_at, NEW.message, NEW.n, NEW.number, ''")],
    **{
        state: [(_BECAME.format(state), f"NEW.updated_at, NEW.message, NEW.n, {_ATTEMPT}, NEW.reason")]
        for state in ("delivered", "bounced", "captured")
    },
}
_READ = """
    SELECT e.seq, e.at, e.event, e.message, e.n, e.attempt, e.reason,
        m.account, m.reverse_path, m.message_id, m.tags, m.dsn_for, r.address, r.dsn,
        a.phase, a.reply, a.ambiguous, a.smarthost
    FROM events AS e
    LEFT JOIN messages AS m ON m.id = e.message
    LEFT JOIN recipients AS r ON r.message = e.message AND r.n = e.n
    LEFT JOIN attempts AS a ON a.message = e.message AND a.n = e.n AND a.number = e.attempt
    WHERE e.seq > ? AND e.event IN (SELECT value FROM json_each(?)) ORDER BY e.seq LIMIT ?
"""
# The same of one, in parts that can be read each by itself.
_READ_EVENTS = "SELECT * FROM events WHERE seq > ? AND event IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?"
_READ_ABOUT = (
    "SELECT account, reverse_path, message_id, tags, dsn_for FROM messages WHERE id = :message",
    "SELECT address, dsn FROM recipients WHERE message = :message AND n = :n",
    """
    SELECT phase, reply, ambiguous, smarthost FROM attempts
    WHERE message = :message AND n = :n AND number = :attempt
    """,
)
_ADDRESSES = "SELECT address FROM recipients WHERE message = :message ORDER BY n"
Row = sqlite3.Row | Mapping[str, Any]


def record(connection: sqlite3.Connection, events: Collection[str]) -> None:
    for event, triggers in _TRIGGERS.items():
        for i, (when, what) in enumerate(triggers):
            connection.execute(f"DROP TRIGGER IF EXISTS temp.{event}_{i}")
            if event in events:
                connection.execute(f"""
                    CREATE TEMP TRIGGER {event}_{i} {when} BEGIN
                        INSERT INTO events (event, at, message, n, attempt, reason) VALUES ('{event}', {what});
                    END
                """)  # noqa: S608 - our own words


def last(connection: sqlite3.Connection) -> int:
    """The number of the last event that there was, 0 before the first."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return row["seq"] if row else 0


def read(connection: sqlite3.Connection, after: int, events: Collection[str], limit: int) -> Events:
    newest = last(connection)
    told: list[Event] = []
    recipients = 0
    for row in _rows(connection, after, json.dumps(list(events)), limit):
        told.append(_event(connection, row))
        recipients += len(told[-1].recipients)
        if len(told) == limit or recipients >= _MAX_RECIPIENTS:
            return Events(tuple(told), told[-1].seq, more=True)
    return Events(tuple(told), max(after, newest))


def _rows(connection: sqlite3.Connection, after: int, events: str, limit: int) -> Iterator[Row]:
    """Of what stands on a damaged page, the event is there all the same: it must not keep all that follow."""
    try:
        for row in connection.execute(_READ, (after, events, limit)):
            yield row
            after = row["seq"]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        for event in connection.execute(_READ_EVENTS, (after, events, limit)):
            row = defaultdict(str, event)
            for part in _READ_ABOUT:
                for about in _readable(connection, part, event):
                    row.update(about)
            yield row


def _readable(connection: sqlite3.Connection, statement: str, event: Row) -> list[sqlite3.Row]:
    """Nothing where it is damaged."""
    try:
        return connection.execute(statement, dict(event)).fetchall()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return []


def _event(connection: sqlite3.Connection, row: Row) -> Event:
    """An event; of a message whose history has been pruned, what the event itself says."""
    recipients = [row] if row["n"] else _readable(connection, _ADDRESSES, row)
    return Event(
        seq=row["seq"],
        at=row["at"],
        event=row["event"],
        message=row["message"],
        account=_text(row, "account"),
        reverse_path=_text(row, "reverse_path"),
        message_id=_text(row, "message_id"),
        tags=_tags(row),
        dsn_for=_text(row, "dsn_for"),
        recipients=tuple(filter(None, (_text(recipient, "address") for recipient in recipients))),
        reason=row["reason"],
        attempt=row["attempt"],
        phase=_text(row, "phase"),
        reply=_text(row, "reply"),
        ambiguous=bool(row["ambiguous"]),
        smarthost=_text(row, "smarthost"),
        dsn=_text(row, "dsn"),
    )


def _text(row: Row, column: str) -> str:
    """Nothing where it is damaged, or pruned."""
    value = row[column]
    return value if isinstance(value, str) else ""


def _tags(row: Row) -> tuple[str, ...]:
    try:
        return tuple(map(str, json.loads(_text(row, "tags"))))
    except (ValueError, TypeError):
        return ()


def count(connection: sqlite3.Connection, after: int, events: Collection[str]) -> int:
    counted = connection.execute(
        "SELECT count(*) AS events FROM events WHERE seq > ? AND event IN (SELECT value FROM json_each(?))",
        (after, json.dumps(list(events))),
    )
    return int(counted.fetchone()["events"])


def drop(connection: sqlite3.Connection, upto: int, before: int) -> list[tuple[int, str]]:
    """One slice of the events that are numbered up to `upto`, or happened before then, the oldest first."""
    dropped = connection.execute(
        """
        DELETE FROM events WHERE seq IN (
            SELECT seq FROM (SELECT seq, at FROM events ORDER BY seq LIMIT ?) WHERE seq <= ? OR at < ?
        ) RETURNING seq, event
        """,
        (_SLICE, upto, before),
    )
    return sorted((row["seq"], row["event"]) for row in dropped)

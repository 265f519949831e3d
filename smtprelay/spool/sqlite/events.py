"""What happened to messages, kept until webhooks have been told.

Triggers of the writing connection note it within the transaction that makes it true, whichever operation that is. They
are temporary, and there is one only for what somebody wants to know: without webhooks nothing is written.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

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
    for row in connection.execute(_READ, (after, json.dumps(list(events)), limit)):
        told.append(_event(connection, row))
        recipients += len(told[-1].recipients)
        if len(told) == limit or recipients >= _MAX_RECIPIENTS:
            return Events(tuple(told), told[-1].seq, more=True)
    return Events(tuple(told), max(after, newest))


def _event(connection: sqlite3.Connection, row: sqlite3.Row) -> Event:
    """An event; of a message whose history has been pruned, what the event itself says."""
    if row["n"]:
        recipients = [row["address"]]
    else:
        found = connection.execute("SELECT address FROM recipients WHERE message = ? ORDER BY n", (row["message"],))
        recipients = [recipient["address"] for recipient in found]
    return Event(
        seq=row["seq"],
        at=row["at"],
        event=row["event"],
        message=row["message"],
        account=row["account"] or "",
        reverse_path=row["reverse_path"] or "",
        message_id=row["message_id"] or "",
        tags=_tags(row["tags"] or "[]"),
        dsn_for=row["dsn_for"] or "",
        recipients=tuple(filter(None, recipients)),
        reason=row["reason"],
        attempt=row["attempt"],
        phase=row["phase"] or "",
        reply=row["reply"] or "",
        ambiguous=bool(row["ambiguous"]),
        smarthost=row["smarthost"] or "",
        dsn=row["dsn"] or "",
    )


def _tags(text: str) -> tuple[str, ...]:
    """Nothing where they are damaged: an event must not keep all that follow."""
    try:
        return tuple(map(str, json.loads(text)))
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

"""Messages with their recipients as the books have them: one, or many at once."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from smtprelay.message import Envelope, Message, Origin
from smtprelay.spool.sqlite import rows
from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.sqlite.selection import Where
from smtprelay.spool.values import Attempt, MessageRecord, RecipientRecord

_log = logging.getLogger(__name__)

_ALL = Where(())
_REPLY = """(
    SELECT reply FROM attempts AS a
    WHERE a.message = r.message AND a.n = r.n AND a.ended_at > 0 ORDER BY number DESC LIMIT 1
)"""
# The first whose day ends after the delivery; not one of later mail: within five days the platform, too, has given up
# (RFC 5321 §4.5.4.1).
_FATE = """CASE r.state WHEN 'delivered' THEN (
    SELECT CAST(json_array(f.address, f.at, f.cause, f.source) AS TEXT) FROM fates AS f
    WHERE f.address = r.address AND f.at > r.updated_at - 86400000 AND f.at < r.updated_at + 5 * 86400000
    ORDER BY f.at LIMIT 1
) END"""
_BODY_KEPT = "iif(m.ended_at, EXISTS (SELECT 1 FROM recipients WHERE message = m.id AND state = 'captured'), 1)"
_MESSAGE = f"SELECT m.*, {_BODY_KEPT} AS body_kept FROM messages AS m WHERE m.id = ?"  # noqa: S608 - our own words
# What may be left out of a record where it cannot be read, less first.
_LEFT_OUT = ((), ("fates",), ("attempts",), ("fates", "attempts"))


def _pairs(table: str, columns: str) -> str:
    return ", ".join(f"'{column}', {table}.{column}" for column in columns.split())


_OF_MESSAGE = _pairs(
    "m",
    "id reverse_path ret envid smtputf8 client helo protocol account size received_at due_at credential domain"
    " selectors author_domain subject message_id repairs hold dsn_for idempotency_key tags changes bulk",
)
_OF_RECIPIENT = _pairs("r", "n address notify orcpt state reason next_at attempts updated_at dsn")
_TOGETHER = f"""
    SELECT json_group_array(json_object({_OF_MESSAGE}, 'body_kept', {_BODY_KEPT}, 'recipients', (
        SELECT json_group_array(json_object({_OF_RECIPIENT}, 'reply', {_REPLY}, 'fate', {_FATE}))
        FROM recipients AS r WHERE r.message = m.id
    )))
    FROM json_each(?) CROSS JOIN messages AS m ON m.id = value
"""  # noqa: S608 - our own words


def record_of(
    connection: sqlite3.Connection, message_id: str, chosen: Where = _ALL, *, with_attempts: bool = False
) -> MessageRecord:
    """One message that is there, with those of its recipients that were chosen; without what cannot be read of it."""
    damage: Exception | None = None
    for left_out in _LEFT_OUT:
        try:
            record = _read(connection, message_id, chosen, left_out, with_attempts)
        except Exception as error:
            if not is_damage(error):
                raise
            damage = damage or error
        else:
            break
    else:
        record = MessageRecord(_unreadable(message_id), ())
    if damage:
        _log.error("message %s is damaged in the spool: %s", message_id, damage)
    return record


def _read(
    connection: sqlite3.Connection, message_id: str, chosen: Where, left_out: tuple[str, ...], with_attempts: bool
) -> MessageRecord:
    history: defaultdict[int, list[Attempt]] = defaultdict(list)
    if with_attempts and "attempts" not in left_out:
        for attempt in connection.execute("SELECT * FROM attempts WHERE message = ? ORDER BY number", (message_id,)):
            history[attempt["n"]].append(rows.attempt_of(attempt))
    row = connection.execute(_MESSAGE, (message_id,)).fetchone()
    recipients = connection.execute(
        f"{_recipients(left_out)} WHERE r.message = ? AND {chosen} ORDER BY r.n", (message_id, *chosen.values)
    )
    return _record(row, [rows.recipient_record_of(one, history[one["n"]]) for one in recipients], left_out)


def _recipients(left_out: Collection[str]) -> str:
    reply = "''" if "attempts" in left_out else _REPLY
    fate = "NULL" if "fates" in left_out else _FATE
    return f"""
        SELECT r.*, {reply} AS reply, {fate} AS fate FROM recipients AS r JOIN messages AS m ON m.id = r.message
    """  # noqa: S608 - our own words


def records_of(connection: sqlite3.Connection, ids: Sequence[str]) -> list[MessageRecord]:
    """The same of messages that are there, in one row of SQLite's, with all their recipients; the newest first."""
    try:
        (together,) = connection.execute(_TOGETHER, (json.dumps(ids),)).fetchone()
        found = sorted(json.loads(together), key=lambda row: row["id"], reverse=True)
        return [_record(row, map(rows.recipient_record_of, row["recipients"])) for row in found]
    except Exception as error:
        if not is_damage(error):
            raise
        return [record_of(connection, message_id) for message_id in sorted(ids, reverse=True)]


def _record(row: rows.Row, recipients: Iterable[RecipientRecord], unreadable: tuple[str, ...] = ()) -> MessageRecord:
    """:raises SpoolDamaged: a row holds something else than was written."""
    in_order = sorted(recipients, key=lambda record: record.id)
    message = rows.message_of(row, [record.recipient for record in in_order])
    return MessageRecord(message, tuple(in_order), bool(row["body_kept"]), unreadable)


def _unreadable(message_id: str) -> Message:
    """What stands for a damaged message, so that one does not hide the others."""
    return Message(
        id=message_id,
        envelope=Envelope("", ()),
        origin=Origin("local"),
        content=b"",
        size=0,
        received_at=0,
        due_at=0,
        credential="",
        subject="(damaged in the spool: it cannot be read)",
    )

"""Leases: taken, extended, ended, taken over. Each function is one operation of the writer."""

from __future__ import annotations

import logging
import secrets
import sqlite3
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Sequence

from smtprelay.message import Message
from smtprelay.spool.sqlite import rows, storing, suppressing
from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.sqlite.selection import PASSES
from smtprelay.spool.values import ENDED, OUTCOMES, Lease, LeaseLost, Result, SpoolError, State, Suppression

_log = logging.getLogger(__name__)


def lease(
    connection: sqlite3.Connection,
    owner: str,
    now: int,
    ttl: int,
    limit: int,
    credentials: Sequence[str],
    max_recipients: int,
) -> list[Lease]:
    """What is due, one message of each credential in turn, so that a long queue of one does not hold up the others.

    :param credentials: in the order of their turns.
    """
    leases: list[Lease] = []
    turns = deque(credentials)
    while turns and len(leases) < limit:
        credential = turns.popleft()
        taken = _take_most_overdue(connection, owner, now, now + ttl, credential, max_recipients)
        if taken:
            leases.append(taken)
            turns.append(credential)
    return leases


def turns_after(credentials: Collection[str], last: str) -> list[str]:
    """The credentials, beginning after the one that was served last."""
    ordered = sorted(credentials)
    start = bisect_right(ordered, last)
    return ordered[start:] + ordered[:start]


def _take_most_overdue(
    connection: sqlite3.Connection, owner: str, now: int, until: int, credential: str, max_recipients: int
) -> Lease | None:
    while True:
        first = connection.execute(
            """
            SELECT message FROM recipients
            WHERE state = 'queued' AND credential = ? AND next_at <= ? ORDER BY next_at LIMIT 1
            """,
            (credential, now),
        ).fetchone()
        if first is None:
            return None
        try:
            return _take(connection, owner, now, until, first["message"], max_recipients)
        except Exception as error:
            if not is_damage(error):
                raise
            set_aside(connection, first["message"], "", now, error)


def _take(
    connection: sqlite3.Connection, owner: str, now: int, until: int, message_id: str, max_recipients: int
) -> Lease:
    """Everything is read before anything is written, so that a damaged row leaves no trace."""
    due = connection.execute(
        """
        SELECT n, address, notify, orcpt, attempts + 1 AS attempts, held_ms, warned FROM recipients
        WHERE message = ? AND state = 'queued' AND next_at <= ? ORDER BY n LIMIT ?
        """,
        (message_id, now, max_recipients),
    ).fetchall()
    if not due:  # and it would be named first for ever
        raise SpoolError(
            f"The spool's index is damaged: it names {message_id}, which has nothing due. Stop the daemon, copy the"
            " spool aside, then run: sqlite3 spool.db REINDEX"
        )
    token = secrets.token_hex(8)
    taken = _lease_of(connection, token, message_id, due)
    connection.execute("INSERT INTO leases VALUES (?, ?, ?, ?)", (token, message_id, owner, until))
    connection.executemany(
        "UPDATE recipients SET state = 'sending', lease = ?, attempts = ?, updated_at = ? WHERE message = ? AND n = ?",
        [(token, recipient.attempts, now, message_id, recipient.id) for recipient in taken.recipients],
    )
    connection.executemany(
        "INSERT INTO attempts (message, n, number, started_at) VALUES (?, ?, ?, ?)",
        [(message_id, recipient.id, recipient.attempts, now) for recipient in taken.recipients],
    )
    return taken


def _lease_of(
    connection: sqlite3.Connection, token: str, message_id: str, recipient_rows: Sequence[sqlite3.Row]
) -> Lease:
    recipients = tuple(rows.leased_recipient_of(row) for row in recipient_rows)
    row = connection.execute("SELECT * FROM messages WHERE id = ?", (message_id,)).fetchone()
    message = rows.message_of(row, [leased.recipient for leased in recipients])
    return Lease(token, message, recipients)


def set_aside(connection: sqlite3.Connection, message_id: str, token: str, now: int, error: Exception) -> None:
    """Hold a message that cannot be read: it stays for a person to look at, and lets the others pass."""
    values = {"now": now, "message": message_id, "token": token}
    connection.execute(
        """
        UPDATE attempts SET ended_at = :now, outcome = 'held', phase = 'unknown', ambiguous = 1
        WHERE message = :message AND outcome = 'open' AND n IN (
            SELECT n FROM recipients WHERE message = :message AND state = 'sending' AND lease = :token
        )
        """,
        values,
    )
    connection.execute(
        """
        UPDATE recipients
        SET state = 'held', reason = 'corrupt', lease = '', wish = '', held_since = :now, updated_at = :now
        WHERE message = :message AND (state = 'queued' OR state = 'sending' AND lease = :token)
        """,
        values,
    )
    _log.error("message %s is damaged in the spool and was set aside (held, reason: corrupt): %s", message_id, error)


def extend(connection: sqlite3.Connection, token: str, until: int) -> None:
    if not connection.execute("UPDATE leases SET until = ? WHERE token = ?", (until, token)).rowcount:
        raise _lost(token)


def finish(
    connection: sqlite3.Connection,
    token: str,
    now: int,
    results: Sequence[Result],
    new: Sequence[Message],
    suppress: Sequence[Suppression] = (),
) -> None:
    ended = connection.execute("DELETE FROM leases WHERE token = ? RETURNING message", (token,)).fetchall()
    if not ended:
        raise _lost(token)
    message_id: str = ended[0]["message"]
    sending = _sending(connection, token)
    if len(results) != len(sending) or sending.keys() != {result.recipient for result in results}:
        raise ValueError(f"a lease of {message_id} ends with one result for each of its recipients")
    for result in results:
        _finish_recipient(connection, message_id, sending[result.recipient], now, result)
    storing.insert(connection, new)
    storing.end_where_done(connection, message_id, now)
    if suppress:
        suppressing.enter(connection, suppress)


def end_held(
    connection: sqlite3.Connection, message_id: str, now: int, results: Sequence[Result], new: Sequence[Message]
) -> None:
    reasons = f"state = 'held' AND reason IN {PASSES}"
    token, taken = take_at_once(connection, message_id, now, [result.recipient for result in results], reasons)
    if len(taken) != len(results):
        raise LeaseLost(f"Some recipients of {message_id} are not held any more.")
    finish(connection, token, now, results, new)


def take_at_once(
    connection: sqlite3.Connection, message_id: str, now: int, recipients: Sequence[int], where: str
) -> tuple[str, list[int]]:
    """A lease that begins and ends within the transaction, with an attempt of each recipient.

    :param where: what they must be.
    :returns: its token, and which of them it has.
    """
    token = secrets.token_hex(8)
    connection.execute("INSERT INTO leases VALUES (?, ?, '', ?)", (token, message_id, now))
    connection.executemany(
        f"""
        UPDATE recipients SET state = 'sending', lease = ?, attempts = attempts + 1
        WHERE message = ? AND n = ? AND {where}
        """,  # noqa: S608 - our own words
        [(token, message_id, n) for n in recipients],
    )
    connection.execute(
        """
        INSERT INTO attempts (message, n, number, started_at)
        SELECT message, n, attempts, ? FROM recipients WHERE state = 'sending' AND lease = ?
        """,
        (now, token),
    )
    return token, list(_sending(connection, token))


def _sending(connection: sqlite3.Connection, token: str) -> dict[int, sqlite3.Row]:
    """The recipients of a lease by their numbers."""
    statement = "SELECT n, attempts, wish, reason FROM recipients WHERE state = 'sending' AND lease = ?"
    return {row["n"]: row for row in connection.execute(statement, (token,))}


def _finish_recipient(
    connection: sqlite3.Connection, message_id: str, row: sqlite3.Row, now: int, result: Result
) -> None:
    state, reason = _after_wish(result, row["wish"], row["reason"])
    connection.execute(
        """
        UPDATE recipients
        SET state = ?, reason = ?, next_at = ?, lease = '', wish = '', held_since = ?, warned = warned OR ?, dsn = ?,
            updated_at = ?
        WHERE message = ? AND n = ?
        """,
        (
            state,
            reason,
            result.next_at,
            now if state is State.HELD else 0,
            result.warned,
            result.dsn,
            now,
            message_id,
            result.recipient,
        ),
    )
    connection.execute(
        """
        UPDATE attempts SET ended_at = ?, outcome = ?, phase = ?, reply = ?, ambiguous = ?, smarthost = ?
        WHERE message = ? AND n = ? AND number = ?
        """,
        (
            now,
            OUTCOMES[result.state],
            result.phase,
            rows.for_people(result.reply),
            result.ambiguous,
            result.smarthost,
            message_id,
            result.recipient,
            row["attempts"],
        ),
    )


def _after_wish(result: Result, wish: str, wish_reason: str) -> tuple[State, str]:
    """The state that a result leads to, where an operator asked for another one meanwhile: ends stay ends."""
    if wish == State.CANCELLED and result.state not in ENDED:
        return State.CANCELLED, ""
    if wish == State.HELD and result.state is State.QUEUED:
        return State.HELD, wish_reason
    return result.state, result.reason


def reclaim(connection: sqlite3.Connection, now: int, ttl: int, limit: int) -> list[Lease]:
    leases: list[Lease] = []
    expired = connection.execute(
        "SELECT token, message FROM leases WHERE until <= ? ORDER BY message LIMIT ?", (now, limit)
    ).fetchall()
    for row in expired:
        try:
            leases.append(_take_over(connection, row["token"], row["message"], now + ttl))
        except Exception as error:
            if not is_damage(error):
                raise
            set_aside(connection, row["message"], row["token"], now, error)
            connection.execute("DELETE FROM leases WHERE token = ?", (row["token"],))
    return leases


def _take_over(connection: sqlite3.Connection, old: str, message_id: str, until: int) -> Lease:
    sending = connection.execute(
        "SELECT * FROM recipients WHERE state = 'sending' AND lease = ? ORDER BY n", (old,)
    ).fetchall()
    token = secrets.token_hex(8)
    taken = _lease_of(connection, token, message_id, sending)
    connection.execute("UPDATE leases SET token = ?, until = ? WHERE token = ?", (token, until, old))
    connection.execute("UPDATE recipients SET lease = ? WHERE state = 'sending' AND lease = ?", (token, old))
    return taken


def _lost(token: str) -> LeaseLost:
    return LeaseLost(f"The lease {token} ran out and was taken over.")


def next_due(connection: sqlite3.Connection, credentials: Collection[str]) -> int | None:
    """When the next recipient of these credentials is due: one look-up in the index for each."""
    due = [
        connection.execute(
            "SELECT min(next_at) FROM recipients WHERE state = 'queued' AND credential = ?", (credential,)
        ).fetchone()[0]
        for credential in credentials
    ]
    return min((at for at in due if at is not None), default=None)

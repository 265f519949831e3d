"""Leases: taken, extended, taken over. Each function is one operation of the writer."""

from __future__ import annotations

import secrets
import sqlite3
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Sequence

from smtprelay.spool.sqlite import rows
from smtprelay.spool.sqlite.damage import DamagedMessage, of_message
from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.values import Lease, LeaseLost, SpoolDamaged

# The index alone tells: whatever of the table is damaged, what lies beyond it is found.
_FIRST = """
    SELECT message, next_at FROM recipients
    WHERE state = 'queued' AND credential = ? AND next_at <= ? AND message NOT IN (SELECT message FROM damaged)
    ORDER BY next_at LIMIT 1
"""
_WHENEVER = 2**63 - 1


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
    first = connection.execute(_FIRST, (credential, now)).fetchone()
    if first is None:
        return None
    message_id: str = first["message"]
    lease: Lease | None = None
    try:
        lease = _due_of(connection, message_id, now, max_recipients)
        _take(connection, lease, owner, now, until)
    except Exception as error:
        if not is_damage(error):
            raise
        raise DamagedMessage(message_id, readable=lease is not None) from error
    return lease


def _due_of(connection: sqlite3.Connection, message_id: str, now: int, max_recipients: int) -> Lease:
    """A lease of what is due of a message, which is still to be taken."""
    due = connection.execute(
        """
        SELECT n, address, notify, orcpt, attempts + 1 AS attempts, held_ms, warned FROM recipients
        WHERE message = ? AND state = 'queued' AND next_at <= ? ORDER BY n LIMIT ?
        """,
        (message_id, now, max_recipients),
    ).fetchall()
    if not due:
        raise SpoolDamaged("the index 'queued' names it, but nothing of it is due")
    return _lease_of(connection, secrets.token_hex(8), message_id, due)


def _take(connection: sqlite3.Connection, lease: Lease, owner: str, now: int, until: int) -> None:
    message_id = lease.message.id
    connection.execute("INSERT INTO leases VALUES (?, ?, ?, ?)", (lease.token, message_id, owner, until))
    connection.executemany(
        "UPDATE recipients SET state = 'sending', lease = ?, attempts = ?, updated_at = ? WHERE message = ? AND n = ?",
        [(lease.token, recipient.attempts, now, message_id, recipient.id) for recipient in lease.recipients],
    )
    connection.executemany(
        "INSERT INTO attempts (message, n, number, started_at) VALUES (?, ?, ?, ?)",
        [(message_id, recipient.id, recipient.attempts, now) for recipient in lease.recipients],
    )


def _lease_of(
    connection: sqlite3.Connection, token: str, message_id: str, recipient_rows: Sequence[sqlite3.Row]
) -> Lease:
    recipients = tuple(rows.leased_recipient_of(row) for row in recipient_rows)
    row = connection.execute("SELECT * FROM messages WHERE id = ?", (message_id,)).fetchone()
    message = rows.message_of(row, [leased.recipient for leased in recipients])
    return Lease(token, message, recipients)


def extend(connection: sqlite3.Connection, token: str, until: int) -> None:
    if not connection.execute("UPDATE leases SET until = ? WHERE token = ?", (until, token)).rowcount:
        raise lost(token)


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
    return token, list(sending(connection, token))


def sending(connection: sqlite3.Connection, token: str) -> dict[int, sqlite3.Row]:
    """The recipients of a lease by their numbers: `n`, `attempts`, `wish` and `reason` of each."""
    statement = "SELECT n, attempts, wish, reason FROM recipients WHERE state = 'sending' AND lease = ?"
    return {row["n"]: row for row in connection.execute(statement, (token,))}


def reclaim(connection: sqlite3.Connection, now: int, ttl: int, limit: int) -> list[Lease]:
    expired = connection.execute(
        "SELECT token, message FROM leases WHERE until <= ? ORDER BY message LIMIT ?", (now, limit)
    ).fetchall()
    return [_take_over(connection, row["token"], row["message"], now + ttl) for row in expired]


def _take_over(connection: sqlite3.Connection, old: str, message_id: str, until: int) -> Lease:
    with of_message(message_id, old):
        sending = connection.execute(
            "SELECT * FROM recipients WHERE state = 'sending' AND lease = ? ORDER BY n", (old,)
        ).fetchall()
        taken = _lease_of(connection, secrets.token_hex(8), message_id, sending)
    with of_message(message_id, old, readable=True):
        connection.execute("UPDATE leases SET token = ?, until = ? WHERE token = ?", (taken.token, until, old))
        connection.execute("UPDATE recipients SET lease = ? WHERE state = 'sending' AND lease = ?", (taken.token, old))
    return taken


def lost(token: str) -> LeaseLost:
    return LeaseLost(f"The lease {token} ran out and was taken over.")


def next_due(connection: sqlite3.Connection, credentials: Collection[str]) -> int | None:
    """When the next recipient of these credentials is due: one look-up in the index for each."""
    firsts = [connection.execute(_FIRST, (credential, _WHENEVER)).fetchone() for credential in credentials]
    return min((first["next_at"] for first in firsts if first), default=None)

"""What came of a lease: into the books, and the lease is over."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial

from smtprelay.message import Message
from smtprelay.spool.sqlite import rows, storing, suppressing
from smtprelay.spool.sqlite.damage import pass_over
from smtprelay.spool.sqlite.leasing import lost, sending, take_at_once
from smtprelay.spool.sqlite.selection import PASSES
from smtprelay.spool.sqlite.writer import Writer
from smtprelay.spool.values import ENDED, OUTCOMES, Lease, LeaseLost, Result, SpoolDamaged, State, Suppression


def finish(
    connection: sqlite3.Connection,
    token: str,
    now: int,
    results: Sequence[Result],
    new: Sequence[Message],
    suppress: Sequence[Suppression] = (),
) -> None:
    message_id, numbers = _end_lease(connection, token, now, results, new)
    _end_attempts(connection, message_id, numbers, now, results)
    storing.end_where_done(connection, message_id, now)
    if suppress:
        suppressing.enter(connection, suppress)


async def finish_in_parts(
    writer: Writer, lease: Lease, now: int, results: Sequence[Result], new: Sequence[Message]
) -> None:
    """The same where the file is damaged, without those to suppress: all of it; or else what became of the recipients,
    with the DSNs about it, and beside that what else can be written.

    :raises SpoolDamaged: not even that; the message is passed over until the next start.
    """
    with contextlib.suppress(SpoolDamaged):
        await writer.run(partial(finish, token=lease.token, now=now, results=results, new=new))
        return
    end = partial(_end_lease, token=lease.token, now=now, results=results, new=new)
    try:
        message_id, numbers = await writer.run(end)
    except SpoolDamaged:
        await writer.run(partial(pass_over, message_id=lease.message.id, token=lease.token))
        raise
    attempts = partial(_end_attempts, message_id=message_id, numbers=numbers, now=now, results=results)
    for part in (attempts, partial(storing.end_where_done, message_id=message_id, now=now)):
        with contextlib.suppress(SpoolDamaged):
            await writer.run(part)


def end_held(
    connection: sqlite3.Connection, message_id: str, now: int, results: Sequence[Result], new: Sequence[Message]
) -> None:
    reasons = f"state = 'held' AND reason IN {PASSES}"
    token, taken = take_at_once(connection, message_id, now, [result.recipient for result in results], reasons)
    if len(taken) != len(results):
        raise LeaseLost(f"Some recipients of {message_id} are not held any more.")
    finish(connection, token, now, results, new)


def _end_lease(
    connection: sqlite3.Connection, token: str, now: int, results: Sequence[Result], new: Sequence[Message]
) -> tuple[str, dict[int, int]]:
    """:returns: the id of its message, and the numbers of its attempts by those of its recipients."""
    ended = connection.execute("DELETE FROM leases WHERE token = ? RETURNING message", (token,)).fetchall()
    if not ended:
        raise lost(token)
    message_id: str = ended[0]["message"]
    leased = sending(connection, token)
    if len(results) != len(leased) or leased.keys() != {result.recipient for result in results}:
        raise ValueError(f"a lease of {message_id} ends with one result for each of its recipients")
    for result in results:
        _end_recipient(connection, message_id, leased[result.recipient], now, result)
    storing.insert(connection, new)
    return message_id, {n: row["attempts"] for n, row in leased.items()}


def _end_recipient(connection: sqlite3.Connection, message_id: str, row: sqlite3.Row, now: int, result: Result) -> None:
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


def _end_attempts(
    connection: sqlite3.Connection, message_id: str, numbers: Mapping[int, int], now: int, results: Sequence[Result]
) -> None:
    connection.executemany(
        """
        UPDATE attempts SET ended_at = ?, outcome = ?, phase = ?, reply = ?, ambiguous = ?, smarthost = ?
        WHERE message = ? AND n = ? AND number = ?
        """,
        [
            (
                now,
                OUTCOMES[result.state],
                result.phase,
                rows.for_people(result.reply),
                result.ambiguous,
                result.smarthost,
                message_id,
                result.recipient,
                numbers[result.recipient],
            )
            for result in results
        ],
    )


def _after_wish(result: Result, wish: str, wish_reason: str) -> tuple[State, str]:
    """The state that a result leads to, where an operator asked for another one meanwhile: ends stay ends."""
    if wish == State.CANCELLED and result.state not in ENDED:
        return State.CANCELLED, ""
    if wish == State.HELD and result.state is State.QUEUED:
        return State.HELD, wish_reason
    return result.state, result.reason

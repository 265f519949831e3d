"""Messages that are damaged: out of the way of the others, and told of.

SQLite writes nothing more in a transaction that came to a broken page, and undoes it. So whoever comes upon such a
message ends his transaction by `DamagedMessage`; it is put out of the way in others, and he tries again.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.sqlite.writer import Writer
from smtprelay.spool.values import SpoolDamaged

_log = logging.getLogger(__name__)
T = TypeVar("T")

_NEVER = 2**63 - 1


class DamagedMessage(Exception):
    """A message that is in the way, for its cause; nothing was written.

    :param token: of its lease; ``""`` where it is queued.
    :param readable: it is sound itself, but nothing can be written where it stands.
    """

    def __init__(self, message_id: str, token: str = "", *, readable: bool = False) -> None:
        super().__init__(message_id)
        self.message_id = message_id
        self.token = token
        self.readable = readable


@contextmanager
def of_message(message_id: str, token: str = "", *, readable: bool = False) -> Iterator[None]:
    """What is found damaged here is damage of this message; see `DamagedMessage`."""
    try:
        yield
    except Exception as error:
        if not is_damage(error):
            raise
        raise DamagedMessage(message_id, token, readable=readable) from error


def around_damage(read: Callable[[Sequence[str]], T], ids: Sequence[str]) -> tuple[list[T], int]:
    """What is read of messages: of all together, or where that comes to something damaged, of either half.

    :returns: the parts, and how many messages cannot be read; the log names them.
    """
    try:
        return [read(ids)], 0
    except Exception as error:
        if not is_damage(error):
            raise
        if len(ids) == 1:
            _log.error("message %s is damaged in the spool and not counted: %s", ids[0], error)
            return [], 1
    half = len(ids) // 2
    (first, lost), (second, lost_too) = around_damage(read, ids[:half]), around_damage(read, ids[half:])
    return first + second, lost + lost_too


async def put_aside(writer: Writer, damaged: DamagedMessage, now: int) -> None:
    """Hold a message that cannot be read: it stays for a person to look at, and lets the others pass. Where nothing can
    be written, it is passed over until the next start."""
    if not damaged.readable and await _held(writer, damaged, now):
        words = "was set aside (held, reason: corrupt)"
    else:
        await writer.run(partial(pass_over, message_id=damaged.message_id, token=damaged.token))
        words = "cannot be written to: it is passed over until the next start"
    _log.error("message %s is damaged in the spool and %s: %s", damaged.message_id, words, damaged.__cause__)


async def _held(writer: Writer, damaged: DamagedMessage, now: int) -> bool:
    try:
        held = await writer.run(partial(_hold, message_id=damaged.message_id, token=damaged.token, now=now))
    except SpoolDamaged:
        return False
    return held > 0


def _hold(connection: sqlite3.Connection, message_id: str, token: str, now: int) -> int:
    """:returns: how many recipients. :raises SpoolDamaged: it cannot be written."""
    values = {"now": now, "message": message_id, "token": token}
    try:
        connection.execute(
            """
            UPDATE attempts SET ended_at = :now, outcome = 'held', phase = 'unknown', ambiguous = 1
            WHERE message = :message AND outcome = 'open' AND n IN (
                SELECT n FROM recipients WHERE message = :message AND state = 'sending' AND lease = :token
            )
            """,
            values,
        )
        held = connection.execute(
            """
            UPDATE recipients
            SET state = 'held', reason = 'corrupt', lease = '', wish = '', held_since = :now, updated_at = :now
            WHERE message = :message AND (state = 'queued' OR state = 'sending' AND lease = :token)
            """,
            values,
        ).rowcount
        connection.execute("DELETE FROM leases WHERE token = ?", (token,))
    except sqlite3.DatabaseError as error:
        # What is of another type than its column, SQLite does not write again.
        if not (is_damage(error) or isinstance(error, sqlite3.IntegrityError)):
            raise
        raise SpoolDamaged(str(error)) from error  # all else can be written
    return held


def pass_over(connection: sqlite3.Connection, message_id: str, token: str) -> None:
    """Until the next start. Its lease stays: without one, what is being sent would be so for ever."""
    connection.execute("INSERT OR IGNORE INTO damaged VALUES (?)", (message_id,))
    connection.execute("UPDATE leases SET until = ? WHERE token = ?", (_NEVER, token))

"""What people ask the spool. Each function is one read of one snapshot."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from smtprelay.message import first_id, share_of_key
from smtprelay.spool.sqlite.damage import around_damage
from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.sqlite.records import record_of
from smtprelay.spool.sqlite.selection import Where, where
from smtprelay.spool.values import ENDED, MessageRecord, Selector, State, Stats, Waiting

LOOKED_THROUGH = 10_000  # messages whose app may want them later: some 20 ms
# In the words of the index, so that SQLite recognises it.
_ENDED = "(" + " OR ".join(f"state = '{state}'" for state in State if state in ENDED) + ")"

_AMONG = "id IN (SELECT value FROM json_each(?))"
_ACCEPTED = "SELECT CASE account WHEN '' THEN client ELSE account END AS origin, sum(recipients) FROM messages"
_SIGNED = """
    SELECT count(*) FROM messages
    WHERE ended_at = 0 AND domain = ? AND (selectors = '' OR instr(' ' || selectors || ' ', ' ' || ? || ' ') > 0)
"""


def is_any(connection: sqlite3.Connection) -> bool:
    """Whether there is a message."""
    return connection.execute("SELECT 1 FROM messages LIMIT 1").fetchone() is not None


def states(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Counter[State]]:
    parts, _ = around_damage(partial(_states, connection), ids)
    return {message_id: found for part in parts for message_id, found in part.items()}


def _states(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Counter[State]]:
    counts = connection.execute(
        """
        SELECT message, state, count(*) AS recipients FROM recipients
        WHERE message IN (SELECT value FROM json_each(?)) GROUP BY message, state
        """,
        (json.dumps(ids),),
    )
    found: dict[str, Counter[State]] = {}
    for row in counts:
        found.setdefault(row["message"], Counter())[State(row["state"])] = row["recipients"]
    return found


def search(connection: sqlite3.Connection, selector: Selector, limit: int, before: str) -> list[MessageRecord]:
    chosen = where(selector)
    older = Where(("r.message < ?",), (before,)) if before else Where(())
    try:
        found = _ids(connection, chosen & older, limit)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        found = list(islice(_ids_around_damage(connection, selector, before), limit))
    return [record_of(connection, message_id, chosen) for message_id in found]


def _ids(connection: sqlite3.Connection, chosen: Where, limit: int) -> list[str]:
    statement = f"""
        SELECT DISTINCT r.message FROM recipients AS r JOIN messages AS m ON m.id = r.message
        WHERE {chosen} ORDER BY r.message DESC LIMIT ?
    """  # noqa: S608 - our own words; what comes from outside is bound
    return [row["message"] for row in connection.execute(statement, (*chosen.values, limit))]


def _ids_around_damage(connection: sqlite3.Connection, selector: Selector, before: str) -> Iterator[str]:
    """Message by message: which ones there are, an index alone tells. What cannot be read is among them only where
    nothing is asked of it."""
    chosen, waits = where(selector), selector.state and selector.state not in ENDED
    messages = connection.execute(
        f"""
        SELECT id FROM messages INDEXED BY messages_by_end
        WHERE {"ended_at = 0" if waits else "ended_at >= 0"} AND (id < :before OR :before = '') ORDER BY +id DESC
        """,  # noqa: S608 - our own words
        {"before": before},
    )
    for row in messages:
        try:
            fits = _ids(connection, chosen & Where(("m.id = ?",), (row["id"],)), 1)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            fits = [] if chosen.terms else [row["id"]]
        yield from fits


def show(connection: sqlite3.Connection, message_id: str) -> MessageRecord | None:
    try:
        if not connection.execute("SELECT 1 FROM messages WHERE id = ?", (message_id,)).fetchone():
            return None
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    return record_of(connection, message_id, with_attempts=True)


def with_key(connection: sqlite3.Connection, sender: str, idempotency_key: str) -> list[str]:
    first = share_of_key(idempotency_key, "")
    found = connection.execute(
        """
        SELECT id FROM messages WHERE sender = :sender AND idempotency_key = :key AND idempotency_key <> ''
        UNION SELECT id FROM messages
        WHERE sender = :sender AND idempotency_key >= :first AND idempotency_key < :beyond AND idempotency_key <> ''
        ORDER BY id
        """,  # <> '' has SQLite see that the index serves
        {"sender": sender, "key": idempotency_key, "first": first, "beyond": first[:-1] + chr(ord(first[-1]) + 1)},
    )
    return [row["id"] for row in found]


def accepted_since(connection: sqlite3.Connection, since: int) -> dict[str, int]:
    def accepted(ids: Sequence[str]) -> dict[str, int]:
        return dict(connection.execute(f"{_ACCEPTED} WHERE {_AMONG} GROUP BY origin", (json.dumps(ids),)).fetchall())

    first = first_id(since)
    try:
        return dict(connection.execute(f"{_ACCEPTED} WHERE id >= ? GROUP BY origin", (first,)).fetchall())
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    total = Counter[str]()
    for part in around_damage(accepted, _ids_by_index(connection, "ended_at >= 0 AND id >= ?", first))[0]:
        total.update(part)
    return dict(total)


def signed_with(connection: sqlite3.Connection, domain: str, selector: str) -> int:
    """What cannot be read may be signed with it."""

    def signed(ids: Sequence[str]) -> int:
        found = connection.execute(f"{_SIGNED} AND {_AMONG}", (domain, selector, json.dumps(ids)))
        return int(found.fetchone()[0])

    try:
        return int(connection.execute(_SIGNED, (domain, selector)).fetchone()[0])
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    parts, unreadable = around_damage(signed, _ids_by_index(connection, "ended_at = 0"))
    return sum(parts) + unreadable


def _ids_by_index(connection: sqlite3.Connection, which: str, *values: str) -> list[str]:
    """Messages, read from an index alone: it tells of those that are damaged, too."""
    statement = f"SELECT id FROM messages INDEXED BY messages_by_end WHERE {which}"  # noqa: S608 - our own words
    return [row["id"] for row in connection.execute(statement, values)]


def stats(connection: sqlite3.Connection, size: int, free: int) -> Stats:
    """The recipients are counted along the indices: some 100 ms for a million.

    :param size: bytes of the spool on disk.
    :param free: bytes free on its disk.
    """

    def count(query: str) -> dict[str, int]:
        return dict(connection.execute(query).fetchall())

    queued = count("SELECT credential, count(*) FROM recipients WHERE state = 'queued' GROUP BY credential")
    sending = count("SELECT state, count(*) FROM recipients WHERE state = 'sending' GROUP BY state")
    held = count("SELECT reason, count(*) FROM recipients WHERE state = 'held' GROUP BY reason")
    ended = count(f"SELECT state, count(*) FROM recipients WHERE {_ENDED} GROUP BY state")  # noqa: S608
    states = {State(state): number for state, number in (sending | ended).items()}
    states |= {State.QUEUED: sum(queued.values()), State.HELD: sum(held.values())}
    oldest = connection.execute("SELECT received_at FROM messages WHERE ended_at = 0 ORDER BY id LIMIT 1").fetchone()
    return Stats(
        recipients=dict.fromkeys(State, 0) | states,
        oldest=oldest["received_at"] if oldest else 0,
        credentials=queued,
        bytes=size,
        free=free,
        held=held,
    )


def waiting(connection: sqlite3.Connection, now: int, size: int) -> Waiting:
    """Along the indices of what waits, each as long as that.

    :param size: bytes of the spool on disk.
    """

    def groups(query: str) -> dict[str, tuple[int, str]]:
        return {key: (number, first) for key, number, first in connection.execute(query)}

    queued = groups(
        "SELECT credential, count(*), min(message) FROM recipients WHERE state = 'queued' GROUP BY credential"
    )
    held = groups("SELECT reason, count(*), min(message) FROM recipients WHERE state = 'held' GROUP BY reason")
    sending = groups("SELECT state, count(*), min(message) FROM recipients WHERE state = 'sending' GROUP BY state")
    by_state = {State.QUEUED: queued, State.SENDING: sending, State.HELD: held}
    oldest = {
        state: _due(connection, min(first for _, first in found.values())) for state, found in by_state.items() if found
    }
    if oldest.get(State.QUEUED, 0) > now:  # its app wants it later, and others may be late
        oldest[State.QUEUED] = _oldest_due(connection, now)
    return Waiting(
        recipients={state: sum(number for number, _ in found.values()) for state, found in by_state.items()},
        oldest={state: at for state, at in oldest.items() if 0 < at <= now},
        credentials={credential: number for credential, (number, _) in queued.items()},
        held={reason: number for reason, (number, _) in held.items()},
        bytes=size,
        damaged=int(connection.execute("SELECT count(*) FROM damaged").fetchone()[0]),
    )


def going(connection: sqlite3.Connection, by: int) -> dict[str, int]:
    queued = "SELECT credential, count(*) FROM recipients WHERE state = 'queued' AND next_at <= ? GROUP BY credential"
    sending = "SELECT credential, count(*) FROM recipients WHERE state = 'sending' GROUP BY credential"
    counts = Counter[str](dict(connection.execute(queued, (by,)).fetchall()))
    counts.update(dict(connection.execute(sending).fetchall()))
    return dict(counts)


def _due(connection: sqlite3.Connection, message_id: str) -> int:
    """When a message is due; 0 where that cannot be read."""
    return _first_of(connection, "SELECT due_at FROM messages WHERE id = ?", (message_id,))


def _oldest_due(connection: sqlite3.Connection, now: int) -> int:
    """Of the messages that wait longest, when the first was due that is queued; 0 for none."""
    return _first_of(
        connection,
        """
        SELECT due_at FROM (SELECT id, due_at FROM messages WHERE ended_at = 0 ORDER BY id LIMIT ?) AS m
        WHERE due_at <= ? AND EXISTS (SELECT 1 FROM recipients WHERE message = m.id AND state = 'queued') LIMIT 1
        """,
        (LOOKED_THROUGH, now),
    )


def _first_of(connection: sqlite3.Connection, statement: str, values: Sequence[str | int]) -> int:
    """The number that a statement finds; 0 for none, and where damage is in its way: what waits is counted all the
    same."""
    try:
        row = connection.execute(statement, values).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return 0
    return int(row[0]) if row else 0


def recall(connection: sqlite3.Connection, prefix: str) -> dict[str, str]:
    return dict(
        connection.execute(
            "SELECT key, value FROM facts WHERE key >= :prefix AND substr(key, 1, length(:prefix)) = :prefix",
            {"prefix": prefix},
        ).fetchall()
    )

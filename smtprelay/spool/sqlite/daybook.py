"""What was handed over in a span of time: read page by page, as a day may have a million recipients."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from functools import partial

from smtprelay.spool.sqlite.damage import around_damage
from smtprelay.spool.sqlite.readers import Readers
from smtprelay.spool.values import HandedOver

PAGE = 2000  # messages that one read looks up: some 20 ms

Key = tuple[int, str]  # when a message ended, and its id

_WAITING = "SELECT ended_at, id FROM messages WHERE ended_at = ? AND id > ? ORDER BY id LIMIT ?"
_ENDED = "SELECT ended_at, id FROM messages WHERE (ended_at, id) > (?, ?) ORDER BY ended_at, id LIMIT ?"
_TAKEN = """
    SELECT credential, count(*) FROM recipients
    WHERE message IN (SELECT value FROM json_each(?)) AND state = 'delivered' AND updated_at >= ? AND updated_at < ?
    GROUP BY credential
"""
_AMBIGUOUS = """
    SELECT credential, count(*) FROM attempts JOIN recipients USING (message, n)
    WHERE message IN (SELECT value FROM json_each(?)) AND ambiguous AND ended_at >= ? AND ended_at < ?
    GROUP BY credential
"""


async def handed_over(readers: Readers, since: int, until: int) -> dict[str, HandedOver]:
    """See `Spool.handed_over`."""
    taken, ambiguous = Counter[str](), Counter[str]()
    # A message that waits may have been taken for some recipients, and one that was taken whole has ended since.
    for messages, first in ((_WAITING, (0, "")), (_ENDED, (since, ""))):
        after: Key | None = first
        while after:
            page = partial(_count, messages=messages, after=after, since=since, until=until)
            after = await readers.run(partial(page, taken=taken, ambiguous=ambiguous))
    return {name: HandedOver(taken[name], ambiguous[name]) for name in taken | ambiguous}


def _count(
    connection: sqlite3.Connection,
    messages: str,
    after: Key,
    since: int,
    until: int,
    taken: Counter[str],
    ambiguous: Counter[str],
) -> Key | None:
    """:returns: where the next page begins; None where there is none."""
    page = connection.execute(messages, (*after, PAGE)).fetchall()
    ids = [row["id"] for row in page]
    for counter, question in ((taken, _TAKEN), (ambiguous, _AMBIGUOUS)):
        for counts in around_damage(partial(_counts, connection, question, since, until), ids)[0]:
            counter.update(counts)
    return tuple(page[-1]) if len(page) == PAGE else None


def _counts(
    connection: sqlite3.Connection, question: str, since: int, until: int, ids: Sequence[str]
) -> dict[str, int]:
    return dict(connection.execute(question, (json.dumps(ids), since, until)).fetchall())

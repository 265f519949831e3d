"""`Spool.find`: candidates by the cheapest way there is, newest first, each compared with the message itself.

There are three ways: a state that few are in; the index of words; and all messages, one after the other, where there is
no index yet. What takes longer than it may goes on from where it was cut.

Whatever is many comes as one row, a JSON array: after each row this thread would have to get the GIL back from the
loop, which costs mail more than the search itself.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from smtprelay.spool.matching import Lookup, Wanted
from smtprelay.spool.sqlite import index, index_file
from smtprelay.spool.sqlite.errors import explain, is_damage
from smtprelay.spool.sqlite.file import open_for_reading
from smtprelay.spool.sqlite.indexer import Covered, Indexer
from smtprelay.spool.sqlite.records import records_of
from smtprelay.spool.values import ENDED, Found, MessageRecord, Query, SpoolError, State

log = structlog.get_logger("search")

BUDGET = 0.2  # seconds of one search
FEW = 2000  # recipients in a state: so many are looked at one by one
RARE = 50  # messages of a segment: so many are looked at, whatever else has to match
PAGE = 500  # candidates of one read
GROUP = 20  # messages that are compared at once …
CROWD = 500  # … with so many recipients together at most, or one with more
MOST_LOOKUPS = 16

# An index alone tells which messages there are: it is slow, as it is not in their order, and reads no page of theirs.
_AROUND_DAMAGE = """
    SELECT json_group_array(id) FROM (
        SELECT id FROM messages INDEXED BY messages_by_end
        WHERE ended_at >= 0 AND id < ? AND id >= ? ORDER BY +id DESC LIMIT ?
    )
"""

Page = tuple[Sequence[str], str]  # candidates, the newest first, and the id down to which there are no others


class Finder:
    """Searches, one at a time, in a thread of its own: deliveries never wait for one."""

    def __init__(self, spool: Path, indexer: Indexer) -> None:
        self._spool = spool
        self._indexer = indexer
        self._connection: sqlite3.Connection | None = None
        self._generation = 0  # of the index that is attached; 0: none
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="spool-finder")
        self._closed = False

    async def find(self, query: Query, limit: int, before: str) -> Found:
        """:raises SpoolError: what SQLite said, in our words."""
        if self._closed:
            raise SpoolError("The spool is closed.")
        deadline = time.monotonic() + BUDGET
        self._indexer.begin(at_once=True)
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._find, Wanted(query), limit, before, deadline
        )

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        if self._connection:
            self._connection.close()

    def _find(self, wanted: Wanted, limit: int, before: str, deadline: float) -> Found:
        connection = self._connection = self._connection or open_for_reading(self._spool)
        if covered := self._attached(connection):
            try:
                return _in_one_snapshot(Search(connection, wanted, covered), limit, before, deadline)
            except sqlite3.DatabaseError as error:
                log.error("the search index cannot be used: this search goes without", reason=str(error))
                if is_damage(error):
                    self._indexer.distrust()
        try:
            return _in_one_snapshot(Search(connection, wanted, None), limit, before, deadline)
        except sqlite3.Error as error:
            raise explain(error, self._spool) from error

    def _attached(self, connection: sqlite3.Connection) -> Covered | None:
        """What is covered by the index that is attached; it is, where there is one."""
        covered = self._indexer.covered()
        if covered is None or covered.generation == self._generation:
            return covered
        with suppress(sqlite3.Error):
            if self._generation:
                self._generation = 0
                connection.execute("DETACH words")
            index_file.attach(connection, index_file.path_of(self._spool), "words")
            self._generation = covered.generation
        still = self._indexer.covered()  # or was the file removed meanwhile?
        return still if still and still.generation == self._generation else None


def _in_one_snapshot(search: Search, limit: int, before: str, deadline: float) -> Found:
    search.connection.execute("BEGIN")
    try:
        return search.run(limit, before, deadline)
    finally:
        if search.connection.in_transaction:  # not after an I/O error
            search.connection.execute("ROLLBACK")


class Search:
    """One search.

    :param connection: to the spool; where `covered` is given, with the index attached as ``words``.
    :param covered: `Indexer.covered`.
    """

    def __init__(self, connection: sqlite3.Connection, wanted: Wanted, covered: Covered | None) -> None:
        self.connection = connection
        self._wanted = wanted
        self._state = wanted.state
        self._covered = covered
        # Long words are rare ones.
        self._lookups = sorted(wanted.lookups(), key=lambda lookup: -len(lookup.word))[:MOST_LOOKUPS]
        self._ranked = False
        self._state_parts = False  # most of what has the words is in another state

    def run(self, limit: int, before: str, deadline: float) -> Found:
        """:param deadline: monotonic; when it is over, what was found is all."""
        low = self._wanted.oldest
        high = min(before or index_file.BEYOND, self._wanted.beyond or index_file.BEYOND)
        found: list[MessageRecord] = []
        for ids, reached in self._pages(low, high, limit):
            for group in _groups(self._kept(ids)):
                for record in records_of(self.connection, group):
                    if self._wanted.fits(record):
                        if len(found) == limit:
                            return Found(tuple(found), found[-1].message.id)
                        found.append(record)
                    if time.monotonic() > deadline:
                        return Found(tuple(found), record.message.id)
            if time.monotonic() > deadline and reached > low:
                return Found(tuple(found), reached)
        return Found(tuple(found))

    def _pages(self, low: str, high: str, limit: int) -> Iterator[Page]:
        if self._state and (few := self._few_in_state(self._state)) is not None:
            yield [message_id for message_id in few if low <= message_id < high], low
        elif self._covered is None or not self._lookups:
            yield from self._one_after_the_other(low, high)
        else:
            floor, ceiling = self._covered.floor, self._covered.ceiling
            yield from self._one_after_the_other(max(low, ceiling), high)
            yield from self._by_words(max(low, floor), min(high, ceiling), limit)
            yield from self._one_after_the_other(low, min(high, floor))

    def _few_in_state(self, state: State) -> list[str] | None:
        """All messages in a state, where they are few."""
        messages = self._list(
            f"SELECT json_group_array(message) FROM (SELECT message FROM recipients WHERE state = '{state}' LIMIT ?)",  # noqa: S608
            FEW + 1,
        )
        return list(dict.fromkeys(messages)) if len(messages) <= FEW else None

    def _one_after_the_other(self, low: str, high: str) -> Iterator[Page]:
        statement = f"SELECT json_group_array(id) FROM ({_ids_in(self._state)} ORDER BY id DESC LIMIT ?)"  # noqa: S608
        full = low < high
        while full:
            try:
                ids = self._list(statement, high, low, PAGE)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                ids = self._list(_AROUND_DAMAGE, high, low, PAGE)
            full = len(ids) == PAGE
            high = ids[-1] if full else low
            yield ids, high

    def _by_words(self, low: str, high: str, limit: int) -> Iterator[Page]:
        segments = self._list("SELECT json_group_array(json_array(first, n)) FROM words.segments")
        beyond = high
        for begin, segment in segments:
            first = max(begin, low)
            if first < beyond:
                yield from self._in_segment(segment, first, beyond, limit)
            beyond = min(beyond, begin)
            if beyond <= low:
                return

    def _in_segment(self, segment: int, low: str, high: str, limit: int) -> Iterator[Page]:
        match = self._expression(segment)
        size = 2 * limit  # few words deceive
        full = bool(match)
        while full:
            ids = self._hits(segment, match, low, high, size)
            full = len(ids) == size
            high = ids[-1] if full else low
            yield ids, high
            size *= 10
        yield (), low

    def _hits(self, segment: int, match: str, low: str, high: str, size: int) -> list[str]:
        in_state, values = "", [match, high, low]
        if self._state and self._state_parts:
            # With the plus, FTS5 is not asked again for each of them.
            in_state = f"""
                AND +w.rowid IN (SELECT n FROM words.ids_{segment} WHERE id IN ({_ids_in(self._state)}))
            """  # noqa: S608
            values += [high, low]
        return self._list(
            f"""
            SELECT json_group_array(id) FROM (
                SELECT i.id FROM words.words_{segment} AS w CROSS JOIN words.ids_{segment} AS i ON i.n = w.rowid
                WHERE words_{segment} MATCH ? AND i.id < ? AND i.id >= ? {in_state} ORDER BY i.id DESC LIMIT ?
            )
            """,  # noqa: S608 - a number of ours
            *values,
            size,
        )

    def _expression(self, segment: int) -> str:
        """What to ask a segment for: the rarest word, where it is in few messages, or all; ``""`` where there is none.

        A frequent word costs what its list is long, and so may be asked for only where that helps. Which one is the
        rarest shows in the first segment.
        """
        count = self._count(segment, self._lookups[0], RARE + 1)
        if count > RARE and not self._ranked:
            counts = {lookup: self._count(segment, lookup, index.SEGMENT) for lookup in self._lookups}
            self._lookups.sort(key=lambda lookup: counts[lookup])
            self._ranked = True
            count = counts[self._lookups[0]]
        if not count:
            return ""
        return index.expression(self._lookups[:1] if count <= RARE else self._lookups)

    def _count(self, segment: int, lookup: Lookup, most: int) -> int:
        found = self.connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM words.words_{segment} WHERE words_{segment} MATCH ? LIMIT ?)",  # noqa: S608
            (index.expression([lookup]), most),
        )
        return int(found.fetchone()[0])

    def _kept(self, ids: Sequence[str]) -> list[tuple[str, int]]:
        """Those that are still in the spool, with a recipient in the state that is asked for; and how many recipients
        each has."""
        if not ids:
            return []
        in_state = "true"
        if self._state:
            in_state = f"EXISTS (SELECT 1 FROM recipients WHERE message = m.id AND state = '{self._state}')"  # noqa: S608
        statement = f"""
            SELECT json_group_array(json_array(m.id, coalesce(m.recipients, 1)))
            FROM json_each(?) CROSS JOIN messages AS m ON m.id = value WHERE {in_state}
        """  # noqa: S608 - our own words
        try:
            kept = self._list(statement, json.dumps(ids))
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            kept = [one for message_id in ids for one in self._kept_of(statement, message_id)]
        self._state_parts = self._state_parts or len(kept) * 10 < len(ids)
        return kept

    def _kept_of(self, statement: str, message_id: str) -> list[tuple[str, int]]:
        """One that is damaged is kept where no state is asked for, which nobody can tell."""
        try:
            return self._list(statement, json.dumps([message_id]))
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return [] if self._state else [(message_id, 1)]

    def _list(self, statement: str, *values: str | int) -> list[Any]:
        """The JSON array that a statement makes, the greatest first."""
        (array,) = self.connection.execute(statement, values).fetchone()
        return sorted(json.loads(array), reverse=True)


def _groups(messages: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Messages that are read at once.

    :param messages: each with the number of its recipients.
    """
    group: list[str] = []
    crowd = 0
    for message_id, recipients in messages:
        if group and (len(group) == GROUP or crowd + recipients > CROWD):
            yield group
            group, crowd = [], 0
        group.append(message_id)
        crowd += recipients
    if group:
        yield group


def _ids_in(state: State | None) -> str:
    """A query for the messages below an id and from another on; with a state, along the index that lists those in it,
    or all that wait."""
    if state is None:
        return "SELECT id FROM messages WHERE id < ? AND id >= ?"
    if state in ENDED or state is State.HELD:
        return f"SELECT DISTINCT message AS id FROM recipients WHERE state = '{state}' AND message < ? AND message >= ?"  # noqa: S608
    return "SELECT id FROM messages WHERE ended_at = 0 AND id < ? AND id >= ?"

"""The index of words, for `Spool.find`: a file of its own beside the spool, made from the spool and made anew where it
is lost or damaged. It need not be backed up.

It is in segments of some thousand messages, each a table of FTS5 to which rows are only added. So what is found comes
newest first, lists of places stay short, and what is old goes by dropping a table. What has gone from the spool is
still named: who reads looks into the spool.

From `Index.floor` on, every message is in the index, but for those that were committed after the last transaction here.
Each function of `Index` is one transaction of the thread that writes.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from smtprelay.message import first_id, time_of
from smtprelay.spool.matching import Lookup, words_of
from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.sqlite.index_file import BEYOND
from smtprelay.spool.values import SpoolDamaged

SEGMENT = 20_000  # messages
LATE = 3_600_000  # milliseconds that a message may be committed after its id was made

_PUNCTUATION = "".join(chr(c) for c in range(0x21, 0x7F) if not chr(c).isalnum() and chr(c) not in "\"'")
# A batch is one row, and goes in by one statement: after each step of one, this thread would have to get the GIL back
# from the loop, which costs mail more than the work itself.
_READ = """
    SELECT json_group_array(json_array(m.id, m.reverse_path, m.subject, m.message_id, json(m.tags), m.sender, (
        SELECT json_group_array(address) FROM spool.recipients WHERE message = m.id
    )))
    FROM json_each(?) CROSS JOIN spool.messages AS m ON m.id = value
"""
_OLDER = "SELECT id FROM spool.messages WHERE id < ? ORDER BY id DESC LIMIT ?"
# An index alone tells which messages there are: it is slow, as it is not in their order, and reads no page of theirs.
_OLDER_AROUND_DAMAGE = """
    SELECT id FROM spool.messages INDEXED BY messages_by_end
    WHERE ended_at >= 0 AND id < ? ORDER BY +id DESC LIMIT ?
"""


@dataclass(slots=True)
class Segment:
    """A part of the index.

    :param first: no id in it is smaller.
    :param messages: how many there are in it.
    """

    n: int
    first: str
    messages: int


def _words(row: Sequence[Any]) -> set[str]:
    """:raises SpoolDamaged: what was found is not what was written."""
    match row:
        case [message_id, reverse_path, subject, header_id, [*tags], sender, [*recipients]] if all(
            isinstance(text, str) for text in (message_id, reverse_path, subject, header_id, *tags, sender, *recipients)
        ):
            return words_of(
                texts=(message_id, subject, header_id),
                addresses=(reverse_path, *recipients),
                tags=tags,
                account=sender,
            )
    raise SpoolDamaged("a message holds something else than was written")


def _unquoted(text: str) -> str:
    """What FTS5's syntax needs; `str.translate` takes a hundred times as long."""
    return text.replace('"', "`").replace("'", "`")


def expression(lookups: Sequence[Lookup]) -> str:
    """What FTS5 is asked for: all of them."""
    return " AND ".join(f'"{_unquoted(one.word)}"{" *" * one.beginning}' for one in lookups)


class Index:
    """What is written to the index.

    :ivar floor: from this id on, every message is in it; `BEYOND` at first, ``""`` once it is complete.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        facts = dict(connection.execute("SELECT key, value FROM facts").fetchall())
        self._segments = [Segment(*row) for row in connection.execute("SELECT * FROM segments ORDER BY first")]
        self.floor = facts.get("floor", BEYOND) if self._segments else BEYOND
        recent = facts.get("recent")  # the smallest id of the last batch
        self._settled = max(self.floor, first_id(time_of(recent) - LATE)) if recent else self.floor
        self._newest = self._greatest(self._segments[-1]) if self._segments else ""

    def add(self, ids: Sequence[str]) -> None:
        """What was put into the spool lately, the smallest ids first. What is below the floor is left to `grow`."""
        documents = list(self._read(sorted(message_id for message_id in ids if message_id >= self.floor)))
        with self._transaction():
            self._insert(documents)
            if ids:
                self._remember("recent", min(ids))

    def grow(self, count: int) -> bool:
        """Lower the floor by so many messages. :returns: whether there may be more."""
        ids = self._older(count)
        documents = list(self._read(ids))
        with self._transaction():
            self._insert(documents)
            if self.floor == BEYOND and ids:
                self._remember("recent", ids[-1])
            self.floor = ids[0] if len(ids) == count else ""
            self._remember("floor", self.floor)
        return self.floor != ""

    def _older(self, count: int) -> list[str]:
        """The next messages below the floor, the smallest ids first."""
        try:
            older = self._connection.execute(_OLDER, (self.floor, count)).fetchall()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            older = self._connection.execute(_OLDER_AROUND_DAMAGE, (self.floor, count)).fetchall()
        return [message_id for (message_id,) in reversed(older)]

    def is_of_this_spool(self) -> bool:
        """Whether it has the first and the last message of each of its segments, as they are in the spool, and nothing
        is missing below: it is not when another spool was put in the place of its own."""
        if not self._segments:
            return True
        below = self._connection.execute(
            "SELECT 1 FROM spool.messages WHERE id >= ? AND id < ? LIMIT 1", (self.floor, self._segments[0].first)
        ).fetchone()
        return not below and all(
            self._has_end(order, segment, min(beyond, self._settled))
            for segment, beyond in self._ranges()
            for order in ("ASC", "DESC")
        )

    def missed(self) -> list[str]:
        """What the last process had put into the spool and did not come to here."""
        found: list[str] = []
        for segment, beyond in self._ranges():
            if beyond > self._settled:
                rows = self._connection.execute(
                    f"SELECT id FROM spool.messages WHERE id >= ? AND id < ? EXCEPT SELECT id FROM ids_{segment.n}",  # noqa: S608
                    (max(self._settled, segment.first), beyond),
                )
                found += [message_id for (message_id,) in rows]
        return found

    def drop_old(self) -> None:
        """Let go of segments of whose messages none is in the spool any more."""
        for segment, beyond in list(self._ranges())[:-1]:
            if self._connection.execute(
                "SELECT 1 FROM spool.messages WHERE id >= ? AND id < ? LIMIT 1", (segment.first, beyond)
            ).fetchone():
                continue
            with self._transaction():
                self._connection.execute(f"DROP TABLE words_{segment.n}")
                self._connection.execute(f"DROP TABLE ids_{segment.n}")
                self._connection.execute("DELETE FROM segments WHERE n = ?", (segment.n,))
                self._segments.remove(segment)
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    def _insert(self, messages: Iterable[tuple[str, set[str]]]) -> None:
        """Messages and their words, in the order of their ids; what is there already is left out."""
        groups: dict[int, tuple[Segment, dict[str, str]]] = {}
        for message_id, words in messages:
            segment = self._segment_for(message_id)
            _, documents = groups.setdefault(segment.n, (segment, {}))
            documents[message_id] = _unquoted(" ".join(words))
            segment.messages += 1
            self._newest = max(self._newest, message_id)
        for segment, documents in groups.values():
            self._insert_into(segment, documents)

    def _insert_into(self, segment: Segment, documents: Mapping[str, str]) -> None:
        last = self._connection.execute(f"SELECT coalesce(max(n), 0) FROM ids_{segment.n}").fetchone()[0]  # noqa: S608
        self._connection.execute(
            f"INSERT OR IGNORE INTO ids_{segment.n} (id) SELECT value FROM json_each(?)",  # noqa: S608 - a number of ours
            (json.dumps(list(documents)),),
        )
        self._connection.execute(
            f"""
            INSERT INTO words_{segment.n} (rowid, words)
            SELECT i.n, given.value FROM json_each(?) AS given CROSS JOIN ids_{segment.n} AS i ON i.id = given.key
            WHERE i.n > ?
            """,  # noqa: S608
            (json.dumps(documents), last),
        )
        segment.messages = self._connection.execute(f"SELECT max(n) FROM ids_{segment.n}").fetchone()[0]  # noqa: S608
        self._connection.execute("REPLACE INTO segments VALUES (?, ?, ?)", (segment.n, segment.first, segment.messages))

    def _read(self, ids: Sequence[str]) -> Iterator[tuple[str, set[str]]]:
        """Messages and their words, but for what has gone from the spool. One that is damaged there is found by its id
        alone. Not within a transaction: in one that came to a broken page, SQLite writes nothing more."""
        try:
            (rows,) = self._connection.execute(_READ, (json.dumps(ids),)).fetchone()
            for row in json.loads(rows):
                yield row[0], _words(row)
        except (sqlite3.DatabaseError, SpoolDamaged) as error:
            if not is_damage(error):
                raise
            if len(ids) > 1:
                for message_id in ids:
                    yield from self._read([message_id])
            else:
                yield ids[0], words_of(texts=ids, addresses=(), tags=(), account="")

    def _segment_for(self, message_id: str) -> Segment:
        place = bisect_right(self._segments, message_id, key=lambda segment: segment.first) - 1
        if place < 0:
            if self._segments and self._segments[0].messages < SEGMENT:
                self._segments[0].first = message_id
                return self._segments[0]
            return self._begin_segment(0, message_id)
        is_last = place == len(self._segments) - 1
        if is_last and message_id > self._newest and self._segments[place].messages >= SEGMENT:
            return self._begin_segment(place + 1, message_id)
        return self._segments[place]

    def _begin_segment(self, place: int, first: str) -> Segment:
        segment = Segment(max((one.n for one in self._segments), default=0) + 1, first, 0)
        self._connection.execute(
            f"CREATE TABLE ids_{segment.n} (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT"
        )
        self._connection.execute(
            f"""
            CREATE VIRTUAL TABLE words_{segment.n} USING fts5(
                words, content = '', detail = none, columnsize = 0, prefix = '1 2',
                tokenize = "ascii tokenchars '{_PUNCTUATION}'"
            )
            """
        )
        self._segments.insert(place, segment)
        return segment

    def _ranges(self) -> Iterator[tuple[Segment, str]]:
        """The segments, each with the id below which its own are."""
        beyond = [segment.first for segment in self._segments[1:]] + [BEYOND]
        return zip(self._segments, beyond, strict=True) if self._segments else iter(())

    def _has_end(self, order: str, segment: Segment, beyond: str) -> bool:
        # Not in one statement: min() and max() within another one look through the whole segment.
        end = self._connection.execute(
            f"SELECT id FROM spool.messages WHERE id >= ? AND id < ? ORDER BY id {order} LIMIT 1",  # noqa: S608
            (max(segment.first, self.floor), beyond),
        ).fetchone()
        has = f"SELECT 1 FROM ids_{segment.n} WHERE id = ?"  # noqa: S608 - a number of ours
        return end is None or self._connection.execute(has, end).fetchone() is not None

    def _greatest(self, segment: Segment) -> str:
        return str(self._connection.execute(f"SELECT max(id) FROM ids_{segment.n}").fetchone()[0] or "")  # noqa: S608

    def _remember(self, key: str, value: str) -> None:
        self._connection.execute("REPLACE INTO facts VALUES (?, ?)", (key, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

"""Addresses that are not to be sent to, and what was told later of those that were."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from smtprelay.spool.sqlite import rows
from smtprelay.spool.sqlite.errors import explain
from smtprelay.spool.sqlite.file import open_for_reading
from smtprelay.spool.sqlite.readers import Readers
from smtprelay.spool.sqlite.writer import Writer
from smtprelay.spool.values import OPERATOR, Fate, Fault, SpoolDamaged, SpoolError, Suppression

_log = logging.getLogger(__name__)
T = TypeVar("T")

# Entries of one transaction: 2 ms with a million there, where each lies on another page of the file; 10 to 20 now and
# then, as such pages are copied from the WAL.
PAGE = 100
SORTED = 10_000  # entries that are put in order before: those that follow each other share such pages
LOOKED_THROUGH = 10_000  # entries that one read searches: some 10 ms, so that other reads come in between
_BUSY = 20  # milliseconds

# A page comes as one statement: after each of many this thread would have to get the GIL back from the loop, and mail
# would wait for it meanwhile.
_ENTER = f"""
    INSERT INTO suppressions (address, cause, since, expires, source, note)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]')
    FROM json_each(?) WHERE true
    ON CONFLICT (address) DO UPDATE SET
        address = excluded.address, cause = excluded.cause, since = excluded.since, expires = excluded.expires,
        source = excluded.source, note = excluded.note, removed_at = 0
    WHERE CASE
        WHEN excluded.cause = '{OPERATOR}' THEN (cause, since, expires, source, note, removed_at)
            IS NOT (excluded.cause, excluded.since, excluded.expires, excluded.source, excluded.note, 0)
        WHEN removed_at > 0 THEN excluded.since > removed_at
        WHEN cause = '{OPERATOR}' THEN (excluded.expires = 0, excluded.expires) > (expires = 0, expires)
        ELSE (excluded.expires = 0, excluded.expires, excluded.since) > (expires = 0, expires, since)
    END
"""  # noqa: S608 - our own words
# What was removed never expires.
_REMOVE = """
    UPDATE suppressions SET removed_at = ?, expires = 0
    WHERE address IN (SELECT value FROM json_each(?)) AND removed_at = 0 AND (expires = 0 OR expires > ?)
"""
_LOOK_UP = "SELECT * FROM suppressions WHERE address = ? AND removed_at = 0 AND (expires = 0 OR expires > ?)"
_LIST = """
    SELECT * FROM (SELECT * FROM suppressions WHERE address > :after ORDER BY address LIMIT :looked_through)
    WHERE removed_at = 0 AND :cause IN ('', cause)
        AND instr(lower(address || ' ' || source || ' ' || note), lower(:text))
    ORDER BY address LIMIT :limit
"""
_LAST_OF_LIST = "SELECT address FROM suppressions WHERE address > ? ORDER BY address LIMIT 1 OFFSET ?"
_DROP_EXPIRED = """
    DELETE FROM suppressions WHERE address IN (
        SELECT address FROM suppressions WHERE expires > 0 AND expires <= ? ORDER BY expires LIMIT ?
    )
"""
_DROP_FATES = """
    DELETE FROM fates WHERE (address, at, cause) IN (
        SELECT address, at, cause FROM fates WHERE at < ? ORDER BY at LIMIT ?
    )
"""
_REPORT = """
    INSERT OR IGNORE INTO fates (address, at, cause, source)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]')
    FROM json_each(?)
"""


class Suppressing:
    """The list of a spool; to be used in the event loop that opened it.

    :ivar fault: `Spool.suppression_fault`.
    """

    def __init__(self, path: Path, writer: Writer, readers: Readers) -> None:
        self.fault: Fault | None = None
        self._path = path
        self._writer = writer
        self._readers = readers
        # Of the loop's own thread: a look-up takes 6 µs with a million entries, 10 after a commit, and it would take
        # some 50 to ask another thread.
        self._connection = open_for_reading(path)
        self._connection.execute(f"PRAGMA busy_timeout = {_BUSY}")
        self._may_have = True

    async def begin(self) -> None:
        """Where nobody is suppressed, nothing is looked up until somebody is."""
        try:
            self._may_have = await self._readers.run(_is_any)
        except SpoolError as error:
            _log.error("the list of suppressed addresses cannot be read: %s", error)

    async def enter(self, entries: Iterable[Suppression]) -> int:
        self._may_have = True
        pages = _pages(entries, by=lambda entry: entry.address)
        return sum([await self._writer.run(partial(enter, entries=page)) for page in pages])

    def expect(self) -> None:
        """Somebody else enters some (`enter`): from now on addresses are looked up."""
        self._may_have = True

    async def enter_beside_damage(self, entries: Sequence[Suppression]) -> None:
        """Enter some that came with a change which was not written, as the file is damaged: be it here or there."""
        try:
            await self.enter(entries)
        except SpoolDamaged as error:
            _log.error("%s cannot be suppressed: %s", ", ".join(entry.address for entry in entries), error)

    async def remove(self, addresses: Iterable[str], now: int) -> int:
        pages = _pages(addresses, by=str)
        return sum([await self._writer.run(partial(_remove, addresses=page, now=now)) for page in pages])

    def look_up(self, address: str, now: int) -> Suppression | None:
        if not self._may_have:
            return None
        try:
            row = self._connection.execute(_LOOK_UP, (address, now)).fetchone()
            return rows.suppression_of(row) if row else None
        except (sqlite3.Error, SpoolDamaged) as error:
            self._failed(address, now, error)
            return None

    async def page(self, after: str, limit: int, cause: str, text: str) -> list[Suppression]:
        search = partial(_page, cause=cause, text=text)
        found: list[Suppression] = []
        through: str | None = after
        while through is not None:
            some, through = await self._readers.run(partial(search, after=through, limit=limit - len(found)))
            found += some
        return found

    async def count(self) -> dict[str, int]:
        return await self._readers.run(_count)

    async def report(self, fates: Iterable[Fate]) -> int:
        pages = _pages(fates, by=lambda fate: fate.address)
        return sum([await self._writer.run(partial(_report, fates=page)) for page in pages])

    async def prune(self, before: int, now: int) -> None:
        """What has expired, and fates from before then."""
        for drop in (partial(_drop_expired, now=now), partial(_drop_fates, before=before)):
            while await self._writer.run(drop) == PAGE:
                pass

    def close(self) -> None:
        self._connection.close()

    def _failed(self, address: str, now: int, error: Exception) -> None:
        explained = explain(error, self._path)
        _log.error("%s cannot be looked up among the suppressed addresses, and is sent to: %s", address, explained)
        self.fault = self.fault or Fault(now, str(explained))


def _pages(entries: Iterable[T], by: Callable[[T], str]) -> Iterator[list[T]]:
    """Each for a transaction of its own: others write in between.

    :param by: the address, which decides where in the file an entry lies.
    """
    rest = iter(entries)
    while some := sorted(islice(rest, SORTED), key=lambda entry: by(entry).lower()):
        yield from (some[i : i + PAGE] for i in range(0, len(some), PAGE))


def enter(connection: sqlite3.Connection, entries: Sequence[Suppression]) -> int:
    values = [[one.address, one.cause, one.since, one.expires, one.source, one.note] for one in entries]
    return connection.execute(_ENTER, (_json(values),)).rowcount


def _remove(connection: sqlite3.Connection, addresses: Sequence[str], now: int) -> int:
    return connection.execute(_REMOVE, (now, _json(addresses), now)).rowcount


def _report(connection: sqlite3.Connection, fates: Sequence[Fate]) -> int:
    values = [[fate.address, fate.at, fate.cause, fate.source] for fate in fates]
    return connection.execute(_REPORT, (_json(values),)).rowcount


def _json(values: Sequence[object]) -> str:
    return rows.for_people(json.dumps(values, ensure_ascii=False))


def _is_any(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM suppressions WHERE removed_at = 0 LIMIT 1").fetchone() is not None


def _page(
    connection: sqlite3.Connection, after: str, limit: int, cause: str, text: str
) -> tuple[list[Suppression], str | None]:
    """What is found in a slice of the list, and behind which address the search goes on; None where it is over."""
    words = {"after": after, "cause": cause, "text": text, "limit": limit, "looked_through": LOOKED_THROUGH}
    found = [rows.suppression_of(row) for row in connection.execute(_LIST, words)]
    if len(found) == limit:
        return found, None
    last = connection.execute(_LAST_OF_LIST, (after, LOOKED_THROUGH - 1)).fetchone()
    return found, last["address"] if last else None


def _count(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(
        connection.execute("SELECT cause, count(*) FROM suppressions WHERE removed_at = 0 GROUP BY cause").fetchall()
    )


def _drop_expired(connection: sqlite3.Connection, now: int) -> int:
    return connection.execute(_DROP_EXPIRED, (now, PAGE)).rowcount


def _drop_fates(connection: sqlite3.Connection, before: int) -> int:
    return connection.execute(_DROP_FATES, (before, PAGE)).rowcount

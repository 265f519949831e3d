"""What stays here in place of being sent: looked for among what is due, and ended.

It is looked for in the order in which it became due. Where that comes to a page of the file that is damaged, which
nobody can look beyond, it is looked for message by message.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial

from smtprelay.outcome import Phase
from smtprelay.spool.sqlite.damage import DamagedMessage, of_message, put_aside
from smtprelay.spool.sqlite.finishing import finish
from smtprelay.spool.sqlite.fresh import FreshBodies
from smtprelay.spool.sqlite.leasing import take_at_once
from smtprelay.spool.sqlite.readers import Readers
from smtprelay.spool.sqlite.writer import Writer
from smtprelay.spool.values import Due, Result, SpoolDamaged, State

PAGE = 200  # recipients of one transaction: some 20 ms

Place = tuple[int, str, int]  # of what waits for a credential: when it is due, its message's id, its number there


class Capturing:
    """Looks for what stays, page by page."""

    def __init__(self, writer: Writer, readers: Readers, fresh: FreshBodies) -> None:
        self._writer = writer
        self._readers = readers
        self._fresh = fresh

    async def capture(self, now: int, since: int, kept: Callable[[Due], str]) -> AsyncIterator[Due]:
        """`Spool.capture`."""
        try:
            async for captured in self._in_order(now, since, kept):
                yield captured
        except SpoolDamaged:
            async for captured in self._one_by_one(now, kept):
                yield captured
            raise

    async def _in_order(self, now: int, since: int, kept: Callable[[Due], str]) -> AsyncIterator[Due]:
        for credential in await self._readers.run(credentials):
            place, full = first(since), True
            while full:
                page = await self._readers.run(partial(due, credential=credential, now=now, after=place))
                for captured in await self._captured(page, now, kept):
                    yield captured
                full = len(page) == PAGE
                place = max(page, default=place)

    async def _one_by_one(self, now: int, kept: Callable[[Due], str]) -> AsyncIterator[Due]:
        """Pass over messages that are damaged; what can be is set aside, and in nobody's way any more."""
        last = ""
        while page := await self._readers.run(partial(messages, after=last)):
            for last in page:
                try:
                    with of_message(last):
                        page_of_message = await self._readers.run(partial(due_of, message_id=last, now=now))
                        captured = await self._captured(page_of_message, now, kept)
                except DamagedMessage as damaged:
                    await put_aside(self._writer, damaged, now)
                    continue
                for one in captured:
                    yield one

    async def _captured(self, page: Mapping[Place, Due], now: int, kept: Callable[[Due], str]) -> list[Due]:
        words = {at: reason for at, one in page.items() if (reason := kept(one))}
        if not words:
            return []
        captured = await self._writer.run(partial(capture, now=now, kept=words))
        for at in captured:
            self._fresh.take(page[at].message)
        return [page[at] for at in captured]


def first(since: int) -> Place:
    """Where what is due since then begins."""
    return since, "", 0


def credentials(connection: sqlite3.Connection) -> list[str]:
    """Those that mail waits for, whether they are configured or not: one look-up in the index for each."""
    return list(_credentials(connection))


def _credentials(connection: sqlite3.Connection) -> Iterator[str]:
    name = ""
    while name is not None:
        row = connection.execute(
            "SELECT min(credential) AS name FROM recipients WHERE state = 'queued' AND credential > ?", (name,)
        ).fetchone()
        if (name := row["name"]) is not None:
            yield name


def due(connection: sqlite3.Connection, credential: str, now: int, after: Place) -> dict[Place, Due]:
    """The next page of what is due for a credential, in the order of the index."""
    return _read(
        connection,
        """
        r.credential = ? AND r.next_at <= ? AND (r.next_at, r.message, r.n) > (?, ?, ?)
        ORDER BY r.next_at, r.message, r.n LIMIT ?
        """,
        (credential, now, *after, PAGE),
    )


def messages(connection: sqlite3.Connection, after: str) -> list[str]:
    """The next page of messages that have not ended: an index alone tells, whatever is damaged beside it."""
    page = connection.execute(
        "SELECT id FROM messages WHERE ended_at = 0 AND id > ? ORDER BY id LIMIT ?", (after, PAGE)
    )
    return [row["id"] for row in page]


def due_of(connection: sqlite3.Connection, message_id: str, now: int) -> dict[Place, Due]:
    """What is due of a message."""
    return _read(connection, "r.message = ? AND r.next_at <= ?", (message_id, now))


def _read(connection: sqlite3.Connection, where: str, values: Sequence[str | int]) -> dict[Place, Due]:
    """What waits. An address that is not UTF-8 is no reason to keep all that follow.

    :raises SpoolDamaged: where a number or a text belongs, a row has something else.
    """
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    try:
        page = connection.execute(
            f"""
            SELECT r.next_at, r.message, r.n, r.address, m.reverse_path, m.sender
            FROM recipients AS r CROSS JOIN messages AS m ON m.id = r.message
            WHERE r.state = 'queued' AND {where}
            """,  # noqa: S608 - our own words
            values,
        )
        return dict(map(_placed, page))
    finally:
        connection.text_factory = str


def _placed(row: sqlite3.Row) -> tuple[Place, Due]:
    texts = row["message"], row["sender"], row["reverse_path"], row["address"]
    if not (isinstance(row["n"], int) and all(isinstance(text, str) for text in texts)):
        raise SpoolDamaged(f"A recipient of {row['message']} is damaged in the spool.")
    return (row["next_at"], row["message"], row["n"]), Due(*texts)


def capture(connection: sqlite3.Connection, now: int, kept: Mapping[Place, str]) -> list[Place]:
    """End recipients, each by an attempt that begins and ends here; not those that have moved on meanwhile.

    :param kept: why.
    :returns: those that were captured.
    """
    captured: list[Place] = []
    by_message: defaultdict[str, dict[int, Place]] = defaultdict(dict)
    for place in kept:
        by_message[place[1]][place[2]] = place
    for message_id, places in by_message.items():
        token, taken = take_at_once(connection, message_id, now, list(places), "state = 'queued'")
        results = [Result(n, State.CAPTURED, phase=Phase.ROUTING, reply=kept[places[n]]) for n in taken]
        finish(connection, token, now, results, ())
        captured += [places[n] for n in taken]
    return captured

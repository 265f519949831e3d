"""SQLiteSpool: the asynchronous face of the spool."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from smtprelay.message import Message
from smtprelay.spool.sqlite import daybook, finishing, history, leasing, pruning, steering, storing
from smtprelay.spool.sqlite import events as happened
from smtprelay.spool.sqlite.capturing import Capturing
from smtprelay.spool.sqlite.damage import DamagedMessage, put_aside
from smtprelay.spool.sqlite.errors import explain
from smtprelay.spool.sqlite.file import Lock, open_for_writing
from smtprelay.spool.sqlite.fresh import FreshBodies
from smtprelay.spool.sqlite.indexer import Indexer
from smtprelay.spool.sqlite.readers import Readers
from smtprelay.spool.sqlite.selection import FIRST, PAGE, Where, waiting_keys, waits_beyond, where
from smtprelay.spool.sqlite.suppressing import Suppressing
from smtprelay.spool.sqlite.writer import Writer
from smtprelay.spool.values import (
    BodyCorrupt,
    Due,
    Events,
    Fate,
    Fault,
    Found,
    HandedOver,
    Lease,
    MessageRecord,
    Query,
    Result,
    Selector,
    SpoolDamaged,
    SpoolError,
    State,
    Stats,
    Suppression,
    Waiting,
)

if TYPE_CHECKING:
    from smtprelay.spool.sqlite.finding import Finder

_log = logging.getLogger(__name__)

DAMAGED_AT_ONCE = 100  # messages that one lease puts out of the way: some 0.3 s
MOST_UNDROPPABLE = 1000  # messages
FREE_HOLDS = 0.25  # seconds for which the room on the disk is not asked for again: every MAIL wants to know it


class SQLiteSpool:
    """`smtprelay.spool.Spool` in one file; to be used in the event loop that opened it."""

    def __init__(self, path: Path, lock: Lock, connection: sqlite3.Connection, readers: Readers) -> None:
        self._path = path
        self._lock = lock
        self._connection = connection
        self._readers = readers
        self._writer = Writer(connection, path)
        self._suppressing = Suppressing(path, self._writer, readers)
        self._indexer = Indexer(path)
        self._finder: Finder | None = None
        self._being_written: set[str] = set()  # messages whose bodies are going in ahead of them
        self._fresh = FreshBodies()
        self._capturing = Capturing(self._writer, readers, self._fresh)
        self._free, self._free_until = 0, 0.0
        self._last_served = ""  # the credential of the last lease
        self._undroppable: set[str] = set()  # messages that ended, and stay as they stand where the file is damaged
        self._closed = False

    @classmethod
    async def open(cls, path: Path, *, now: int) -> SQLiteSpool:
        """Open the spool, alone; create it where there is none.

        :param now: Unix time in milliseconds: all that the last process had leased runs out now.
        :raises SpoolError: another process uses it; its folder is missing; it is damaged or from a newer version.
        """
        spool = cls(path, *await asyncio.to_thread(_open, path, now))
        if await spool._readers.run(history.is_any):
            spool._indexer.begin()
        await spool._suppressing.begin()
        return spool

    async def put(self, messages: Sequence[Message]) -> list[str]:
        async with self._bodies_ahead(messages):
            ids = await self._writer.run(partial(storing.insert, messages=messages))
        self._stored([message for message, kept in zip(messages, ids, strict=True) if message.id == kept])
        return ids

    async def with_key(self, sender: str, idempotency_key: str) -> list[str]:
        return await self._readers.run(partial(history.with_key, sender=sender, idempotency_key=idempotency_key))

    async def lease(
        self, owner: str, now: int, ttl: int, limit: int, credentials: Collection[str], max_recipients: int
    ) -> list[Lease]:
        turns = leasing.turns_after(credentials, self._last_served)
        take = partial(
            leasing.lease, owner=owner, now=now, ttl=ttl, limit=limit, credentials=turns, max_recipients=max_recipients
        )
        leases = await self._leased(take, now)
        if leases:
            self._last_served = leases[-1].message.credential
        return leases

    async def extend(self, lease: Lease, until: int) -> None:
        await self._writer.run(lambda connection: leasing.extend(connection, lease.token, until))

    async def finish(
        self,
        lease: Lease,
        now: int,
        results: Sequence[Result],
        new: Sequence[Message] = (),
        suppress: Sequence[Suppression] = (),
    ) -> None:
        end = partial(finishing.finish, token=lease.token, now=now, results=results, new=new, suppress=suppress)
        if suppress:
            self._suppressing.expect()
        async with self._bodies_ahead(new):
            try:
                await self._writer.run(end)
            except SpoolDamaged:
                await self._suppressing.enter_beside_damage(suppress)
                await finishing.finish_in_parts(self._writer, lease, now, results, new)
        self._fresh.take(lease.message.id)  # it was of use for one attempt
        self._stored(new)

    async def end_held(self, message_id: str, now: int, results: Sequence[Result], new: Sequence[Message] = ()) -> None:
        async with self._bodies_ahead(new):
            await self._writer.run(lambda connection: finishing.end_held(connection, message_id, now, results, new))
        self._stored(new)

    def capture(self, now: int, since: int, kept: Callable[[Due], str]) -> AsyncIterator[Due]:
        return self._capturing.capture(now, since, kept)

    async def reclaim(self, now: int, ttl: int, limit: int) -> list[Lease]:
        return await self._leased(partial(leasing.reclaim, now=now, ttl=ttl, limit=limit), now)

    async def next_due(self, credentials: Collection[str]) -> int | None:
        return await self._readers.run(partial(leasing.next_due, credentials=credentials))

    async def body(self, message_id: str) -> AsyncIterator[bytes]:
        if (whole := self._fresh.take(message_id)) is not None:
            yield whole
            return
        size, n, count = 0, 0, 1
        while n < count:
            chunk = await self._readers.run(partial(storing.read_chunk, message_id=message_id, n=n))
            size, n, count = size + len(chunk.data), n + 1, chunk.count
            if size > chunk.size or (n == count and size < chunk.size):
                raise BodyCorrupt(f"The body of {message_id} is not as long as it was.")
            yield chunk.data

    async def clamp(self, latest: int) -> int:
        return await self._steer(waits_beyond(latest), partial(steering.retry, now=latest))

    async def hold(self, selector: Selector, now: int, reason: str) -> int:
        return await self._steer(where(selector), partial(steering.hold, now=now, reason=reason))

    async def release(self, selector: Selector, now: int, limit: int | None = None) -> int:
        return await self._steer(where(selector), partial(steering.release, now=now, reason=selector.reason), limit)

    async def cancel(self, selector: Selector, now: int) -> int:
        return await self._steer(where(selector), partial(steering.cancel, now=now))

    async def retry(self, selector: Selector, now: int) -> int:
        return await self._steer(where(selector), partial(steering.retry, now=now))

    async def states(self, ids: Sequence[str]) -> dict[str, Counter[State]]:
        return await self._readers.run(partial(history.states, ids=ids))

    async def search(self, selector: Selector, limit: int, before: str = "") -> list[MessageRecord]:
        return await self._readers.run(lambda connection: history.search(connection, selector, limit, before))

    async def find(self, query: Query, limit: int, before: str = "") -> Found:
        if self._finder is None:
            from smtprelay.spool.sqlite.finding import Finder  # 0.3 MB, for whoever searches

            self._finder = Finder(self._path, self._indexer)
        return await self._finder.find(query, limit, before)

    async def show(self, message_id: str) -> MessageRecord | None:
        return await self._readers.run(partial(history.show, message_id=message_id))

    async def stats(self) -> Stats:
        return await self._readers.run(lambda connection: history.stats(connection, self._bytes(), self.free()))

    async def waiting(self, now: int) -> Waiting:
        return await self._readers.run(lambda connection: history.waiting(connection, now, self._bytes()))

    async def going(self, by: int) -> dict[str, int]:
        return await self._readers.run(partial(history.going, by=by))

    @property
    def fault(self) -> Fault | None:
        return self._writer.fault

    async def accepted_since(self, since: int) -> dict[str, int]:
        return await self._readers.run(partial(history.accepted_since, since=since))

    async def handed_over(self, since: int, until: int) -> dict[str, HandedOver]:
        return await daybook.handed_over(self._readers, since, until)

    async def signed_with(self, domain: str, selector: str) -> int:
        return await self._readers.run(partial(history.signed_with, domain=domain, selector=selector))

    async def record(self, events: Collection[str]) -> None:
        await self._writer.run(partial(happened.record, events=events))

    async def last_event(self) -> int:
        return await self._readers.run(happened.last)

    async def events(self, after: int, events: Collection[str], limit: int) -> Events:
        return await self._readers.run(partial(happened.read, after=after, events=events, limit=limit))

    async def count_events(self, after: int, events: Collection[str]) -> int:
        return await self._readers.run(partial(happened.count, after=after, events=events))

    async def drop_events(self, upto: int, before: int) -> list[tuple[int, str]]:
        return await self._writer.run(partial(happened.drop, upto=upto, before=before))

    def free(self) -> int:
        now = time.monotonic()
        if now >= self._free_until:
            disk = os.statvfs(self._path)
            self._free = disk.f_bavail * disk.f_frsize
            self._free_until = now + FREE_HOLDS
        return self._free

    async def remember(self, key: str, value: str | None) -> None:
        await self._writer.run(partial(storing.remember, key=key, value=value))

    async def recall(self, prefix: str) -> dict[str, str]:
        return await self._readers.run(partial(history.recall, prefix=prefix))

    async def suppress(self, entries: Iterable[Suppression]) -> int:
        return await self._suppressing.enter(entries)

    async def unsuppress(self, addresses: Iterable[str], now: int) -> int:
        return await self._suppressing.remove(addresses, now)

    async def suppression(self, address: str, now: int) -> Suppression | None:
        return self._suppressing.look_up(address, now)

    async def suppressions(self, after: str, limit: int, *, cause: str = "", text: str = "") -> list[Suppression]:
        return await self._suppressing.page(after, limit, cause, text)

    async def count_suppressions(self) -> dict[str, int]:
        return await self._suppressing.count()

    @property
    def suppression_fault(self) -> Fault | None:
        return self._suppressing.fault

    async def report(self, fates: Iterable[Fate]) -> int:
        return await self._suppressing.report(fates)

    async def prune(self, before: int, now: int) -> int:
        gone = await self._drop_messages(before)
        if not gone:
            while await self._writer.run(partial(pruning.sweep_bodies, being_written=frozenset(self._being_written))):
                pass
            while await self._writer.run(pruning.return_pages):
                pass
            self._indexer.tidy()
            await self._suppressing.prune(before, now)
        return gone

    async def _drop_messages(self, before: int) -> int:
        while True:
            drop = partial(pruning.drop_messages, before=before, but=frozenset(self._undroppable))
            try:
                return await self._writer.run(drop)
            except DamagedMessage as damaged:
                if len(self._undroppable) == MOST_UNDROPPABLE:
                    raise SpoolDamaged(f"the history cannot be pruned: {damaged.__cause__}") from damaged
                self._undroppable.add(damaged.message_id)
                _log.error("message %s is damaged in the spool and stays: %s", damaged.message_id, damaged.__cause__)

    async def answer(self) -> None:
        with suppress(SpoolError):
            await self._writer.run(lambda connection: None)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        await self._readers.close()
        self._suppressing.close()
        if self._finder:
            await self._finder.close()
        await asyncio.to_thread(self._indexer.close)
        try:
            await asyncio.to_thread(_close, self._connection, self._path)
        finally:
            self._lock.release()

    async def _leased(self, take: Callable[[sqlite3.Connection], list[Lease]], now: int) -> list[Lease]:
        """What an operation takes, once the damaged messages that it comes upon are out of its way."""
        for _ in range(DAMAGED_AT_ONCE):
            try:
                return await self._writer.run(take)
            except DamagedMessage as damaged:
                await put_aside(self._writer, damaged, now)
        return []

    def _stored(self, messages: Sequence[Message]) -> None:
        if messages:
            self._fresh.keep(message for message in messages if not message.for_nobody)
            self._indexer.add(message.id for message in messages)

    def _bodies_ahead(self, messages: Sequence[Message]) -> AbstractAsyncContextManager[None]:
        """Write the large bodies, in transactions of their own; until the end they are not swept."""
        large = [message for message in messages if storing.is_large(message)]
        return self._written_ahead(large) if large else nullcontext()

    @asynccontextmanager
    async def _written_ahead(self, large: Sequence[Message]) -> AsyncIterator[None]:
        ids = {message.id for message in large}
        self._being_written |= ids
        try:
            for message in large:
                for n in range(storing.chunk_count(message)):
                    await self._writer.run(partial(storing.insert_chunk_ahead, message=message, n=n))
            yield
        finally:
            self._being_written -= ids

    async def _steer(self, chosen: Where, change: steering.Change, limit: int | None = None) -> int:
        """Change what waits and was chosen, page by page, so that nothing else waits long."""
        changed = 0
        last, more = FIRST, limit != 0
        while more:
            keys = await self._readers.run(partial(waiting_keys, chosen=chosen, after=last))
            more = len(keys) == PAGE
            if limit is not None:
                keys = keys[: limit - changed]
            if keys:
                changed += await steering.apply(self._writer, change, keys)
                last = keys[-1]
            more = more and changed != limit
        return changed

    def _bytes(self) -> int:
        wal = self._path.with_name(f"{self._path.name}-wal")
        return self._path.stat().st_size + wal.stat().st_size


def _open(path: Path, now: int) -> tuple[Lock, sqlite3.Connection, Readers]:
    with ExitStack() as undo:
        lock = Lock(path.parent)
        undo.callback(lock.release)
        connection = open_for_writing(path, now)
        undo.callback(connection.close)
        readers = Readers(path)
        undo.pop_all()
        return lock, connection, readers


def _close(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise explain(error, path) from error
    finally:
        connection.close()

"""The one thread that writes, with group commit: all operations that wait when a transaction begins share it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from smtprelay import metrics
from smtprelay.spool.sqlite.errors import explain
from smtprelay.spool.values import Fault, SpoolError

T = TypeVar("T")
FAULT_LASTS = 5.0  # seconds
_MAX_GROUP = 256  # so that the first of a group never waits long for the last


@dataclass(slots=True)
class _Job:
    """An operation and what came of it. It may be run twice, so it only touches the connection."""

    operation: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Writer:
    """Runs operations on the writing connection, in order; each succeeds or fails by itself.

    To be made in the event loop that awaits the results.

    :ivar fault: why changes cannot be written. On a full disk small ones still can now and then, so it lasts for some
        seconds over one that could.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.commits = 0
        self.fault: Fault | None = None
        self._failed_at = 0.0
        self._connection = connection
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        # A daemon: a process that ends without `close` loses only what nobody was promised.
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """The operation's result, once it is on the disk. Cancelled, the operation is carried out all the same."""
        if self._closed:
            raise SpoolError("The spool is closed.")
        job = _Job(operation, self._loop.create_future())
        self._queue.put(job)
        result: T = await job.future
        return result

    async def close(self) -> None:
        """Carry out what waits, then end the thread. The connection stays open."""
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while group := self._next_group():
            self._commit(group)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(_answer, group)

    def _next_group(self) -> list[_Job]:
        """What waits, at least one job; none at the end."""
        group: list[_Job] = []
        job = self._queue.get()
        while job:
            group.append(job)
            if len(group) == _MAX_GROUP:
                return group
            try:
                job = self._queue.get_nowait()
            except Empty:
                return group
        if group:
            self._queue.put(None)  # first this group, then the end
        return group

    def _commit(self, group: list[_Job]) -> None:
        """All of a group in one transaction; where that fails, each in one of its own.

        A savepoint for each would part the one that fails from the rest more cheaply, but costs all the others, always.
        """
        began = time.monotonic()
        changes = self._connection.total_changes
        error = self._transact(group)
        if error is None:
            if self._connection.total_changes > changes:
                self._written(len(group), time.monotonic() - began)
        elif len(group) > 1:
            for job in group:
                self._commit([job])
        else:
            group[0].error = explain(error, self._path)
            if isinstance(error, sqlite3.Error):  # and not `LeaseLost`, say
                self._failed(str(group[0].error))

    def _written(self, operations: int, seconds: float) -> None:
        metrics.COMMIT_OPERATIONS.observe(operations)
        metrics.COMMIT_SECONDS.observe(seconds)
        if self.fault and time.monotonic() - self._failed_at >= FAULT_LASTS:
            self.fault = None

    def _failed(self, words: str) -> None:
        metrics.COMMIT_FAILURES.add()
        self._failed_at = time.monotonic()
        self.fault = Fault(self.fault.since if self.fault else time.time_ns() // 1_000_000, words)

    def _transact(self, group: Iterable[_Job]) -> Exception | None:
        """:returns: why nothing of it happened."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                job.result = job.operation(self._connection)
            self._connection.execute("COMMIT")
        except Exception as error:
            if self._connection.in_transaction:  # not where SQLite undid it itself (full disk, I/O error)
                with suppress(sqlite3.Error):  # a damaged file may refuse that too, and this thread must go on
                    self._connection.execute("ROLLBACK")
            return error
        self.commits += 1
        return None


def _answer(group: Iterable[_Job]) -> None:
    for job in group:
        if job.future.done():
            continue  # cancelled
        if job.error:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)

"""Threads that read. Each read is short and sees one snapshot, so the WAL stays small."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from smtprelay.spool.sqlite.errors import explain
from smtprelay.spool.sqlite.file import open_for_reading
from smtprelay.spool.values import SpoolError

T = TypeVar("T")
_THREADS = 2


class Readers:
    """A few read-only connections, each used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections = [open_for_reading(path) for _ in range(_THREADS)]
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for connection in self._connections:
            self._idle.put(connection)
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="spool-reader")
        self._closed = False

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """The query's result.

        :raises SpoolError: what SQLite said, in our words.
        """
        if self._closed:
            raise SpoolError("The spool is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read, query)

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        for connection in self._connections:
            connection.close()

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                if connection.in_transaction:  # not after an I/O error
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise explain(error, self._path) from error
        finally:
            self._idle.put(connection)

"""The daemon of the demo, in a process of its own, and its log."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import typer

PATIENCE = 30.0  # seconds for it to start, and for a mail to arrive


class Ended(Exception):
    """The daemon ended before its time."""


def environment(folder: Path) -> Mapping[str, str]:
    """That of every program of the demo: the variables of a real account would have it send a real campaign."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SMTPRELAY_")}
    return own | {"XDG_STATE_HOME": str(folder)}


class Daemon:
    """`smtprelay run` in a folder that has its configuration; within ``async with``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smtprelay", "run", "-c", "config.toml",
            cwd=self._folder, env=environment(self._folder), stdout=PIPE,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._reading.done():  # else it ends by itself, and a signal would have asyncio lose its status
            self._process.terminate()
        await self.end()
        await self._reading

    async def end(self) -> int:
        """Its exit status, as soon as it has one."""
        return await self._process.wait()

    async def ready(self) -> Mapping[str, Any]:
        """The entry of the log that says where it listens. :raises Ended: it does not start."""
        return await self._entry(lambda entry: bool(entry["event"] == "ready"))

    async def attempt(self, recipient: str, status: str) -> Mapping[str, Any]:
        """The entry about an attempt that ended so. The smarthost knows of it a moment before the spool does.

        :raises Ended: :raises TimeoutError: it did not, and none of the next ones.
        """
        wanted = {"event": "attempt", "recipient": recipient, "status": status}
        return await self._entry(lambda entry: wanted.items() <= entry.items())

    async def _entry(self, is_wanted: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while True:
                for entry in filter(is_wanted, self._log):
                    return entry
                if self._is_over:
                    raise Ended
                self._news.clear()
                await self._news.wait()

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                self._log.append(json.loads(line))
            except ValueError:
                typer.echo(line.decode("utf-8", "replace"), err=True)
            self._news.set()
        self._is_over = True
        self._news.set()

"""A mail server in a folder of its own, in the foreground, on a port of loopback."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

PATIENCE = 30.0  # seconds


def reserve_port() -> socket.socket:
    """A socket that is bound to a free port and does not listen: nobody else gets it but a server with SO_REUSEADDR."""
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation


class Program(ABC):
    """``async with Exim(…) as exim:`` send to 127.0.0.1, exim.port.

    To be started by root, so that its parts can become other users. Its folder lies in /tmp: they must be able to walk
    there.

    :param files: name → content of files in the folder; ``{folder}`` is replaced.
    :ivar port: a free one, kept for it until it listens.
    """

    name: ClassVar[str]

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self._files = files or {}
        self._process: asyncio.subprocess.Process | None = None
        self._socket = reserve_port()
        self.port: int = self._socket.getsockname()[1]
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))

    async def __aenter__(self) -> Self:
        try:
            self.folder.chmod(0o755)
            for name, content in self._files.items():
                path = self.folder / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(self._placed(content))
            self._write()
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._process:
                await self._stop(self._process)
        finally:
            self._socket.close()
            shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        """Of the process whose children do the work."""
        assert self._process
        return self._process.pid

    def log(self) -> str:
        """What it has said so far, at its start and since."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    async def run(self, *command: str, stdin: bytes = b"", status: int = 0) -> str:
        """A command that belongs to it. :returns: what that printed."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(stdin)
        assert process.returncode == status, f"{command}: {output.decode()}{self.log()}"
        return output.decode()

    @abstractmethod
    def _write(self) -> None:
        """Its configuration."""

    @abstractmethod
    def _command(self) -> list[str]:
        """What starts it, in the foreground."""

    async def _start(self) -> None:
        process = await self._spawn(asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(PATIENCE):
            while not await self._listens():
                assert process.returncode is None, f"{self.name} ended: {self.log()}"
                await asyncio.sleep(0.02)

    async def _spawn(self, stdin: int) -> asyncio.subprocess.Process:
        with (self.folder / "0-start.log").open("w") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(), stdin=stdin, stdout=output, stderr=output, start_new_session=True
            )
        return self._process

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        """End it, and its children."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            await process.wait()

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    def _placed(self, text: str) -> str:
        return text.replace("{folder}", str(self.folder))

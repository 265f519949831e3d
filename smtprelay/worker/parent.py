"""The event loop's side of a worker: it is started, asked, and ended."""

from __future__ import annotations

import asyncio
import pickle
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from smtprelay.worker.child import LENGTH, framed

REST = 30.0  # seconds without work after which a worker may end
LEAVE = 5.0  # seconds that it has for that
UNBOUNDED = 2 ** (8 * LENGTH) - 1  # octets: what a length can tell


class Worker(asyncio.Protocol):
    """A process that answers; `started` makes one.

    :param read: makes a value of an answer's octets. A worker that handles what is not trusted is not trusted either.
    :ivar lost: done when the other side is gone.
    """

    def __init__(self, child: asyncio.subprocess.Process, read: Callable[[memoryview], Any]) -> None:
        self.pid = child.pid
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._child = child
        self._read = read
        self._asked: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._last_work = time.monotonic()
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, request: object, longest: int = UNBOUNDED) -> asyncio.Future[Any]:
        """The answer; None where there is none, because it failed or is gone.

        :param longest: octets of an answer; at a longer one the worker is killed before any memory is taken for it.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.lost.done():
            answer.set_result(None)
        else:
            self._transport.write(framed(pickle.dumps(request, pickle.HIGHEST_PROTOCOL)))
            self._asked.append((answer, longest))
            self._last_work = time.monotonic()
        return answer

    async def rested(self) -> None:
        """Wait until it has had nothing to do for a while, or is gone."""
        while not self.lost.done() and (rest := self._last_work + REST - time.monotonic()) > 0:
            await asyncio.wait([self.lost], timeout=rest)

    def end(self) -> None:
        """Tell it to end."""
        self._transport.close()

    def kill(self) -> None:
        """End it whatever it does."""
        with suppress(ProcessLookupError):
            self._child.kill()
        self._transport.abort()
        self._lose()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= LENGTH:
            length = int.from_bytes(self._buffer[:LENGTH], "big")
            if not self._asked or length > self._asked[0][1]:
                self.kill()
                break
            if len(self._buffer) < (end := LENGTH + length):
                break
            with memoryview(self._buffer) as buffer, buffer[LENGTH:end] as octets:
                answer = self._read(octets)
            del self._buffer[:end]
            self._give(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose()

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        self._buffer.clear()
        while self._asked:
            self._give(None)

    def _give(self, answer: Any) -> None:
        self._last_work = time.monotonic()
        asker, _ = self._asked.popleft()
        if not asker.done():  # cancelled
            asker.set_result(answer)


@asynccontextmanager
async def started(
    module: str, read: Callable[[memoryview], Any], environment: Mapping[str, str] | None = None
) -> AsyncIterator[Worker]:
    """A worker; at the end it has ended.

    :param module: see `smtprelay.worker.child`.
    :param read: see `Worker`.
    :param environment: all that it has of one; None for ours.
    :raises OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    transport: asyncio.Transport | None = None
    child: asyncio.subprocess.Process | None = None
    try:
        with theirs:
            # -P: modules come from where ours come from, not from the working directory.
            command = [sys.executable, "-P", "-m", module, str(theirs.fileno())]
            child = await asyncio.create_subprocess_exec(*command, pass_fds=[theirs.fileno()], env=environment)
        worker = Worker(child, read)
        transport, _ = await asyncio.get_running_loop().create_unix_connection(lambda: worker, sock=ours)
        yield worker
    finally:
        (transport or ours).close()
        if child:
            await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    """It ends when its socket is closed; one that is stuck is killed. Whoever cancels this waits for its end too."""
    try:
        async with asyncio.timeout(LEAVE):
            await child.wait()
    except (TimeoutError, asyncio.CancelledError) as error:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        if isinstance(error, asyncio.CancelledError):
            raise

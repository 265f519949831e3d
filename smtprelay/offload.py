"""Where messages are prepared: beside the event loop in a thread, and under load in a process of its own.

A thread is enough for some hundreds of messages a second, and takes no memory; but it shares the interpreter's lock
with the loop and the spool's writer, so that a second processor is of little use. The process is started when
preparations queue up, and ends when it has had nothing to do for a while. What it dies over is prepared in a thread.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import structlog

from smtprelay import __version__
from smtprelay.config import Config
from smtprelay.message import Message
from smtprelay.preparation import Preparer, Submission
from smtprelay.preparation_process import LENGTH, Setup, packed
from smtprelay.reply import Reject, Reply
from smtprelay.signing import Signer, SigningKey

log = structlog.get_logger("offload")

T = TypeVar("T")

LARGE = 256 * 2**10  # octets of a message that takes so long to prepare that others should not wait for it
BUSY = 8  # preparations at one time that call for the process
REST = 30.0  # seconds without work after which it ends, and until one that failed is tried again
LEAVE = 5.0  # seconds that it has for that


class Offload:
    """Carries out the CPU's work on messages off the event loop.

    :param keys: all that messages are signed with, until `sign_with` names others.
    :ivar signer: signs with them.
    """

    def __init__(self, config: Config, keys: Sequence[SigningKey]) -> None:
        self._config = config
        self._process: Process | None = None
        self.sign_with(keys)
        # One thread for the many small messages, as more would only wait for the interpreter's lock; one for large
        # ones, so that nobody waits behind them.
        self._small = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="prepare-large")
        self._preparing = 0
        self._life: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def sign_with(self, keys: Sequence[SigningKey]) -> None:
        """Whatever is handed in from now on is signed with these keys, wherever it is prepared."""
        self.signer = Signer(keys)
        self._preparer = Preparer(self._config, self.signer)
        self._setup = Setup(__version__, self._config, [(key.pem, key.domain, key.selector) for key in keys])
        if self._process:
            self._process.ask(self._setup)

    async def prepare(self, submission: Submission) -> Message:
        """See `Preparer.prepare`.

        :raises Reject:
        """
        size = len(submission.content)
        process = self._process if size <= LARGE else None
        self._preparing += 1
        try:
            if process and (answer := await process.ask(submission)):
                if isinstance(answer, Reply):
                    raise Reject(answer.code, answer.detail, answer.text)
                return cast("Message", answer)
            self._call_process_if_busy()
            message = await self.run(self._preparer.prepare, submission, size=size)
        finally:
            self._preparing -= 1
        if process and not process.lost.done():  # what it could not do can be done
            log.error("the process that prepares messages fails, and is ended; a thread does its work", pid=process.pid)
            process.end()
        return message

    def _call_process_if_busy(self) -> None:
        if self._preparing >= BUSY and self._life is None and time.monotonic() >= self._not_before:
            self._life = asyncio.create_task(self._live())

    async def run(self, function: Callable[..., T], *arguments: Any, size: int) -> T:
        """Work in a thread.

        :param size: octets that it works on.
        """
        executor = self._large if size > LARGE else self._small
        return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)

    async def close(self) -> None:
        """Let the threads and the process go."""
        if self._life:
            self._life.cancel()
            await asyncio.wait([self._life])
        for executor in (self._small, self._large):
            executor.shutdown(wait=True, cancel_futures=True)

    async def _live(self) -> None:
        """The process's life, from the call for it to its rest."""
        try:
            async with _started() as process:
                if await self._set_up(process):
                    log.info("busy: messages are prepared in a process of their own", pid=process.pid)
                    self._process = process
                    await process.rested()
                if process.lost.done():
                    log.error("the process that prepares messages is gone; a thread does its work", pid=process.pid)
                    self._not_before = time.monotonic() + REST
        except OSError as error:
            log.error("no process to prepare messages can be started; a thread does its work", reason=str(error))
            self._not_before = time.monotonic() + REST
        finally:
            self._process = self._life = None

    async def _set_up(self, process: Process) -> bool:
        """Tell it what it has to know; again where the keys changed meanwhile. :returns: whether it can work."""
        told: Setup | None = None
        while told is not self._setup:
            told = self._setup
            if not await process.ask(told):
                return False
        return True


class Process(asyncio.Protocol):
    """Our side of `smtprelay.preparation_process`.

    :ivar lost: done when the other side is gone.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked: deque[asyncio.Future[Any]] = deque()
        self._answered_at = time.monotonic()
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, request: Submission | Setup) -> asyncio.Future[Any]:
        """The answer; None where there is none, because it failed or is gone."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.lost.done():
            answer.set_result(None)
        else:
            self._asked.append(answer)
            self._transport.write(packed(request))
        return answer

    async def rested(self) -> None:
        """Wait until it has had nothing to do for a while, or is gone."""
        while not self.lost.done() and (rest := self._answered_at + REST - time.monotonic()) > 0:
            await asyncio.wait([self.lost], timeout=rest)

    def end(self) -> None:
        """Tell it to end."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= LENGTH:
            end = LENGTH + int.from_bytes(self._buffer[:LENGTH], "big")
            if len(self._buffer) < end:
                break
            self._give(pickle.loads(self._buffer[LENGTH:end]))  # noqa: S301 - a process of our own
            del self._buffer[:end]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)
        while self._asked:
            self._give(None)

    def _give(self, answer: Any) -> None:
        self._answered_at = time.monotonic()
        asker = self._asked.popleft()
        if not asker.done():  # cancelled
            asker.set_result(answer)


@asynccontextmanager
async def _started() -> AsyncIterator[Process]:
    """A process; at the end it has ended. :raises OSError: it cannot be started."""
    ours, theirs = socket.socketpair()
    transport: asyncio.Transport | None = None
    child: asyncio.subprocess.Process | None = None
    try:
        with theirs:
            # -P: modules come from where ours come from, not from the working directory.
            command = [sys.executable, "-P", "-m", "smtprelay.preparation_process", str(theirs.fileno())]
            child = await asyncio.create_subprocess_exec(*command, pass_fds=[theirs.fileno()])
        transport, process = await asyncio.get_running_loop().create_unix_connection(Process, sock=ours)
        process.pid = child.pid
        yield process
    finally:
        (transport or ours).close()
        if child:
            await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    """It ends when its socket is closed; one that is stuck is killed."""
    try:
        async with asyncio.timeout(LEAVE):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()

"""Where messages are prepared: beside the event loop in a thread, and under load in a process of its own.

A thread is enough for some hundreds of messages a second, and takes no memory; but it shares the interpreter's lock
with the loop and the spool's writer, so that a second processor is of little use. The process is started when
preparations queue up, and ends when it has had nothing to do for a while. What it dies over is prepared in a thread.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from smtprelay import metrics
from smtprelay.log import get_logger
from smtprelay.message import Message
from smtprelay.preparation import Preparer, Submission
from smtprelay.preparation_process import Setup
from smtprelay.reply import Reject, Reply
from smtprelay.worker.parent import Worker, started

log = get_logger("offload")

T = TypeVar("T")

LARGE = 256 * 2**10  # octets of a message that takes so long to prepare that others should not wait for it
BUSY = 8  # preparations at one time that call for the process
RECOVERY = 30.0  # seconds until one that failed is tried again


class Offload:
    """Carries out the CPU's work on messages off the event loop.

    :param preparer: the one that most messages are prepared by, until `use` names another one.
    """

    def __init__(self, preparer: Preparer) -> None:
        self._process: Worker | None = None
        self.use(preparer)
        # One thread for the many small messages, as more would only wait for the interpreter's lock; one for large
        # ones, so that nobody waits behind them.
        self._small = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="prepare-large")
        self._preparing = 0
        self._life: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def use(self, preparer: Preparer) -> None:
        """Have the process prepare as this one does, from now on; messages of another one stay in a thread."""
        self._preparer = preparer
        self._setup = Setup.of(preparer)
        if self._process:
            self._process.ask(self._setup)

    async def prepare(self, preparer: Preparer, submission: Submission) -> Message:
        """See `Preparer.prepare`.

        :raises Reject:
        """
        size = len(submission.content)
        process = self._process if size <= LARGE and preparer is self._preparer else None
        began = time.monotonic()
        self._preparing += 1
        try:
            if process and (answer := await process.ask(submission)):
                if isinstance(answer, Reply):
                    raise Reject(answer.code, answer.detail, answer.text)
                return cast("Message", answer)
            self._call_process_if_busy()
            message = await self.run(preparer.prepare, submission, size=size)
        finally:
            self._preparing -= 1
            metrics.PREPARE_SECONDS.observe(time.monotonic() - began)
        if process and not process.lost.done():  # what it could not do can be done
            log.error("the process that prepares messages fails, and is ended; a thread does its work", pid=process.pid)
            process.end()
        return message

    @property
    def pid(self) -> int | None:
        """The process that prepares, where there is one."""
        return self._process.pid if self._process else None

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
            async with started("smtprelay.preparation_process", pickle.loads) as process:
                if await self._set_up(process):
                    log.info("busy: messages are prepared in a process of their own", pid=process.pid)
                    self._process = process
                    await process.rested()
                if process.lost.done():
                    log.error("the process that prepares messages is gone; a thread does its work", pid=process.pid)
                    self._not_before = time.monotonic() + RECOVERY
        except OSError as error:
            log.error("no process to prepare messages can be started; a thread does its work", reason=str(error))
            self._not_before = time.monotonic() + RECOVERY
        finally:
            self._process = self._life = None

    async def _set_up(self, process: Worker) -> bool:
        """Tell it what it has to know; again where that changed meanwhile. :returns: whether it can work."""
        told: Setup | None = None
        while told is not self._setup:
            told = self._setup
            if not await process.ask(told):
                return False
        return True

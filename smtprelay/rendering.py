"""Templates are rendered in a process of its own, so that none can do harm: its time, memory and output are limited.

There are two lanes, each with such a process: a template that takes long is in nobody's way but its like's.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from smtprelay.errors import TemplateError
from smtprelay.log import get_logger
from smtprelay.templating.job import Job
from smtprelay.templating.protocol import (
    ERROR,
    MAX_ERROR,
    MEMORY,
    MESSAGE,
    NEXT,
    OUT_OF_MEMORY,
    READY,
    SECONDS,
    TOO_LARGE,
    read_error,
)
from smtprelay.worker.parent import REST, Worker, started

log = get_logger("rendering")

_MODULE = "smtprelay.templating.process"
QUICK_SECONDS = 2.0  # that a message may take in the quick lane
_SLOW = 60.0  # seconds for which all mail of a template goes to the slow lane, once a message of it took longer
_TURN = 0.1  # seconds after its first message that a job goes on for before another has its turn
_PIECE = 256 * 2**10  # octets of the app's message that are handed over at once
_START = 60.0  # seconds until the process is ready

# What tells the interpreter where things are, and what the time is here. The rest is none of a template's business:
# passwords may be in it.
_ENVIRONMENT = {"LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "TZ", "TZDIR"}


_Answer = asyncio.Future[tuple[bytes, bytes] | None]  # as `_split` makes it; None where the process is gone


@dataclass(slots=True)
class _Order:
    """A job on its way.

    :ivar left: octets that the rest of its messages may have.
    :ivar done: has all its messages in the end.
    :ivar asked: the answer that is coming, where its first message was asked for ahead of its turn.
    :ivar died_over: the number of the message that a process has died over; -1 for none.
    """

    job: Job
    limit: int
    left: int
    done: asyncio.Future[list[bytes]]
    messages: list[bytes] = field(default_factory=list)
    asked: _Answer | None = None
    died_over: int = -1

    def begin(self, content: bytes, pieces: int, process: Worker) -> _Answer:
        """Ask for the first of its messages that is not made yet.

        :param content: the app's message, or its last piece.
        :param pieces: how many went before.
        :raises RecursionError: its variables are nested too deeply.
        """
        parts = self.job.parts[len(self.messages) :]
        return process.ask((replace(self.job, parts=parts, content=content), self.left, pieces), self.longest)

    @property
    def longest(self) -> int:
        """Octets of an answer, at most."""
        return 1 + max(self.left, MAX_ERROR)

    @property
    def at_the_end(self) -> bool:
        """Whether one message is left to be made."""
        return len(self.messages) + 1 == len(self.job.parts)

    @property
    def open(self) -> bool:
        """Whether somebody waits for more of it."""
        return not self.done.done()

    def add(self, message: bytes) -> None:
        if not self.open:  # cancelled
            return
        self.messages.append(message)
        self.left -= len(message)
        if len(self.messages) == len(self.job.parts):
            self.done.set_result(self.messages)

    def fail(self, error: Exception) -> None:
        if self.open:
            self.done.set_exception(error)

    def error(self, problem: str) -> TemplateError:
        return TemplateError(self.job.template, problem)


class _TooSlow(TemplateError):
    """It takes longer than its lane has time for."""


class Rendering:
    """Renders templates.

    :param directory: where the templates are.
    :ivar quick: where jobs begin.
    :ivar slow: where those whose template takes long are carried out.
    """

    def __init__(self, directory: Path) -> None:
        self._slow_until: dict[str, float] = {}  # by template
        self.quick = Lane(directory, QUICK_SECONDS, leaves_out=self._is_slow)
        self.slow = Lane(directory, SECONDS, leaves_out=lambda template: False)

    async def render(self, job: Job, limit: int) -> list[bytes]:
        """A whole message for each part.

        Jobs take turns. A message that the process dies over is tried once more, in a new process.

        :param limit: octets that all messages may have together.
        :raises TemplateError: also where it takes too long, or too much memory.
        :raises OSError: the process cannot be started.
        """
        if not self._is_slow(job.template):
            try:
                return await self.quick.render(job, limit)
            except _TooSlow:
                self._slow_until[job.template] = time.monotonic() + _SLOW
        return await self.slow.render(job, limit)

    def use(self, directory: Path) -> None:
        """Take templates from another directory from now on. What is being rendered is not disturbed."""
        for lane in (self.quick, self.slow):
            lane.use(directory)

    async def close(self) -> None:
        """End the processes. What is being rendered is cancelled."""
        await asyncio.gather(self.quick.close(), self.slow.close())

    def _is_slow(self, template: str) -> bool:
        return time.monotonic() < self._slow_until.get(template, 0.0)


class Lane:
    """Jobs that take turns. The process is started for the first one, and ends when it has had nothing to do for a
    while.

    :param seconds: that a message may take.
    :param leaves_out: says whether the jobs of a template are none of this lane's by now.
    :ivar pid: of the process, where there is one.
    """

    def __init__(self, directory: Path, seconds: float, *, leaves_out: Callable[[str], bool]) -> None:
        self._directory = directory
        self._seconds = seconds
        self._leaves_out = leaves_out
        self._orders: asyncio.Queue[_Order] = asyncio.Queue()
        self._next: _Order | None = None  # whose turn is the next one, where that is settled
        self._life: asyncio.Task[None] | None = None
        self.pid: int | None = None

    async def render(self, job: Job, limit: int) -> list[bytes]:
        """See `Rendering.render`."""
        if not job.parts:
            return []
        order = _Order(job, limit, limit, asyncio.get_running_loop().create_future())
        self._orders.put_nowait(order)
        if self._life is None:
            self._life = asyncio.create_task(self._live())
        return await order.done

    def use(self, directory: Path) -> None:
        """See `Rendering.use`."""
        self._directory = directory

    async def close(self) -> None:
        """See `Rendering.close`."""
        if self._life:
            self._life.cancel()
            await asyncio.wait([self._life])

    async def _live(self) -> None:
        """From the first order to the rest after the last, in as many processes as that takes."""
        try:
            while not self._orders.empty():
                directory = self._directory
                async with started(_MODULE, _split, _environment()) as process:
                    self.pid = process.pid
                    try:
                        await self._set_up(process, directory)
                        await self._work(process, directory)
                    finally:
                        process.kill()  # it has nothing to see to
                        self.pid = None
        except Exception as error:
            log.error("templates cannot be rendered", reason=repr(error))
            while not self._orders.empty():
                self._orders.get_nowait().fail(error)
        finally:
            self._life = None
            while not self._orders.empty():
                self._orders.get_nowait().done.cancel()

    async def _set_up(self, process: Worker, directory: Path) -> None:
        """:raises OSError: it does not get ready."""
        async with asyncio.timeout(_START):
            if await process.ask(directory, MAX_ERROR) != (READY, b""):
                raise ChildProcessError("it ended while it started")

    async def _work(self, process: Worker, directory: Path) -> None:
        """Serve orders until there are none for a while, the templates are elsewhere, or the process is gone."""
        try:
            while not process.lost.done() and directory == self._directory:
                try:
                    async with asyncio.timeout(REST):
                        order = self._next or await self._orders.get()
                except TimeoutError:
                    return
                self._next = None
                try:
                    # The process may have gone while there was nothing to do; whoever has asked awaits the answer.
                    gone = process.lost.done() or directory != self._directory
                    if not gone and (order.open or order.asked):
                        await self._take_turn(order, process)
                except TemplateError as error:
                    order.fail(error)
                finally:
                    order.asked = None
                    if order.open:
                        self._orders.put_nowait(order)
        finally:
            if self._next:
                self._next.asked = None
                self._orders.put_nowait(self._next)
                self._next = None

    async def _take_turn(self, order: _Order, process: Worker) -> None:
        """Render the next messages of it.

        :raises TemplateError:
        """
        if not order.asked and self._leaves_out(order.job.template):
            raise self._too_slow(order)
        coming = order.asked or await self._begin(order, process)
        end = math.inf
        while True:
            if order.at_the_end:
                self._look_ahead(process)
            answer = await self._wait(coming, process, order)
            if answer is None or answer[0] == OUT_OF_MEMORY:  # which others before it may have taken
                _died_over(order, process, out_of_memory=answer is not None)
                return
            order.add(_message(*answer, process, order))
            end = min(end, time.monotonic() + _TURN)
            if not order.open or time.monotonic() >= end:
                return
            coming = process.ask(NEXT, order.longest)

    async def _begin(self, order: _Order, process: Worker) -> _Answer:
        """Bring the app's message to the process in pieces, as all at once would stop the loop, and ask.

        :raises TemplateError: it cannot be asked.
        """
        content = order.job.content
        count = max(len(content) - 1, 0) // _PIECE
        for number in range(count):
            piece = content[number * _PIECE : (number + 1) * _PIECE]
            await self._wait(process.ask(piece, order.longest), process, order)
        try:
            return order.begin(content[count * _PIECE :], count, process)
        except RecursionError:
            raise order.error("the variables are nested too deeply") from None

    async def _wait(self, coming: _Answer, process: Worker, order: _Order) -> tuple[bytes, bytes] | None:
        """The answer; None where the process is gone.

        :raises TemplateError: there is none in time.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await coming
        except TimeoutError:
            error = self._too_slow(order)
            _end(process, error)
            raise error from None

    def _too_slow(self, order: _Order) -> _TooSlow:
        return _TooSlow(order.job.template, f"a message takes longer than {self._seconds:.0f} s")

    def _look_ahead(self, process: Worker) -> None:
        """Ask for the first message of the next order: the process would else wait for the loop after each message."""
        if self._next or self._orders.empty():
            return
        self._next = following = self._orders.get_nowait()
        if following.open and not self._leaves_out(following.job.template) and len(following.job.content) <= _PIECE:
            with suppress(RecursionError):  # told in its turn
                following.asked = following.begin(following.job.content, 0, process)


def _died_over(order: _Order, process: Worker, *, out_of_memory: bool) -> None:
    """The process is gone; a new one may do better.

    :raises TemplateError: it was a new one.
    """
    process.kill()
    log.error("the process that renders ended over a template", template=order.job.template, pid=process.pid)
    if order.died_over == len(order.messages):
        raise order.error(
            f"a message takes more than {MEMORY} MiB of memory"
            if out_of_memory
            else "the process that renders ended over it, twice"
        )
    order.died_over = len(order.messages)


def _message(kind: bytes, octets: bytes, process: Worker, order: _Order) -> bytes:
    """The message in an answer, which is not trusted.

    :raises TemplateError: there is none.
    """
    if kind in (MESSAGE, TOO_LARGE):
        if kind == MESSAGE and len(octets) <= order.left:
            return octets
        raise order.error(f"the message, or all of this one's together, would have more than {order.limit} octets")
    try:
        if kind != ERROR:
            raise ValueError
        error = read_error(order.job.template, octets)
    except ValueError:
        error = order.error("the process that renders made no sense, and was ended")
        _end(process, error)
    raise error


def _end(process: Worker, error: TemplateError) -> None:
    """End it over an error: it could do no more good."""
    process.kill()
    log.error("the process that renders is ended", template=error.template, reason=error.problem, pid=process.pid)


def _environment() -> dict[str, str]:
    # mallopt(3): a large message would raise the threshold, and what it took would stay with the process.
    return {"MALLOC_TRIM_THRESHOLD_": str(2**20)} | {k: v for k, v in os.environ.items() if k in _ENVIRONMENT}


def _split(answer: memoryview) -> tuple[bytes, bytes]:
    """The kind of an answer, and the rest."""
    return bytes(answer[:1]), bytes(answer[1:])

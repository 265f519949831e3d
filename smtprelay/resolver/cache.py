"""What DNS told before: for how long it holds, and what is told while DNS fails."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from smtprelay import metrics
from smtprelay.resolver.answers import Absent, Answer, Ask, Failed, Found, Lookup, Question, View

# How long an answer is kept, whatever its TTL says; milliseconds.
MIN_TTL = 5_000  # a TTL of 0 would have DNS asked for each message
MAX_TTL = 3_600_000
MAX_NEGATIVE_TTL = 300_000
FAILURE_TTL = 5_000  # RFC 9520 §3.2
STALE = 86_400_000  # how old an answer may serve while DNS fails; RFC 8767 §5 has one to three days

MAX_ANSWERS = 10_000
MAX_SIZE = 32 * 2**20  # octets of all answers together; one may have 64 KiB on the wire, and fill a megabyte


class _Good(NamedTuple):
    """A good answer, the number under which it was asked, when it came (Unix time in milliseconds), and how many octets
    it fills."""

    answer: Found[Any] | Absent
    asked: int
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class _Memory:
    """What came of a question.

    :param asked: the number under which it was asked last.
    :param asked_at: when that ended; Unix time in milliseconds.
    :param until: when DNS is to be asked again; likewise.
    :param failure: how it ended, where that was no answer.
    """

    asked: int
    asked_at: int
    until: int
    failure: Failed | None
    last: _Good | None

    @property
    def size(self) -> int:
        return self.last.size if self.last else 0

    def holds(self, since: int, now: int) -> bool:
        """Whether it needs no question. It does not where the clock was set back, for who knows how far."""
        return self.asked >= since and self.asked_at <= now < self.until

    def answer(self, since: int, now: int) -> Answer[Any]:
        """What it tells to who wants nothing that was asked under a lower number than `since`."""
        if self.last:
            if not self.failure:
                return self.last.answer
            if self.last.asked >= since and now < self.last.at + STALE:
                return replace(self.last.answer, expires_at=self.until, stale=True)
        assert self.failure
        return self.failure


@dataclass(frozen=True, slots=True)
class _Running:
    number: int
    task: asyncio.Task[_Memory]


class Cache(View):
    """Remembers answers, and asks but once what several want to know at a time.

    :param ask: puts a question to DNS; the times in its answers are not bounded yet.
    :param clock: Unix time in milliseconds.
    """

    def __init__(self, ask: Ask, clock: Callable[[], int]) -> None:
        super().__init__(self._look_up)
        self._ask_dns = ask
        self._clock = clock
        self._numbers = count(1)  # questions and fresh views in their order, which a clock could not tell
        self._since = 0  # the number from which on answers count
        self._memories: OrderedDict[Question, _Memory] = OrderedDict()  # the least recently used first
        self._size = 0  # of all memories
        self._running: dict[Question, _Running] = {}
        self._tasks: set[asyncio.Task[_Memory]] = set()
        self._closed = False

    def fresh(self) -> Lookup:
        """A view that takes nothing from before now, not even while DNS fails; what it learns, all others have too."""
        return View(partial(self._look_up, since=next(self._numbers)))

    def forget(self) -> None:
        """Take nothing from before now any more: others are asked from now on."""
        self._since = next(self._numbers)

    async def close(self) -> None:
        """End the questions that are under way; whoever waits for one is told `Failed`."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look_up(self, question: Question, since: int = 0) -> Answer[Any]:
        since = max(since, self._since)
        now = self._clock()
        memory = self._memories.get(question)
        if memory and memory.holds(since, now):
            self._memories.move_to_end(question)
            return memory.answer(since, now)
        if self._closed:
            return Failed("the resolver is closed")
        running = self._running.get(question)
        if not running or running.number < since:
            running = self._start(question)
        # Not awaited itself, so that who gives up takes it from nobody else.
        await asyncio.wait([running.task])
        if running.task.cancelled():
            return Failed("the resolver is closed")
        return running.task.result().answer(since, self._clock())

    def _start(self, question: Question) -> _Running:
        number = next(self._numbers)
        running = _Running(number, asyncio.create_task(self._learn(question, number)))
        self._running[question] = running
        self._tasks.add(running.task)
        running.task.add_done_callback(self._tasks.discard)
        return running

    async def _learn(self, question: Question, number: int) -> _Memory:
        began = time.monotonic()
        try:
            answer = await self._ask_dns(question)
            metrics.DNS_QUESTIONS.add(type(answer).__name__.lower())
            metrics.DNS_SECONDS.observe(time.monotonic() - began)
        finally:
            running = self._running.get(question)
            if running and running.number == number:  # a fresh view may have asked again meanwhile
                del self._running[question]
        before = self._memories.get(question)
        memory = _remembered(answer, number, self._clock(), before.last if before else None)
        if not before or before.asked < number:
            self._memories[question] = memory
            self._memories.move_to_end(question)
            self._size += memory.size - (before.size if before else 0)
            while len(self._memories) > MAX_ANSWERS or self._size > MAX_SIZE:
                _, forgotten = self._memories.popitem(last=False)
                self._size -= forgotten.size
        return memory


def _remembered(answer: Answer[Any], number: int, now: int, last: _Good | None) -> _Memory:
    if isinstance(answer, Failed):
        return _Memory(number, now, now + FAILURE_TTL, answer, last)
    longest = MAX_TTL if isinstance(answer, Found) else MAX_NEGATIVE_TTL
    until = now + min(max(answer.expires_at - now, MIN_TTL), longest)
    return _Memory(number, now, until, None, _Good(replace(answer, expires_at=until), number, now, _size(answer)))


def _size(answer: Found[Any] | Absent) -> int:
    """Roughly: an object has some dozens of octets beside its text."""
    records = answer.records if isinstance(answer, Found) else ()
    parts = [part for record in records for part in (record if isinstance(record, tuple) else (str(record),))]
    return sum(64 + len(part) for part in parts)

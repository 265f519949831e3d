"""All that is done with one account of the platform's HTTP API. Imported where there is one: httpx comes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import structlog

from smtprelay import metrics, problems
from smtprelay.books import Books, Report
from smtprelay.config import PlatformAccount, SuppressionSection
from smtprelay.feedback import Feedback, Learned
from smtprelay.platform import (
    AsyncPlatformClient,
    CallFailed,
    NotAuthorised,
    PlatformError,
    PlatformUnreachable,
    UnreadableAnswer,
)
from smtprelay.problems import Problem
from smtprelay.quota import Quota
from smtprelay.spool import Spool, SpoolError
from smtprelay.words import local_time

log = structlog.get_logger("platform")

FEEDBACK_EVERY = 900.0  # seconds
BOOKS_EVERY = 600.0  # seconds between two looks whether a day is over
PATIENCE = 900_000  # milliseconds that the platform may be silent before that is a problem

_KINDS = {PlatformUnreachable: "unreachable", NotAuthorised: "refused", UnreadableAnswer: "unreadable"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trouble:
    """The platform does not tell what it is asked.

    :param since: Unix time in milliseconds.
    :param words: what was wrong last.
    :param refused: it refuses the log-in.
    """

    since: int
    words: str
    refused: bool


class Desk:
    """Asks for quota, failures and figures, each in its time.

    :param credentials: names of those that spend the account's quota.
    :param facts: what the spool remembers.
    :param history: how far that of the spool goes back, in milliseconds.
    :param holding: mail is held for want of quota already.
    :param wake: called when mail has become due.
    :param clock: Unix time in milliseconds.
    """

    def __init__(
        self,
        account: PlatformAccount,
        password: str,
        credentials: tuple[str, ...],
        suppression: SuppressionSection,
        spool: Spool,
        facts: Mapping[str, str],
        *,
        history: int,
        holding: bool,
        wake: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self.account = account
        self.credentials = credentials
        self._clock = clock
        name = account.key
        self.quota = Quota(account, credentials, spool, facts, holding=holding, wake=wake, clock=clock)
        self.feedback = Feedback(name, suppression, spool, facts, clock)
        self.books = Books(name, credentials, spool, history, clock)
        self._asked: set[asyncio.Future[Any]] = set()  # what persons wait for
        self._troubles: dict[str, Trouble] = {}  # by what is asked for
        self._client = AsyncPlatformClient(
            account.username, password, account.base_url, allow_insecure=account.allow_insecure
        )

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            await asyncio.gather(
                self._repeat(self._ask_for_quota, self.account.poll / 1000),
                self._repeat(self._ask_for_failures, FEEDBACK_EVERY),
                self._repeat(self._keep_books, BOOKS_EVERY),
                self.quota.run(),
            )
        finally:
            for asked in self._asked:
                asked.cancel()
            await self._client.close()

    async def sync(self) -> dict[str, Any]:
        """Ask for failures now, and for who left any list.

        :returns: what was new, or ``error``. :raises SpoolError: it could not be kept.
        """
        return await self._told(self._ask_for_failures(whole=True))

    async def reconcile(self, day: date | None) -> dict[str, Any]:
        """Lay our books beside the platform's now.

        :param day: in Asia/Shanghai; None: yesterday.
        :returns: a report, or ``error``.
        :raises SpoolError: ours cannot be read.
        """
        # Whether that is told is no trouble of the relay's: the day may be one that the platform knows nothing of.
        return await self._told(self.books.reconcile(self._client, day or self.books.yesterday()))

    def problems(self) -> Iterator[Problem]:
        """What an operator should know."""
        yield from self.quota.problems()
        yield from self.feedback.problems()
        lasting = [trouble for trouble in self._troubles.values() if trouble.refused or self._is_lasting(trouble)]
        if lasting:
            trouble = max(lasting, key=lambda trouble: (trouble.refused, -trouble.since))
            kind = problems.PLATFORM_REFUSES if trouble.refused else problems.PLATFORM_SILENT
            name = self.account.key
            yield kind.of(name, name=name, since=local_time(trouble.since), problem=trouble.words)

    async def _ask_for_quota(self) -> None:
        try:
            await self._noting("quota", self.quota.ask(self._client))
        except PlatformError:
            if self._is_lasting(self._troubles["quota"]):
                self.quota.forget()
            raise

    async def _ask_for_failures(self, *, whole: bool = False) -> Learned:
        return await self._noting("failures", self.feedback.sync(self._client, whole=whole))

    async def _reconcile(self, day: date) -> Report:
        return await self._noting("books", self.books.reconcile(self._client, day))

    async def _keep_books(self) -> None:
        for day in await self.books.due():
            # A day that is not told must not keep the others from being kept.
            with suppress(CallFailed, UnreadableAnswer):  # which was noted
                await self.books.keep(await self._reconcile(day))

    async def _told(self, work: Coroutine[Any, Any, Learned | Report]) -> dict[str, Any]:
        name = {"account": self.account.key}
        asked = asyncio.create_task(work)
        self._asked.add(asked)
        try:
            await asyncio.wait([asked])
            return name | asked.result().as_dict()
        except PlatformError as error:
            return name | {"error": str(error)}
        except asyncio.CancelledError:
            if not asked.cancelled():  # but whoever asked has gone
                asked.cancel()
                raise
            return name | {
                "error": "The accounts of the platform were changed meanwhile, or the daemon stops: ask again"
            }
        finally:
            self._asked.discard(asked)

    async def _repeat(self, work: Callable[[], Awaitable[object]], pause: float) -> None:
        """:param pause: seconds."""
        while True:
            try:
                await work()
            except PlatformError:  # which was noted
                pass
            except SpoolError as error:
                log.error("what the platform told could not be kept", account=self.account.key, reason=str(error))
            except Exception:
                log.exception("asking the platform failed within smtprelay", account=self.account.key)
            await asyncio.sleep(pause)

    async def _noting(self, question: str, work: Awaitable[T]) -> T:
        """Note whether the platform tells what it is asked."""
        name = self.account.key
        try:
            answer = await work
        except PlatformError as error:
            metrics.PLATFORM_ERRORS.add(name, _KINDS.get(type(error), "failed"))
            before = self._troubles.get(question)
            if not before:
                log.error(
                    "the platform does not tell what it is asked", account=name, about=question, reason=str(error)
                )
            since = before.since if before else self._clock()
            self._troubles[question] = Trouble(since, str(error), refused=isinstance(error, NotAuthorised))
            raise
        metrics.PLATFORM_SUCCESS.set(self._clock() / 1000, name, question)
        if self._troubles.pop(question, None):
            log.warning("the platform tells it again", account=name, about=question)
        return answer

    def _is_lasting(self, trouble: Trouble) -> bool:
        return self._clock() - trouble.since >= PATIENCE

"""All that is done with one account of the platform's HTTP API. Imported where there is one: httpx comes with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
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
        holding: bool,
        wake: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self.account = account
        self.credentials = credentials
        self._password = password
        self._clock = clock
        name = account.key
        self.quota = Quota(account, credentials, spool, facts, holding=holding, wake=wake, clock=clock)
        self.feedback = Feedback(name, suppression, spool, facts, clock)
        self.books = Books(name, credentials, spool, clock)
        self._trouble: Trouble | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        async with self._client() as client:
            await asyncio.gather(
                self._repeat(lambda: self.quota.ask(client), self.account.poll / 1000),
                self._repeat(lambda: self.feedback.sync(client), FEEDBACK_EVERY),
                self._repeat(lambda: self.books.keep(client), BOOKS_EVERY),
                self.quota.run(),
            )

    async def sync(self) -> dict[str, Any]:
        """Ask for failures now. :returns: what was new, or ``error``. :raises SpoolError: it could not be kept."""
        return await self._told(lambda client: self.feedback.sync(client))

    async def reconcile(self, day: date | None) -> dict[str, Any]:
        """Lay our books beside the platform's now.

        :param day: in Asia/Shanghai; None: yesterday.
        :returns: a report, or ``error``.
        :raises SpoolError: ours cannot be read.
        """
        return await self._told(lambda client: self.books.reconcile(client, day or self.books.yesterday()))

    def problems(self) -> Iterator[Problem]:
        """What an operator should know."""
        yield from self.quota.problems()
        yield from self.feedback.problems()
        if trouble := self._trouble:
            values = {"name": self.account.key, "since": local_time(trouble.since), "words": trouble.words}
            if trouble.refused:
                yield problems.PLATFORM_REFUSES.of(self.account.key, **values)
            elif self._is_silent():
                yield problems.PLATFORM_SILENT.of(self.account.key, **values)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AsyncPlatformClient]:
        account = self.account
        client = await asyncio.to_thread(
            AsyncPlatformClient,
            account.username,
            self._password,
            account.base_url,
            allow_insecure=account.allow_insecure,
        )
        async with client:
            yield client

    async def _told(self, work: Callable[[AsyncPlatformClient], Awaitable[Learned | Report]]) -> dict[str, Any]:
        name = {"account": self.account.key}
        try:
            async with self._client() as client:
                return name | (await self._noting(work(client))).as_dict()
        except PlatformError as error:
            return name | {"error": str(error)}

    async def _repeat(self, work: Callable[[], Awaitable[object]], pause: float) -> None:
        """:param pause: seconds."""
        while True:
            try:
                await self._noting(work())
            except PlatformError:  # noted
                pass
            except SpoolError as error:
                log.error("what the platform told could not be kept", account=self.account.key, reason=str(error))
            except Exception:
                log.exception("asking the platform failed within smtprelay", account=self.account.key)
            await asyncio.sleep(pause)

    async def _noting(self, work: Awaitable[T]) -> T:
        """Note how it stands between the platform and us."""
        try:
            done = await work
        except PlatformError as error:
            self._failed(error)
            raise
        metrics.PLATFORM_SUCCESS.set(self._clock() / 1000, self.account.key)
        if self._trouble:
            log.warning("the platform answers again", account=self.account.key)
        self._trouble = None
        return done

    def _failed(self, error: PlatformError) -> None:
        name = self.account.key
        metrics.PLATFORM_ERRORS.add(name, _KINDS.get(type(error), "failed"))
        if not self._trouble:
            log.error("the platform does not tell what it was asked", account=name, reason=str(error))
        since = self._trouble.since if self._trouble else self._clock()
        self._trouble = Trouble(since, str(error), refused=isinstance(error, NotAuthorised))
        if self._is_silent():
            self.quota.forget()

    def _is_silent(self) -> bool:
        return self._trouble is not None and self._clock() - self._trouble.since >= PATIENCE

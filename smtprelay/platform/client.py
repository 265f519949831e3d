"""`PlatformClient` and `AsyncPlatformClient`: all calls, by resource."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from typing import Any, Generic, Self, TypeVar

import httpx

from smtprelay.platform.account import Account
from smtprelay.platform.body import Body
from smtprelay.platform.call import Async, Call, M, Pages, Sync
from smtprelay.platform.contacts import Contacts
from smtprelay.platform.core import BROKEN, Core, deadline
from smtprelay.platform.domains import Domains
from smtprelay.platform.errors import PlatformError
from smtprelay.platform.failures import Failures
from smtprelay.platform.hourly import Hourly
from smtprelay.platform.mailboxes import Mailboxes
from smtprelay.platform.statistics import Statistics
from smtprelay.platform.tasks import Tasks
from smtprelay.platform.templates import Templates
from smtprelay.platform.tracking import Tracking
from smtprelay.values import BASE_URL

T = TypeVar("T")

logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log whole addresses


class _Platform(ABC, Generic[M]):
    """The resources, chapter by chapter."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.account: Account[M] = Account(self)
        self.statistics: Statistics[M] = Statistics(self)
        self.failures: Failures[M] = Failures(self)
        self.tracking: Tracking[M] = Tracking(self)
        self.contacts: Contacts[M] = Contacts(self)
        self.templates: Templates[M] = Templates(self)
        self.tasks: Tasks[M] = Tasks(self)
        self.domains: Domains[M] = Domains(self)
        self.mailboxes: Mailboxes[M] = Mailboxes(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core!r})"

    @abstractmethod
    def send(self, call: Call[Any]) -> Any:
        """See the two clients."""

    @abstractmethod
    def each(self, pages: Pages[Any]) -> Any:
        """See the two clients."""


class PlatformClient(_Platform[Sync]):
    """The HTTP API of the platform, for code that waits. It is not for several threads at once.

    :param base_url: ``http://`` only where `allow_insecure` says so.
    :param username: of the account, or of the manager above it.
    :param hourly: shared by clients of the same account.
    :raises ValueError: address or username cannot be used.
    :raises PlatformUnreachable: the environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        username: str,
        password: str,
        base_url: str = BASE_URL,
        *,
        allow_insecure: bool = False,
        hourly: Hourly | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(Core.of(base_url, username, password, allow_insecure=allow_insecure, hourly=hourly))
        self._http = self._core.open(httpx.Client)
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Make a call.

        :raises PlatformError: it did not do what it should; nothing else but `OSError`, where an upload cannot be read.
        """
        tries = 0
        while True:
            tries += 1
            try:
                return self._try(call)
            except PlatformError as error:
                pause = self._core.pause(call, error, tries)
                if pause is None:
                    raise
            self._sleep(pause)

    def each(self, pages: Pages[T]) -> Iterator[T]:
        """The rows of all pages. :raises PlatformError: as `send`."""
        before: Sequence[T] = ()
        for number in range(1, 2**31):
            rows = self.send(pages.page(number))
            if rows == before:  # it takes no notice of page numbers
                return
            yield from rows
            if len(rows) < pages.size:
                return
            before = rows

    def _try(self, call: Call[T]) -> T:
        self._core.count(call)
        with self._core.request(call, self._http) as request:
            try:
                status, body = self._fetch(request)
            except BROKEN as error:
                problem: Exception = self._core.unreachable(call, error)
            except OSError as error:
                problem = error.with_traceback(None)
            else:
                return self._core.judge(call, status, body)
        raise problem  # from here: within `except` the request, which has the password, would hang on it

    def _fetch(self, request: httpx.Request) -> tuple[int, bytes]:
        end = time.monotonic() + deadline(request)
        with closing(self._http.send(request, stream=True)) as response:
            body = Body(response.headers)
            for octets in response.iter_raw():
                body.add(octets)
                if time.monotonic() > end:
                    raise TimeoutError
        return response.status_code, body.whole()


class AsyncPlatformClient(_Platform[Async]):
    """The same for asyncio. Its first call reads the system's certificates, in a thread."""

    def __init__(
        self,
        username: str,
        password: str,
        base_url: str = BASE_URL,
        *,
        allow_insecure: bool = False,
        hourly: Hourly | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(Core.of(base_url, username, password, allow_insecure=allow_insecure, hourly=hourly))
        self._http: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        async with self._opening:
            if self._http:
                await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """See `PlatformClient.send`. Answers are read in a thread: they can have megabytes."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self._try(call)
            except PlatformError as error:
                pause = self._core.pause(call, error, tries)
                if pause is None:
                    raise
            await self._sleep(pause)

    async def each(self, pages: Pages[T]) -> AsyncIterator[T]:
        """See `PlatformClient.each`."""
        before: Sequence[T] = ()
        for number in range(1, 2**31):
            rows = await self.send(pages.page(number))
            if rows == before:
                return
            for row in rows:
                yield row
            if len(rows) < pages.size:
                return
            before = rows

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._http is None:
                self._http = await asyncio.to_thread(self._core.open, httpx.AsyncClient)
            return self._http

    async def _try(self, call: Call[T]) -> T:
        http = await self._open()
        self._core.count(call)
        with self._core.request(call, http) as request:
            try:
                status, body = await self._fetch(http, request)
            except BROKEN as error:
                problem: Exception = self._core.unreachable(call, error)
            except OSError as error:
                problem = error.with_traceback(None)
            else:
                return await asyncio.to_thread(self._core.judge, call, status, body)
        raise problem

    async def _fetch(self, http: httpx.AsyncClient, request: httpx.Request) -> tuple[int, bytes]:
        async with asyncio.timeout(deadline(request)), aclosing(await http.send(request, stream=True)) as response:
            body = Body(response.headers)
            async for octets in response.aiter_raw():
                body.add(octets)
                await asyncio.sleep(0)  # thousands of chunks of an octet each come at once
        return response.status_code, await asyncio.to_thread(body.whole)

"""A client of either kind, which is asked in one way, against the sandbox's platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

from smtprelay.platform import AsyncPlatformClient, PlatformClient
from smtprelay.platform.call import Resource, call, paged
from smtprelay.sandbox.platform import Platform

P = ParamSpec("P")
T = TypeVar("T")

Made = call[Any, Any] | paged[Any, Any]


def calls_of(resource: type[Resource[Any]]) -> set[Made]:
    """All that it can ask."""
    return {each for each in vars(resource).values() if isinstance(each, call | paged)}


class Caller:
    """Asks with one client, and remembers what.

    :ivar made: the calls that were made.
    """

    def __init__(self, platform: Platform, client: PlatformClient | AsyncPlatformClient) -> None:
        self.platform = platform
        self._client = client
        self.made: set[Made] = set()

    async def ask(self, made: call[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Make a call, be it awaited or waited for in a thread."""
        method = self._bound(made)
        if isinstance(self._client, PlatformClient):
            return await asyncio.to_thread(method, *args, **options)
        return await method(*args, **options)  # type: ignore[no-any-return]

    async def all(self, made: paged[P, T], *args: P.args, **options: P.kwargs) -> list[T]:
        """All rows of a call that comes page by page."""
        method = self._bound(made)
        if isinstance(self._client, PlatformClient):
            return await asyncio.to_thread(lambda: list(method(*args, **options)))
        return [row async for row in method(*args, **options)]

    def _bound(self, made: Made) -> Any:
        self.made.add(made)
        resource = next(
            each for each in vars(self._client).values() if isinstance(each, Resource) and made in calls_of(type(each))
        )
        return getattr(resource, made.describe.__name__)


@asynccontextmanager
async def calling(platform: Platform, kind: str, log_in: tuple[str, str]) -> AsyncIterator[Caller]:
    """:param kind: ``"sync"`` or ``"async"``."""
    if kind == "sync":
        with PlatformClient(*log_in, platform.url, allow_insecure=True) as client:
            yield Caller(platform, client)
    else:
        async with AsyncPlatformClient(*log_in, platform.url, allow_insecure=True) as async_client:
            yield Caller(platform, async_client)

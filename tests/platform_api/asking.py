"""Both clients, asked in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from smtprelay.platform import AsyncPlatformClient, PlatformClient
from smtprelay.platform.hourly import Hourly

USERNAME = "用户"
PASSWORD = "geheim-&-密码"

Asked = Callable[[Any], Any]  # what a test asks of a client


@dataclass
class Asking:
    """Asks `PlatformClient`, or `AsyncPlatformClient`.

    :ivar pauses: seconds for which it would have slept.
    """

    asynchronous: bool
    pauses: list[float] = field(default_factory=list)

    def __call__(self, url: str, asked: Asked, *, hourly: Hourly | None = None) -> Any:
        """What the call returns; the rows of one that has pages."""
        if self.asynchronous:
            return asyncio.run(self._in_loop(url, asked, hourly))
        with PlatformClient(
            USERNAME, PASSWORD, url, allow_insecure=True, hourly=hourly, sleep=self.pauses.append
        ) as platform:
            told = asked(platform)
            return list(told) if hasattr(told, "__next__") else told

    async def _in_loop(self, url: str, asked: Asked, hourly: Hourly | None) -> Any:
        async with AsyncPlatformClient(
            USERNAME, PASSWORD, url, allow_insecure=True, hourly=hourly, sleep=self._sleep
        ) as platform:
            told = asked(platform)
            return [row async for row in told] if isinstance(told, AsyncIterator) else await told

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

"""The send API for callers without an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from email.message import Message as EmailMessage
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from smtprelay.client import background
from smtprelay.client.aio import AsyncRelay
from smtprelay.client.many import AnyContact, Batch, until_broken
from smtprelay.client.message import Common, Fields, Message
from smtprelay.client.parcel import Addresses
from smtprelay.client.receipt import Receipt, Result

_AHEAD = 2  # slices of contacts that are under way at one time


class Relay:
    """A relay to send through; its methods wait. Threads may share it, and so may processes that fork.

    ::

        relay = Relay("smtp://127.0.0.1:2525", from_="shop@example.com")
        receipt = relay.send(to="wang@example.org", subject="你好", text="Hello")

    The arguments and what is raised are those of `AsyncRelay`, and so are the methods'.
    """

    def __init__(self, url: str, *, from_: str = "", connections: int = 4, timeout: float = 60.0) -> None:
        self._begin(partial(AsyncRelay, url, from_=from_, connections=connections, timeout=timeout))

    @classmethod
    def direct(cls, config: str | PathLike[str], *, from_: str = "") -> Self:
        """See `AsyncRelay.direct`."""
        relay = cls.__new__(cls)
        # A process that forks may change its folder, and begins anew there.
        relay._begin(partial(AsyncRelay.direct, Path(config).absolute(), from_=from_))
        return relay

    def _begin(self, make: Callable[[], AsyncRelay]) -> None:
        self._make = make
        self._relay = make()
        self._loop: asyncio.AbstractEventLoop | None = None

    def send(self, message: Message | None = None, **fields: Unpack[Fields]) -> Receipt:
        """See `AsyncRelay.send`."""
        relay, loop = self._here()
        return background.run(relay.send(message, **fields), loop)

    def send_message(self, message: EmailMessage | bytes, *, from_: str = "", to: Addresses | None = None) -> Receipt:
        """See `AsyncRelay.send_message`."""
        relay, loop = self._here()
        return background.run(relay.send_message(message, from_=from_, to=to), loop)

    def send_many(
        self, *, contacts: Iterable[AnyContact], idempotency_key: str = "", **fields: Unpack[Common]
    ) -> Generator[Result]:
        """See `AsyncRelay.send_many`. `contacts` is gone through in the caller's thread, in small slices."""
        relay, loop = self._here()
        return _results(relay.batch(idempotency_key, fields), iter(contacts), loop)

    def close(self) -> None:
        """See `AsyncRelay.close`. The connections of a relay that is not closed go after a minute of rest."""
        relay, loop = self._here()
        background.run(relay.close(), loop)

    def _here(self) -> tuple[AsyncRelay, asyncio.AbstractEventLoop]:
        """The relay's connections, and the loop that they belong to, of this very process."""
        with background.lock():
            loop = background.loop()
            if self._loop not in (None, loop):
                background.keep(self._relay)
                self._relay = self._make()
            self._loop = loop
            return self._relay, loop

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _results(batch: Batch, contacts: Iterable[AnyContact], loop: asyncio.AbstractEventLoop) -> Generator[Result]:
    """Whoever asks the loop for each message alone waits longer for the loop than for the relay: so slices."""
    sending: deque[Future[list[Result]]] = deque()
    broken: list[Exception] = []
    contacts = until_broken(contacts, broken)
    try:
        while piece := list(islice(contacts, batch.width)):
            sending.append(asyncio.run_coroutine_threadsafe(batch.send_all(piece), loop))
            if len(sending) > _AHEAD:
                yield from sending.popleft().result()
        while sending:
            yield from sending.popleft().result()
        for error in broken:
            raise error
    finally:
        for future in sending:
            future.cancel()

"""Webhooks: addresses that are told of events over HTTP, each in order, at least once, never in the way of mail.

The spool keeps an event until all have been told, or until it is too old; where each webhook is, it keeps as a fact. So
a webhook that failed, or a relay that was killed, goes on where it was.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from smtprelay import __version__, metrics
from smtprelay.config import Webhook
from smtprelay.events import Batch, batch
from smtprelay.spool import Spool, SpoolError

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger("webhooks")

BATCH = 100  # events that are told at once
EVERY = 1.0  # seconds between two looks at what there is to tell
TIMEOUT = 10.0  # seconds that a webhook has to answer
FIRST_WAIT, LONGEST_WAIT = 5.0, 3600.0  # seconds until it is tried again: doubled each time
KEPT = 100_000  # events that wait for their webhook
OLDEST = 3 * 86_400_000  # milliseconds that they wait
UPKEEP = 10.0  # seconds
PAUSE = 0.1  # seconds between two slices of events that are dropped: messages come first
PATIENCE = 10.0  # seconds until a spool that failed is asked again
MAX_ANSWER = 64 * 2**10  # octets of an answer that are read, so that the connection can be used again
GONE = 410
_CURSOR = "webhook/"  # prefix of the facts in the spool that say how far a webhook was told


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook as it is configured, with its secret.

    :param keys: of HMAC-SHA256; each signs, so that a secret can be changed.
    """

    url: str
    events: tuple[str, ...]
    keys: tuple[bytes, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """For logs: a query often holds a password."""
        parts = urlsplit(self.url)
        return parts._replace(query="…" if parts.query else "", fragment="").geturl()

    @property
    def cursor(self) -> str:
        """The fact that says how far it was told."""
        return _CURSOR + hashlib.sha256(self.url.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A webhook that does not take what it is told.

    :param since: Unix time in milliseconds.
    :param words: how it failed last.
    """

    since: int
    words: str


def targets(webhooks: Iterable[Webhook], secrets: Mapping[str, Sequence[bytes]]) -> tuple[Target, ...]:
    """The configured webhooks with their secrets, which are given by URL."""
    return tuple(Target(webhook.url, webhook.events, tuple(secrets[webhook.url])) for webhook in webhooks)


def wanted(webhooks: Iterable[Webhook | Target]) -> set[str]:
    """The events that somebody wants to be told."""
    return {event for webhook in webhooks for event in webhook.events}


def signed(told: Batch, timestamp: int, keys: Iterable[bytes]) -> dict[str, str]:
    """The header fields that prove where a request is from (Standard Webhooks 1.0.0, "Webhook headers").

    :param timestamp: Unix time in seconds.
    """
    content = f"{told.id}.{timestamp}.".encode() + told.body
    signatures = [base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys]
    return {
        "webhook-id": told.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


class NotTaken(Exception):
    """A webhook did not take what it was told; the text says how.

    :ivar status: of HTTP; 0 where no answer came.
    """

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


async def post(client: httpx.AsyncClient, target: Target, told: Batch, timestamp: int) -> None:
    """Tell a webhook, once.

    :param timestamp: Unix time in seconds.
    :raises NotTaken: whatever the other side does, nothing else comes of it.
    """
    headers = {"content-type": "application/json", "user-agent": f"smtprelay/{__version__}"}
    headers |= signed(told, timestamp, target.keys)
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            client.stream("POST", target.url, content=told.body, headers=headers) as response,
        ):
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > MAX_ANSWER:
                    break
    except TimeoutError:
        raise NotTaken(f"no answer within {TIMEOUT:g} s") from None
    except Exception as error:
        raise NotTaken(str(error) or type(error).__name__) from error
    if not response.is_success:
        raise NotTaken(f"it answers {response.status_code} {response.reason_phrase}".strip(), response.status_code)


class _Teller:
    """Tells one webhook.

    :ivar cursor: the number of the last event that it need not be told any more.
    :ivar trouble: None while all is well.
    """

    def __init__(self, target: Target, spool: Spool, cursor: int, clock: Callable[[], int]) -> None:
        self.target = target
        self.cursor = cursor
        self.trouble: Trouble | None = None
        self._spool = spool
        self._clock = clock
        self._taken = cursor  # up to this number events are on their way to it
        self._lost = 0

    async def run(self, client: httpx.AsyncClient) -> None:
        """Until it is cancelled, or the webhook says that it is gone."""
        while True:
            try:
                events = await self._spool.events(self.cursor, self.target.events, BATCH)
                self._taken = events.last
                if events.found and not await self._tell(client, batch(events.found)):
                    return
                self.cursor = max(self.cursor, events.last)
                if events.found:
                    await self._spool.remember(self.target.cursor, str(self.cursor))
                if not events.more:
                    await asyncio.sleep(EVERY)
            except SpoolError as error:
                log.error("events cannot be read for a webhook", webhook=self.target.name, reason=str(error))
                await asyncio.sleep(PATIENCE)
            except Exception:  # whatever it is, mail goes on
                log.exception("webhook failed within smtprelay", webhook=self.target.name)
                await asyncio.sleep(PATIENCE)

    def lose(self, dropped: Sequence[tuple[int, str]]) -> None:
        """Events are no more; those that it was not told are counted, and said so once."""
        lost = sum(number > self._taken and event in self.target.events for number, event in dropped)
        if lost and not self._lost:
            log.error("events are dropped: their webhook has not taken them for too long", webhook=self.target.name)
        if lost:
            self._lost += lost
            metrics.WEBHOOK_DROPPED.add(self.target.name, n=lost)
        self.cursor = max(self.cursor, dropped[-1][0])

    async def _tell(self, client: httpx.AsyncClient, told: Batch) -> bool:
        """Again and again, until it has been taken. :returns: False where the webhook is gone."""
        name, wait = self.target.name, FIRST_WAIT
        while True:
            try:
                await post(client, self.target, told, self._clock() // 1000)
                break
            except NotTaken as problem:
                metrics.WEBHOOK_DELIVERIES.add(name, "failed")
                self.trouble = Trouble(self.trouble.since if self.trouble else self._clock(), str(problem))
                if problem.status == GONE:
                    log.error("webhook is gone: it is told nothing until the next start or reload", webhook=name)
                    return False
                log.warning("webhook does not take events", webhook=name, reason=str(problem), again_in=wait)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
        metrics.WEBHOOK_DELIVERIES.add(name, "taken")
        if self.trouble:
            log.info("webhook takes events again", webhook=name, dropped=self._lost)
        self.trouble, self._lost = None, 0
        return True


class Webhooks:
    """All webhooks.

    :param clock: Unix time in milliseconds.
    """

    def __init__(self, targets: Sequence[Target], spool: Spool, clock: Callable[[], int]) -> None:
        self._targets = targets
        self._spool = spool
        self._clock = clock
        self._tellers: list[_Teller] = []
        self._changed = asyncio.Event()

    def use(self, targets: Sequence[Target]) -> None:
        """Tell these from now on. One that was gone, or waits to be tried again, is tried now."""
        if tuple(targets) != tuple(self._targets) or self.troubles:
            self._targets = targets
            self._changed.set()

    @property
    def troubles(self) -> dict[str, Trouble]:
        """The webhooks that take nothing now, by name."""
        return {teller.target.name: teller.trouble for teller in self._tellers if teller.trouble}

    async def start(self) -> None:
        """Keep events from now on. :raises SpoolError: it cannot."""
        self._changed.clear()
        await self._spool.record(wanted(self._targets))
        cursors = await self._spool.recall(_CURSOR)
        newest = await self._spool.last_event()
        self._tellers = [
            _Teller(target, self._spool, int(cursors.pop(target.cursor, newest)), self._clock)
            for target in self._targets
        ]
        for forgotten in cursors:
            await self._spool.remember(forgotten, None)
        for teller in self._tellers:  # before it was told anything: it might be killed before that
            await self._spool.remember(teller.target.cursor, str(teller.cursor))
        if self._tellers:
            log.info("webhooks are told", webhooks=[target.name for target in self._targets])

    async def run(self) -> None:
        """Until it is cancelled; after `start`."""
        while True:
            try:
                if self._tellers:
                    await self._tell()
                else:
                    await self._drop()
                    metrics.WEBHOOK_BACKLOG.replace({})
                    await self._changed.wait()
                await self.start()
            except Exception:
                log.exception("webhooks failed within smtprelay")
                await asyncio.sleep(PATIENCE)

    async def _tell(self) -> None:
        """Until other webhooks are to be told."""
        async with await _client() as client:
            telling = [asyncio.create_task(teller.run(client)) for teller in self._tellers]
            try:
                while not self._changed.is_set():
                    await self._keep_house()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), UPKEEP)
            finally:
                for task in telling:
                    task.cancel()
                await asyncio.gather(*telling, return_exceptions=True)

    async def _keep_house(self) -> None:
        try:
            await self._drop()
            await self._count()
        except SpoolError as error:
            log.error("told events could not be dropped", reason=str(error))

    async def _drop(self) -> None:
        """What all have been told, and what waits for too long."""
        newest = await self._spool.last_event()
        told = min((teller.cursor for teller in self._tellers), default=newest)
        while dropped := await self._spool.drop_events(max(told, newest - KEPT), self._clock() - OLDEST):
            for teller in self._tellers:
                teller.lose(dropped)
            await asyncio.sleep(PAUSE)

    async def _count(self) -> None:
        waiting: dict[metrics.Labels, float] = {}
        for teller in self._tellers:
            name, events = teller.target.name, teller.target.events
            waiting[name,] = await self._spool.count_events(teller.cursor, events)
        metrics.WEBHOOK_BACKLOG.replace(waiting)


async def _client() -> httpx.AsyncClient:
    """What talks HTTP. It takes 100 ms to import, and the system's certificates as long to read."""

    def make() -> httpx.AsyncClient:
        http = import_module("httpx")
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log whole addresses
        client: httpx.AsyncClient = http.AsyncClient(
            verify=ssl.create_default_context(),
            timeout=None,  # `post` has one
            mounts=dict.fromkeys(("all://127.0.0.1", "all://[::1]", "all://localhost")),  # never through a proxy
        )
        return client

    return await asyncio.to_thread(make)

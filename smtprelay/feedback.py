"""What the platform tells later of mail that it has taken: who did not get it, and who wants no more.

It takes the bounces, so only its lists of the day's failures say who does not exist. Each is asked for again and again,
and what is new in it is entered into the list of addresses that are not sent to, and into the history of the mail.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import structlog

from smtprelay import metrics, problems
from smtprelay.config import SuppressionSection
from smtprelay.message import AddressError, parse_address
from smtprelay.platform import AsyncPlatformClient
from smtprelay.platform.contact_values import Unsubscribed
from smtprelay.platform.failures import Failure, FailureType
from smtprelay.problems import Problem
from smtprelay.spool import Fate, Spool
from smtprelay.suppression import CHINA, UNSUBSCRIBED, beginning_of, of_failure, of_unsubscription

log = structlog.get_logger("platform")

FIRST_DAYS = 14  # that are asked for at first
LATE_DAYS = 2  # that are asked for again: bounces come late
ALARM = 86_400_000  # milliseconds that a problem is shown for which there is no end

R = TypeVar("R", Failure, Unsubscribed)


@dataclass(slots=True)
class Learned:
    """What was new.

    :ivar failures: recipients that mail had been handed over for and that failed, by the platform's type.
    :ivar unsubscribed: addresses that unsubscribed.
    :ivar suppressed: addresses that are not sent to from now on, or for another reason.
    :ivar unusable: what is told as an address and is none.
    """

    failures: dict[str, int] = field(default_factory=dict)
    unsubscribed: int = 0
    suppressed: int = 0
    unusable: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Feedback:
    """That of one account.

    :param name: the account's.
    :param facts: what the spool remembers.
    :param clock: Unix time in milliseconds.
    """

    def __init__(
        self,
        name: str,
        settings: SuppressionSection,
        spool: Spool,
        facts: Mapping[str, str],
        clock: Callable[[], int],
    ) -> None:
        self._name = name
        self._settings = settings
        self._spool = spool
        self._clock = clock
        self._spam: dict[str, int] = json.loads(facts.get(self._fact("spam"), "{}"))
        self._asking = asyncio.Lock()

    async def sync(self, client: AsyncPlatformClient) -> Learned:
        """Ask for what is new.

        :raises PlatformError: it does not tell all; what it told is entered. :raises SpoolError: likewise.
        """
        async with self._asking:
            learned = Learned()
            known = await self._spool.recall(self._fact(""))
            try:
                await self._ask_for_failures(client, known, learned)
                await self._ask_for_unsubscribed(client, known, learned)
            finally:
                self._tell(learned)
            return learned

    def problems(self) -> Iterator[Problem]:
        """Mail that was judged as spam, for a day."""
        if self._spam and self._clock() - self._spam["at"] < ALARM:
            yield problems.SPAM.of(self._name, name=self._name, count=self._spam["count"])

    def _fact(self, key: str) -> str:
        return f"platform/{self._name}/{key}"

    async def _ask_for_failures(self, client: AsyncPlatformClient, known: Mapping[str, str], learned: Learned) -> None:
        today = datetime.fromtimestamp(self._clock() / 1000, CHINA).date()
        complete = known.get(self._fact("complete"))
        first = date.fromisoformat(complete) - timedelta(LATE_DAYS) if complete else today - timedelta(FIRST_DAYS)
        for number in range((today - first).days + 1):
            day = first + timedelta(number)
            key = self._fact(f"failures/{day}")
            told = await client.failures.all(day)
            new = await self._unseen(told, known.get(key))
            if new:
                await self._take_failures(day, new, learned)
                await self._spool.remember(key, await _mark(told))
        await self._spool.remember(self._fact("complete"), str(today - timedelta(1)))
        for key in known:
            if key.startswith(prefix := self._fact("failures/")) and key.removeprefix(prefix) < str(first):
                await self._spool.remember(key, None)

    async def _take_failures(self, day: date, new: Sequence[Failure], learned: Learned) -> None:
        by_type: dict[str, list[str]] = defaultdict(list)
        for failure in new:
            if address := _address(failure):
                by_type[failure.type.value].append(address)
            else:
                learned.unusable += 1
        for cause, addresses in by_type.items():
            entries = (of_failure(address, cause, day, self._name, self._settings) for address in addresses)
            learned.suppressed += await self._spool.suppress(entry for entry in entries if entry)
            source = f"platform {self._name}"
            fates = (Fate(address, beginning_of(day), cause, source) for address in addresses)
            count = await self._spool.report(fates)
            learned.failures[cause] = learned.failures.get(cause, 0) + count
            metrics.PLATFORM_REPORTS.add(self._name, cause, n=count)
            if cause == FailureType.SPAM and count:
                await self._alarm(count)

    async def _alarm(self, count: int) -> None:
        log.error("the platform judged mail as spam, and did not send it", account=self._name, recipients=count)
        lasts = bool(list(self.problems()))
        self._spam = {"at": self._clock(), "count": count + (self._spam["count"] if lasts else 0)}
        await self._spool.remember(self._fact("spam"), json.dumps(self._spam))

    async def _ask_for_unsubscribed(
        self, client: AsyncPlatformClient, known: Mapping[str, str], learned: Learned
    ) -> None:
        for contacts in await client.contacts.lists():
            key = self._fact(f"unsubscribed/{contacts.id}")
            told = await client.contacts.unsubscribed(contacts.id)
            new = await self._unseen(told, known.get(key))
            if new:
                usable = [(address, one.at) for one in new if (address := _address(one))]
                learned.unusable += len(new) - len(usable)
                now = self._clock()
                count = await self._spool.suppress(
                    entry
                    for address, at in usable
                    if (entry := of_unsubscription(address, _ms(at) or now, self._name, self._settings))
                )
                learned.unsubscribed += count
                learned.suppressed += count
                metrics.PLATFORM_REPORTS.add(self._name, UNSUBSCRIBED, n=count)
                await self._spool.remember(key, await _mark(told))

    async def _unseen(self, told: Sequence[R], mark: str | None) -> Sequence[R]:
        """What is new in a list that the platform only adds to; all of it where it did otherwise: that does no harm."""
        count = int(mark.partition(" ")[0]) if mark else 0
        return told[count:] if mark and await _mark(told[:count]) == mark else told

    def _tell(self, learned: Learned) -> None:
        if learned.failures or learned.unsubscribed or learned.unusable:
            log.info(
                "the platform told of failures",
                account=self._name,
                failures=learned.failures,
                unsubscribed=learned.unsubscribed,
                suppressed=learned.suppressed,
                unusable=learned.unusable,
            )


async def _mark(told: Sequence[Failure | Unsubscribed]) -> str:
    """Tells whether a list begins as it did: how many there were, and a digest of them."""
    return await asyncio.to_thread(_digest, told)


def _digest(told: Sequence[Failure | Unsubscribed]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for one in told:
        digest.update(f"{one!r}\n".encode(errors="replace"))
    return f"{len(told)} {digest.hexdigest()}"


def _address(told: Failure | Unsubscribed) -> str:
    """In its normal form; ``""`` where it is none, which nothing can be sent to anyway."""
    try:
        return parse_address(told.address)
    except AddressError:
        return ""


def _ms(at: datetime | None) -> int:
    return round(at.timestamp() * 1000) if at else 0

"""What the platform tells later of mail that it has taken: who did not get it, and who wants no more.

It takes the bounces, so only its lists of the day's failures say who does not exist. Each is asked for again and again,
and what is new in it is entered into the list of addresses that are not sent to, and into the history of the mail.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import structlog
from pydantic import TypeAdapter

from smtprelay import metrics, problems
from smtprelay.config import SuppressionSection, is_failure_type
from smtprelay.message import AddressError, parse_address
from smtprelay.platform import AsyncPlatformClient, CallFailed, PlatformError, PlatformUnreachable, UnreadableAnswer
from smtprelay.platform.contact_values import Unsubscribed
from smtprelay.platform.failures import Failure, FailureType
from smtprelay.problems import Problem
from smtprelay.spool import Fate, Spool, Suppression
from smtprelay.spool.facts import read_fact
from smtprelay.suppression import UNSUBSCRIBED, beginning_of, of_failure, of_unsubscription
from smtprelay.values import SHANGHAI

log = structlog.get_logger("platform")

FIRST_DAYS = 14  # that are asked for at first; one that is older, and that the platform does not tell, is given up
LATE_DAYS = 2  # that are asked for again: bounces come late
LISTS = 20  # of contacts that have as many as before: that are asked for at one time, those first that wait longest
SLICE = 10_000  # of what is told: looked at in a thread at one time, and then entered
UNKNOWN = "unknown"  # the cause of failures whose type is no number
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


@dataclass(frozen=True, slots=True)
class _Spam:
    """Mail that was judged as spam.

    :param at: when that was told last; Unix time in milliseconds.
    :param since: the first day of it, in Asia/Shanghai.
    :param count: recipients.
    """

    at: int
    since: date
    count: int


_SPAM = TypeAdapter(_Spam)


@dataclass(slots=True)
class _Round:
    """The questions of one time.

    :param known: what the spool remembers of earlier ones.
    :ivar errors: why something was not told.
    :ivar silent: the question before was not answered.
    """

    client: AsyncPlatformClient
    known: Mapping[str, str]
    learned: Learned = field(default_factory=Learned)
    errors: list[PlatformError] = field(default_factory=list)
    silent: bool = False

    async def is_told(self, question: Awaitable[None]) -> bool:
        """Whether the platform tells a day or a list. One that it does not tell must not keep the others from being
        told for good, nor must two.

        :raises PlatformError: it would tell none: it did not answer for two in a row, nor a question that is light.
        """
        was_silent, self.silent = self.silent, False
        try:
            await question
        except (CallFailed, UnreadableAnswer) as error:
            self.errors.append(error)
        except PlatformUnreachable as error:
            self.silent = True
            self.errors.append(error)
        else:
            return True
        if was_silent and self.silent:
            await self.client.account.service()
        return False


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
        self._spam = read_fact(facts, self._fact("spam"), _SPAM.validate_json)
        self._asking = asyncio.Lock()
        # How many contacts a list had when it was asked for: one fewer may have left. What waits longest comes first.
        self._contacts: dict[int, int] = {}

    async def sync(self, client: AsyncPlatformClient, *, whole: bool = False) -> Learned:
        """Ask for what is new.

        :param whole: also for who left lists of contacts whose turn it is not.
        :raises PlatformError: it does not tell all; what it told is entered. :raises SpoolError: likewise.
        """
        async with self._asking:
            asking = _Round(client, await self._spool.recall(self._fact("")))
            try:
                await self._ask_for_failures(asking)
                await self._ask_for_unsubscribed(asking, whole=whole)
            finally:
                self._tell(asking.learned)
            if asking.errors:
                raise asking.errors[0]
            return asking.learned

    def problems(self) -> Iterator[Problem]:
        """Mail that was judged as spam, for a day."""
        if spam := self._recent_spam():
            yield problems.SPAM.of(self._name, name=self._name, count=spam.count, since=spam.since)

    def _recent_spam(self) -> _Spam | None:
        return self._spam if self._spam and self._clock() - self._spam.at < ALARM else None

    def _fact(self, key: str) -> str:
        return f"platform/{self._name}/{key}"

    async def _ask_for_failures(self, asking: _Round) -> None:
        today = datetime.fromtimestamp(self._clock() / 1000, SHANGHAI).date()
        complete = read_fact(asking.known, self._fact("complete"), date.fromisoformat)
        first = complete - timedelta(LATE_DAYS) if complete else today - timedelta(FIRST_DAYS)
        complete = today - timedelta(1)
        for number in range((today - first).days + 1):
            day = first + timedelta(number)
            if await asking.is_told(self._ask_for_day(asking, day)):
                continue
            if (today - day).days <= FIRST_DAYS:
                complete = min(complete, day + timedelta(LATE_DAYS))  # so that it is asked for again
            else:
                log.error(
                    "the failures of a day are given up: the platform does not tell them",
                    account=self._name,
                    day=str(day),
                    reason=str(asking.errors[-1]),
                )
        await self._spool.remember(self._fact("complete"), str(complete))
        for key in asking.known:
            if key.startswith(prefix := self._fact("failures/")) and key.removeprefix(prefix) < str(first):
                await self._spool.remember(key, None)

    async def _ask_for_day(self, asking: _Round, day: date) -> None:
        key = self._fact(f"failures/{day}")
        told = await asking.client.failures.all(day)
        if new := await self._unseen(told, asking.known, key):
            await self._take_failures(day, new, asking.learned)
            await self._spool.remember(key, await _mark(told))

    async def _take_failures(self, day: date, new: Sequence[Failure], learned: Learned) -> None:
        counts = Counter[str]()
        for some in _slices(new):
            usable = await asyncio.to_thread(self._usable_failures, day, some)
            learned.unusable += len(some) - sum(len(fates) for _, fates in usable.values())
            for cause, (entries, fates) in usable.items():
                learned.suppressed += await self._spool.suppress(entries)
                counts[cause] += await self._spool.report(fates)
        for cause, count in counts.items():
            learned.failures[cause] = learned.failures.get(cause, 0) + count
            metrics.PLATFORM_REPORTS.add(self._name, cause, n=count)
        if count := counts[FailureType.SPAM]:
            await self._alarm(day, count)

    def _usable_failures(
        self, day: date, told: Sequence[Failure]
    ) -> Mapping[str, tuple[list[Suppression], list[Fate]]]:
        """What is to be entered, by the cause."""
        usable: dict[str, tuple[list[Suppression], list[Fate]]] = defaultdict(lambda: ([], []))
        at, source = beginning_of(day), f"platform {self._name}"
        for failure in told:
            if address := _address(failure):
                cause = _cause(failure)
                entries, fates = usable[cause]
                fates.append(Fate(address, at, cause, source))
                if entry := of_failure(address, cause, day, self._name, self._settings):
                    entries.append(entry)
        return usable

    async def _alarm(self, day: date, count: int) -> None:
        log.error(
            "the platform judged mail as spam, and did not send it",
            account=self._name,
            day=str(day),
            recipients=count,
        )
        since = day
        if before := self._recent_spam():
            since, count = min(since, before.since), count + before.count
        self._spam = _Spam(self._clock(), since, count)
        await self._spool.remember(self._fact("spam"), _SPAM.dump_json(self._spam).decode())

    async def _ask_for_unsubscribed(self, asking: _Round, *, whole: bool) -> None:
        lists = {contacts.id: contacts for contacts in await asking.client.contacts.lists()}
        changed = [id_ for id_, contacts in lists.items() if self._contacts.get(id_) != contacts.count]
        unchanged = [id_ for id_ in self._contacts if id_ in lists.keys() - set(changed)]
        self._contacts = {id_: self._contacts[id_] for id_ in unchanged}
        for id_ in changed + unchanged[: None if whole else LISTS]:
            self._contacts.pop(id_, None)
            await asking.is_told(self._ask_for_list(asking, id_))
            self._contacts[id_] = lists[id_].count
        remembered = {key for key in asking.known if key.startswith(self._fact("unsubscribed/"))}
        for key in remembered - {self._fact(f"unsubscribed/{id_}") for id_ in lists}:
            await self._spool.remember(key, None)

    async def _ask_for_list(self, asking: _Round, list_id: int) -> None:
        key = self._fact(f"unsubscribed/{list_id}")
        told = await asking.client.contacts.unsubscribed(list_id)
        if new := await self._unseen(told, asking.known, key):
            await self._take_unsubscribed(new, asking.learned)
            await self._spool.remember(key, await _mark(told))

    async def _take_unsubscribed(self, new: Sequence[Unsubscribed], learned: Learned) -> None:
        for some in _slices(new):
            entries, unusable = await asyncio.to_thread(self._usable_unsubscribed, some)
            count = await self._spool.suppress(entries)
            learned.unsubscribed += count
            learned.suppressed += count
            learned.unusable += unusable
            metrics.PLATFORM_REPORTS.add(self._name, UNSUBSCRIBED, n=count)

    def _usable_unsubscribed(self, told: Sequence[Unsubscribed]) -> tuple[list[Suppression], int]:
        """What is to be entered, and how many are no addresses."""
        now = self._clock()
        # What is told of a day to come would be newer than whatever an operator does until then.
        usable = [(address, min(_ms(one.at) or now, now)) for one in told if (address := _address(one))]
        entries = (of_unsubscription(address, at, self._name, self._settings) for address, at in usable)
        return [entry for entry in entries if entry], len(told) - len(usable)

    async def _unseen(self, told: Sequence[R], known: Mapping[str, str], key: str) -> Sequence[R]:
        """What is new in a list that the platform only adds to; all of it where it did otherwise: that does no harm."""
        count = read_fact(known, key, _counted)
        return told[count:] if count and await _mark(told[:count]) == known[key] else told

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


def _slices(told: Sequence[R]) -> Iterator[Sequence[R]]:
    return (told[begin : begin + SLICE] for begin in range(0, len(told), SLICE))


async def _mark(told: Sequence[Failure | Unsubscribed]) -> str:
    """Tells whether a list begins as it did: how many there were, and a digest of them."""
    return await asyncio.to_thread(_digest, told)


def _counted(mark: str) -> int:
    """:raises ValueError: it is none of `_mark`'s."""
    return int(mark.partition(" ")[0])


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


def _cause(failure: Failure) -> str:
    """The failure's type, which may be one that is not documented. Not every word: `operator`, say, would undo what an
    operator did, and a thousand words would be a thousand series of a metric."""
    return failure.type.value if is_failure_type(failure.type.value) else UNKNOWN


def _ms(at: datetime | None) -> int:
    return round(at.timestamp() * 1000) if at else 0

"""Our books beside the platform's: for each day what we have handed over, what it says it took, sent and deducted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

import structlog

from smtprelay import metrics
from smtprelay.platform import AsyncPlatformClient
from smtprelay.spool import HandedOver, Spool
from smtprelay.spool.facts import read_fact
from smtprelay.suppression import beginning_of
from smtprelay.values import SHANGHAI

log = structlog.get_logger("platform")

AFTER = 6  # o'clock in China: the platform's figures of the day before are complete
MISSED_DAYS = 7  # that are caught up with at most


@dataclass(frozen=True, slots=True)
class Report:
    """A day, in Asia/Shanghai.

    :param day: as ``YYYY-MM-DD``.
    :param handed_over: recipients that the smarthost took from us, by the credentials that spend this account's quota.
    :param ambiguous: attempts on these of which nobody knows whether it did.
    :param taken: mails that the platform was to send, but for its web tasks.
    :param web: mails of its web tasks.
    :param sent: mails that it sent, all in all.
    :param failed: of these, those that were not delivered.
    :param batches: how many batches it made of them.
    :param batched: mails of all batches, by the statistics of the single ones.
    :param deducted: what it deducted from the quota, by the statistics of the day.
    :param deductions: the same, by its list of deductions.
    :param whole: the history still had all that we handed over then.
    :param complete: the platform knows all of that day by now.
    """

    account: str
    day: str
    handed_over: int
    ambiguous: int
    taken: int
    web: int
    sent: int
    failed: int
    batches: int
    batched: int
    deducted: int
    deductions: int
    whole: bool = True
    complete: bool = True

    @property
    def difference(self) -> int | None:
        """How many more the platform took than we have handed over; None where that cannot be said."""
        return self.taken - self.handed_over if self.whole else None

    @property
    def notes(self) -> list[str]:
        """What differs and what may be why: a sentence for each."""
        return list(_notes(self))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "difference": self.difference, "notes": self.notes}


def _notes(report: Report) -> Iterator[str]:
    if not report.complete:
        yield f"The day is not complete: its figures change until {AFTER} o'clock in the morning after it."
    more = report.difference
    if more is None:
        yield (
            "What we handed over is not known whole: [spool] history does not go back to the beginning of that day any "
            "more."
        )
    elif 0 < more <= report.ambiguous:
        yield (
            f"The platform took {more} more than we know of: {_counted(report.ambiguous, 'attempt')} broke off before "
            "its reply, and what is then sent again counts twice."
        )
    elif more > 0:
        yield (
            f"The platform took {more} more than we handed over: others send with this account, or with a credential "
            "that [[platform.accounts]] does not list for it."
        )
    elif more < 0:
        yield (
            f"The platform counts {-more} fewer than it took from us: bad addresses may be left out, what came late "
            "may count for the next day, or credentials are listed that spend the quota of another account."
        )
    if report.web:
        yield f"Its web tasks ({_counted(report.web, 'mail')}) are not ours; they count for the quota too."
    planned = report.taken + report.web
    if report.batched != planned:
        batched = _counted(report.batched, "mail")
        yield f"Its batches have {batched} and its day has {planned}: ask again when both are complete."
    if report.deducted != report.deductions:
        yield f"It deducted {report.deducted} by the day's figures, and {report.deductions} by its list of deductions."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


class Books:
    """Those of one account.

    :param credentials: names of those that spend its quota.
    :param history: how far that of the spool goes back, in milliseconds.
    :param clock: Unix time in milliseconds.
    """

    def __init__(
        self, name: str, credentials: tuple[str, ...], spool: Spool, history: int, clock: Callable[[], int]
    ) -> None:
        self._name = name
        self._fact = f"platform/{name}/books"
        self._credentials = credentials
        self._spool = spool
        self._history = history
        self._clock = clock

    def yesterday(self) -> date:
        """The last day that is over, in Asia/Shanghai."""
        return self._now().date() - timedelta(days=1)

    async def due(self) -> Sequence[date]:
        """The days since the last one that was kept, up to yesterday; none before the platform knows all of that. Of
        those before yesterday only what the history has whole.

        :raises SpoolError: the spool does not tell.
        """
        if self._now().hour < AFTER:
            return ()
        yesterday = self.yesterday()
        kept = read_fact(await self._spool.recall(self._fact), self._fact, date.fromisoformat)
        missed = min((yesterday - kept).days, MISSED_DAYS) if kept and kept <= yesterday else 1
        days = (yesterday - timedelta(number) for number in reversed(range(missed)))
        return [day for day in days if day == yesterday or self._has_whole(day)]

    async def keep(self, report: Report) -> None:
        """Tell of a day. :raises SpoolError: it cannot be remembered that this was done."""
        difference = report.difference
        if difference is not None:
            metrics.PLATFORM_DIFFERENCE.set(difference, self._name)
        tell = log.warning if difference else log.info
        tell("the day's books beside the platform's", **report.as_dict())
        await self._spool.remember(self._fact, report.day)

    async def reconcile(self, client: AsyncPlatformClient, day: date) -> Report:
        """Lay a day's books beside each other.

        :raises PlatformError: the platform does not tell. :raises SpoolError: the spool does not.
        """
        figures = await client.statistics.day(day)
        batches = await client.statistics.batches(day)
        deductions = await client.statistics.deductions(day)
        ours = await self._handed_over(day)  # much to read, and in vain where the platform does not tell
        return Report(
            account=self._name,
            day=str(day),
            handed_over=sum(of.recipients for of in ours),
            ambiguous=sum(of.ambiguous for of in ours),
            taken=figures.planned - figures.web_planned,
            web=figures.web_planned,
            sent=figures.sent,
            failed=figures.failed,
            batches=len(batches),
            batched=sum(batch.planned for batch in batches),
            deducted=figures.deducted,
            deductions=sum(deduction.deducted for deduction in deductions),
            whole=self._has_whole(day),
            complete=day < self.yesterday() or (day == self.yesterday() and self._now().hour >= AFTER),
        )

    def _has_whole(self, day: date) -> bool:
        """Whether nothing that was handed over on a day has been dropped from the history."""
        return self._clock() - self._history <= beginning_of(day)

    async def _handed_over(self, day: date) -> list[HandedOver]:
        since, until = beginning_of(day), beginning_of(day + timedelta(days=1))
        by_credential = await self._spool.handed_over(since, until)
        return [by_credential[name] for name in self._credentials if name in by_credential]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000, SHANGHAI)

"""A day's books beside the platform's: what is counted, and how a difference is explained."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from smtprelay import metrics
from smtprelay.books import Books, Report
from smtprelay.cli.platform.books import _as_text
from smtprelay.platform.statistics import Batch, DayStatistics, Deduction
from smtprelay.spool import HandedOver
from smtprelay.suppression import beginning_of
from smtprelay.values import SHANGHAI

DAY = date(2026, 11, 27)
DAY_MS = 86_400_000
FIGURES = DayStatistics(DAY, 0, 0, 0, 0, 0, 100, 100, 98, 2, 98)
BATCH = Batch(1, DAY, "20261127-1", 100, 100, 0, 2, 98, 2, 0, 0, 0, 98)
REPORT = Report("example", str(DAY), 100, 0, 100, 0, 98, 2, 1, 100, 98, 98)


@dataclass
class Platform:
    """It tells the same of each day."""

    figures: DayStatistics = FIGURES

    @property
    def statistics(self) -> Platform:
        return self

    async def day(self, day: date) -> DayStatistics:
        return self.figures

    async def batches(self, day: date) -> list[Batch]:
        return [BATCH]

    async def deductions(self, day: date) -> list[Deduction]:
        return [Deduction(day, "example", "SMTP", 100, 98)]


@dataclass
class Spool:
    """What was handed over on that day."""

    facts: dict[str, str] = field(default_factory=dict)

    async def handed_over(self, since: int, until: int) -> dict[str, HandedOver]:
        assert (since, until) == (beginning_of(DAY), beginning_of(DAY + timedelta(days=1)))
        return {"news": HandedOver(90, 1), "shop": HandedOver(10, 0), "another account's": HandedOver(7, 0)}

    async def remember(self, key: str, value: str | None) -> None:
        assert value is not None
        self.facts[key] = value

    async def recall(self, prefix: str) -> dict[str, str]:
        return {key: value for key, value in self.facts.items() if key.startswith(prefix)}


def books(at: datetime, spool: Spool | None = None, history: int = 14 * DAY_MS) -> Books:
    now = round(at.timestamp() * 1000)
    return Books("example", ("news", "shop"), spool or Spool(), history, lambda: now)  # type: ignore[arg-type]


async def test_the_credentials_of_the_account_count() -> None:
    report = await books(datetime(2026, 11, 28, 9, tzinfo=SHANGHAI)).reconcile(Platform(), DAY)  # type: ignore[arg-type]
    assert report == replace(REPORT, ambiguous=1)
    assert report.notes == []


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, []),
        ({"taken": 102, "batched": 102, "ambiguous": 3}, ["3 attempts broke off before its reply"]),
        ({"taken": 110, "batched": 110, "ambiguous": 3}, ["others send with this account"]),
        ({"taken": 95, "batched": 95}, ["counts 5 fewer than it took from us"]),
        ({"web": 20, "batched": 120}, ["web tasks (20 mails) are not ours"]),
        ({"batched": 90}, ["Its batches have 90 mails and its day has 100"]),
        ({"taken": 101, "batched": 101, "ambiguous": 1}, ["1 attempt broke off"]),
        ({"web": 1, "batched": 101}, ["web tasks (1 mail) are not ours"]),
        ({"batched": 1}, ["Its batches have 1 mail and its day has 100"]),
        ({"taken": 110, "batched": 110, "whole": False}, ["not known whole"]),
        ({"deducted": 98, "deductions": 90}, ["deducted 98 by the day's figures, and 90 by"]),
    ],
)
def test_a_difference_is_explained(changes: dict[str, Any], notes: list[str]) -> None:
    told = replace(REPORT, **changes).notes
    assert len(told) == len(notes)
    assert all(part in sentence for part, sentence in zip(notes, told, strict=True)), told


@pytest.mark.parametrize(("day", "hour", "complete"), [(27, 23, False), (28, 5, False), (28, 6, True), (29, 0, True)])
async def test_a_day_that_is_not_complete_says_so(day: int, hour: int, complete: bool) -> None:
    """The fault: what was asked of today was told like yesterday's, and its difference as if others had sent."""
    report = await books(datetime(2026, 11, day, hour, tzinfo=SHANGHAI)).reconcile(Platform(), DAY)  # type: ignore[arg-type]
    assert any("The day is not complete" in note for note in report.notes) is not complete


async def test_a_day_is_kept_once_and_when_the_platform_knows_all_of_it() -> None:
    spool, kept = Spool(), list[date]()
    for hour in (0, 5, 6, 7, 23):
        of = books(datetime(2026, 11, 28, hour, 59, tzinfo=SHANGHAI), spool)
        for day in await of.due():
            kept.append(day)
            await of.keep(replace(REPORT, taken=103))
    assert kept == [DAY]
    assert metrics.PLATFORM_DIFFERENCE.values["example",] == 3


@pytest.mark.parametrize(
    ("kept", "due"),
    [
        ("2026-11-24", [25, 26, 27]),
        ("2026-11-27", []),
        ("2026-10-01", [21, 22, 23, 24, 25, 26, 27]),
        ("2027-01-01", [27]),  # the clock was wrong
        ("cannot be read", [27]),
    ],
)
async def test_days_that_were_missed_are_due(kept: str, due: list[int]) -> None:
    """The fault: of days on which the platform did not answer, only the last was kept ever."""
    of = books(datetime(2026, 11, 28, 6, tzinfo=SHANGHAI), Spool({"platform/example/books": kept}))
    assert await of.due() == [date(2026, 11, day) for day in due]


async def test_a_day_that_the_history_has_not_whole_is_no_difference() -> None:
    """The fault: what had been dropped from the history was told as mail that others had sent with this account."""
    of = books(datetime(2026, 11, 28, 9, tzinfo=SHANGHAI), Spool({"platform/example/books": "2026-11-20"}), DAY_MS)
    assert await of.due() == [DAY], "it is told each day that the history is too short"
    report = await of.reconcile(Platform(), DAY)  # type: ignore[arg-type]
    assert not report.whole
    assert report.as_dict()["difference"] is None
    assert re.search(r"^  difference +unknown$", _as_text(report.as_dict()), re.MULTILINE)
    metrics.PLATFORM_DIFFERENCE.replace({})
    await of.keep(report)
    assert not metrics.PLATFORM_DIFFERENCE.values


async def test_no_day_is_caught_up_with_that_the_history_has_not_whole() -> None:
    of = books(datetime(2026, 11, 28, 6, tzinfo=SHANGHAI), Spool({"platform/example/books": "2026-11-20"}), 3 * DAY_MS)
    assert await of.due() == [DAY - timedelta(1), DAY]

"""What the platform tells later is entered once, in order, and stays removed where a person removed it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from smtprelay import feedback
from smtprelay.config import SuppressionSection
from smtprelay.feedback import FIRST_DAYS, LATE_DAYS, Feedback, Learned
from smtprelay.message import parse_address
from smtprelay.platform import CallFailed, PlatformError, PlatformUnreachable, UnreadableAnswer
from smtprelay.platform.contact_values import ContactList, ListStatus, Unsubscribed
from smtprelay.platform.failures import Failure, FailureType
from smtprelay.platform.statuses import Status
from smtprelay.spool import Suppression
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.suppression import beginning_of
from smtprelay.values import SHANGHAI
from tests.spool.support import lease_one, message, results, shown

NOON = datetime(2026, 11, 28, 12, tzinfo=SHANGHAI)
NOW = round(NOON.timestamp() * 1000)
DAY = 86_400_000
TODAY = NOON.date()
LIST = ContactList(7, "customers", "", 0, ListStatus.ENABLED)


@dataclass
class Platform:
    """What it tells, and what it was asked."""

    failed: dict[date, list[Failure]] = field(default_factory=dict)
    unsubscribed_: list[Unsubscribed] = field(default_factory=list)
    asked: list[date] = field(default_factory=list)
    breaks_at: Sequence[date] = ()
    down: bool = False
    error: PlatformError = field(default_factory=lambda: PlatformUnreachable("no answer in time", ambiguous=False))
    refused_lists: list[int] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=lambda: {LIST.id: LIST.count})
    asked_lists: list[int] = field(default_factory=list)
    lists_down: bool = False

    @property
    def failures(self) -> Platform:
        return self

    @property
    def contacts(self) -> Platform:
        return self

    @property
    def account(self) -> Platform:
        return self

    async def service(self) -> None:
        if self.down:
            raise self.error

    async def all(self, day: date) -> list[Failure]:
        self.asked.append(day)
        if day in self.breaks_at or self.down:
            raise self.error
        return list(self.failed.get(day, ()))

    async def lists(self) -> list[ContactList]:
        return [replace(LIST, id=id_, count=count) for id_, count in self.counts.items()]

    async def unsubscribed(self, list_id: int) -> list[Unsubscribed]:
        self.asked_lists.append(list_id)
        if list_id in self.refused_lists:
            raise CallFailed(Status("error.list"), "")
        if self.lists_down:
            self.down = True
            raise self.error
        return list(self.unsubscribed_)

    def fail(self, address: str, type_: str = "1", day: date = TODAY) -> None:
        self.failed.setdefault(day, []).append(Failure(address, FailureType(type_), 1))


@dataclass
class Parts:
    spool: SQLiteSpool
    platform: Platform
    settings: SuppressionSection
    now: int = NOW
    entered: list[Suppression] = field(default_factory=list)
    feedback: Feedback | None = None

    async def sync(self) -> Learned:
        self.feedback = self.feedback or await self.new_feedback()
        return await self.feedback.sync(self.platform)  # type: ignore[arg-type]

    async def new_feedback(self) -> Feedback:
        """As after a restart."""
        facts = await self.spool.recall("")
        self.feedback = Feedback("example", self.settings, self.spool, facts, lambda: self.now)
        return self.feedback

    async def suppressed(self) -> list[tuple[str, str]]:
        return [(entry.address, entry.cause) for entry in await self.spool.suppressions("", 100)]


@asynccontextmanager
async def parts(folder: Path, **settings: Any) -> AsyncIterator[Parts]:
    spool = await SQLiteSpool.open(folder / "spool.db", now=NOW)
    made = Parts(spool, Platform(), SuppressionSection.model_validate(settings))
    suppress = spool.suppress

    async def noting(entries: Any) -> int:
        listed = list(entries)
        made.entered += listed
        return await suppress(listed)

    spool.suppress = noting  # type: ignore[method-assign]
    try:
        yield made
    finally:
        await spool.close()


async def test_a_failure_is_entered_and_told_of_the_message_that_was_delivered(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        sent = message("Bob@example.net", now=NOW)
        await of.spool.put([sent])
        lease = await lease_one(of.spool, NOW)
        await of.spool.finish(lease, NOW, results(lease))
        of.platform.fail("bob@example.net")
        learned = await of.sync()
        assert (learned.failures, learned.suppressed) == ({"1": 1}, 1)
        assert await of.suppressed() == [("bob@example.net", "1")]
        [recipient] = (await shown(of.spool, sent.id)).recipients
        assert recipient.fate
        assert (recipient.fate.cause, recipient.fate.at) == ("1", beginning_of(TODAY))


async def test_only_what_is_new_is_entered(tmp_path: Path) -> None:
    """The fault: each quarter of an hour the whole day was entered again, 100,000 rows."""
    async with parts(tmp_path) as of:
        of.platform.fail("a@example.net")
        await of.sync()
        of.platform.fail("b@example.net")
        await of.new_feedback()
        learned = await of.sync()
        assert learned.failures == {"1": 1}
        await of.sync()
        assert [entry.address for entry in of.entered] == ["a@example.net", "b@example.net"]


async def test_a_list_that_came_in_another_order_is_entered_as_a_whole_and_counted_once(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.fail("a@example.net")
        await of.sync()
        of.platform.failed[TODAY].insert(0, Failure("b@example.net", FailureType("2"), 1))
        learned = await of.sync()
        assert learned.failures == {"2": 1, "1": 0}
        assert await of.suppressed() == [("a@example.net", "1"), ("b@example.net", "2")]


async def test_first_the_days_of_two_weeks_are_asked_for_and_then_those_that_may_have_changed(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.sync()
        assert of.platform.asked == [TODAY - timedelta(days) for days in range(FIRST_DAYS, -1, -1)]
        of.platform.asked.clear()
        of.now += 3 * DAY
        await of.sync()
        first = TODAY - timedelta(days=3)  # two before the last that was over
        assert of.platform.asked == [first + timedelta(days) for days in range(7)]


async def test_a_bounce_that_comes_late_is_entered(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.sync()
        of.platform.fail("a@example.net", day=TODAY - timedelta(days=2))
        await of.sync()
        assert await of.suppressed() == [("a@example.net", "1")]


async def test_what_a_person_removed_stays_removed(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.fail("a@example.net")
        await of.sync()
        await of.spool.unsuppress(["a@example.net"], of.now)
        of.platform.failed[TODAY].insert(0, Failure("b@example.net", FailureType("1"), 1))  # all of it is entered again
        await of.sync()
        assert await of.suppressed() == [("b@example.net", "1")]
        of.now += DAY
        of.platform.fail("a@example.net", day=TODAY + timedelta(days=1))
        await of.sync()
        assert await of.suppressed() == [("a@example.net", "1"), ("b@example.net", "1")], "it failed once more"


async def test_where_nobody_answers_nothing_is_asked_for_in_vain_and_nothing_is_lost(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.fail("a@example.net", day=TODAY - timedelta(days=5))
        of.platform.fail("b@example.net")
        await of.sync()
        of.platform.asked.clear()
        of.platform.fail("c@example.net")
        of.platform.down = True
        with pytest.raises(PlatformUnreachable):
            await of.sync()
        assert len(of.platform.asked) == 2
        of.platform.down = False
        await of.sync()
        assert [address for address, _ in await of.suppressed()] == ["a@example.net", "b@example.net", "c@example.net"]


@pytest.mark.parametrize(
    ("error", "days"),
    [(UnreadableAnswer("no date", "<html>"), 1), (PlatformUnreachable("HTTP 504", ambiguous=False), 3)],
)
async def test_days_that_are_not_told_keep_no_other_one_from_being_told(
    tmp_path: Path, error: PlatformError, days: int
) -> None:
    """The fault: the first of two weeks could not be read, or those of a large campaign took too long, and so nothing
    that failed was ever learned."""
    async with parts(tmp_path) as of:
        first = TODAY - timedelta(FIRST_DAYS)
        of.platform.breaks_at, of.platform.error = [first + timedelta(number) for number in range(days)], error
        of.platform.fail("a@example.net", day=first)
        of.platform.fail("b@example.net")
        of.platform.unsubscribed_.append(Unsubscribed("c@example.net", NOON))
        with pytest.raises(type(error)):
            await of.sync()
        assert await of.suppressed() == [("b@example.net", "1"), ("c@example.net", "unsubscribed")]
        of.platform.breaks_at = ()
        await of.sync()
        assert len(await of.suppressed()) == 3, "it is asked for again"


async def test_a_day_that_is_never_told_is_given_up_after_two_weeks(tmp_path: Path) -> None:
    """The fault: it was asked for until the end of time, and each day one day more with it."""
    async with parts(tmp_path) as of:
        of.platform.breaks_at, of.platform.error = [TODAY], UnreadableAnswer("no date", "<html>")
        for _ in range(FIRST_DAYS + 1):
            with pytest.raises(UnreadableAnswer), capture_logs() as logs:
                await of.sync()
            assert not logs
            of.now += DAY
        with pytest.raises(UnreadableAnswer), capture_logs() as logs:
            await of.sync()
        assert [(line["log_level"], line["day"]) for line in logs] == [("error", str(TODAY))]
        of.platform.asked.clear()
        await of.sync()
        assert len(of.platform.asked) == LATE_DAYS + 2


async def test_each_day_is_given_up_once_where_none_is_told(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.down, of.platform.error = True, UnreadableAnswer("no date", "<html>")
        for number in range(4):
            for _ in range(2):
                with pytest.raises(UnreadableAnswer), capture_logs() as logs:
                    await of.sync()
            assert not logs, "what was given up is told of once"
            of.now += DAY
            with pytest.raises(UnreadableAnswer), capture_logs() as logs:
                await of.sync()
            assert [line["day"] for line in logs] == [str(TODAY + timedelta(number - FIRST_DAYS))]


async def test_a_list_that_is_not_told_keeps_no_other_one_from_being_told(tmp_path: Path) -> None:
    """The fault: of the lists after one that had been deleted meanwhile, say, nothing was learned."""
    async with parts(tmp_path) as of:
        of.platform.refused_lists.append(3)
        of.platform.counts = {3: 0, 7: 0}
        of.platform.unsubscribed_.append(Unsubscribed("a@example.net", NOON))
        with pytest.raises(CallFailed):
            await of.sync()
        assert await of.suppressed() == [("a@example.net", "unsubscribed")]


async def test_of_many_lists_each_has_its_turn_and_one_that_lost_contacts_is_asked_for_at_once(tmp_path: Path) -> None:
    """The fault: each quarter of an hour one request for each of 300 lists."""
    async with parts(tmp_path) as of:
        of.platform.counts = dict.fromkeys(range(50), 100)
        await of.sync()
        assert of.platform.asked_lists == list(range(50)), "after a start nobody knows what changed"
        rounds = []
        for changed in ({}, {45: 99, 50: 1}, {}, {}):
            of.platform.asked_lists.clear()
            of.platform.counts |= changed
            await of.sync()
            rounds.append(list(of.platform.asked_lists))
        assert rounds == [
            list(range(20)),
            [45, 50, *range(20, 40)],
            [*range(40, 45), *range(46, 50), *range(11)],
            [*range(11, 20), 45, 50, *range(20, 29)],
        ]
        of.platform.asked_lists.clear()
        assert of.feedback
        await of.feedback.sync(of.platform, whole=True)  # type: ignore[arg-type]
        assert sorted(of.platform.asked_lists) == list(range(51))


async def test_lists_that_nobody_answered_for_are_asked_for_next(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.counts = dict.fromkeys(range(50), 100)
        of.platform.lists_down = True
        with pytest.raises(PlatformUnreachable):
            await of.sync()
        assert of.platform.asked_lists == [0, 1]
        of.platform.lists_down = of.platform.down = False
        await of.sync()
        assert of.platform.asked_lists[2:] == [*range(1, 50), 0]


async def test_many_failures_are_not_read_in_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: with a hundred thousand it stood still for 150 ms."""
    threads = set()

    def noting(address: str) -> str:
        threads.add(threading.current_thread())
        return parse_address(address)

    monkeypatch.setattr(feedback, "parse_address", noting)
    monkeypatch.setattr(feedback, "SLICE", 2)
    async with parts(tmp_path) as of:
        for number in range(5):
            of.platform.fail(f"u{number}@example.net")
            of.platform.unsubscribed_.append(Unsubscribed(f"v{number}@example.net", NOON))
        learned = await of.sync()
        assert (learned.failures, learned.unsubscribed) == ({"1": 5}, 5)
        assert threading.main_thread() not in threads


async def test_somebody_who_unsubscribed_is_entered_with_the_time(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.unsubscribed_.append(Unsubscribed("a@example.net", NOON - timedelta(hours=1)))
        learned = await of.sync()
        assert learned.unsubscribed == 1
        [entry] = await of.spool.suppressions("", 10)
        assert (entry.cause, entry.since, entry.source) == ("unsubscribed", NOW - 3_600_000, "platform example")
        await of.sync()
        assert len(of.entered) == 1


@pytest.mark.parametrize("type_", ["operator", "unsubscribed", "x" * 10_000, "12345", "-1"])
async def test_no_type_undoes_what_an_operator_did(tmp_path: Path, type_: str) -> None:
    """Whoever answered for the platform could enter in an operator's name what an operator had removed."""
    async with parts(tmp_path) as of:
        await of.spool.suppress([Suppression("a@example.net", "1", NOW - DAY, 0, "platform example", "")])
        await of.spool.unsuppress(["a@example.net"], NOW)
        of.platform.fail("a@example.net", type_)
        of.platform.fail("b@example.net", "4")
        learned = await of.sync()
        assert await of.suppressed() == []
        assert learned.failures.keys() == {"unknown", "4"}


async def test_nobody_unsubscribed_on_a_day_to_come(tmp_path: Path) -> None:
    """Such a time was newer than each removal by an operator, for years."""
    async with parts(tmp_path) as of:
        of.platform.unsubscribed_.append(Unsubscribed("a@example.net", NOON + timedelta(days=3000)))
        await of.sync()
        [entry] = await of.spool.suppressions("", 10)
        assert entry.since == NOW


async def test_what_is_no_address_is_counted_and_left_out(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.fail("no address", "9")
        of.platform.fail("a@example.net", "9")
        of.platform.unsubscribed_.append(Unsubscribed("nor this", NOON))
        assert (await of.sync()).unusable == 2
        assert await of.suppressed() == [("a@example.net", "9")]


async def test_what_is_not_to_be_entered_is_told_of_the_message_all_the_same(tmp_path: Path) -> None:
    async with parts(tmp_path, expiry={"3": "off"}) as of:
        of.platform.fail("a@example.net", "3")
        of.platform.fail("b@example.net", "4")  # which the document does not know
        learned = await of.sync()
        assert await of.suppressed() == []
        assert learned.failures == {"3": 1, "4": 1}


async def test_mail_that_was_judged_as_spam_is_a_problem_for_a_day(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.fail("a@example.net", "5", TODAY - timedelta(days=1))
        await of.sync()
        of.platform.fail("b@example.net", "5")
        await of.sync()
        restarted = await of.new_feedback()
        [problem] = restarted.problems()
        assert "(recipients since 2026-11-27: 2)." in problem.sentence
        of.now += DAY
        assert not list(restarted.problems())


async def test_what_is_remembered_does_not_grow(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        for number in range(40):
            of.now = NOW + number * DAY
            of.platform.fail("a@example.net", day=TODAY + timedelta(number))
            await of.sync()
        assert len(await of.spool.recall("platform/example/failures/")) <= 5


async def test_a_list_that_is_gone_is_remembered_no_more(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        of.platform.counts = {3: 0, 7: 0}
        of.platform.unsubscribed_.append(Unsubscribed("a@example.net", NOON))
        await of.sync()
        assert len(await of.spool.recall("platform/example/unsubscribed/")) == 2
        del of.platform.counts[3]
        await of.sync()
        assert list(await of.spool.recall("platform/example/unsubscribed/")) == ["platform/example/unsubscribed/7"]


@pytest.mark.parametrize("text", ['{"at": 1796000000000, "count": 2}', "{", "[]", ""])
async def test_an_alarm_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    """The fault: one of another version, without a day, had /readyz and the page answer 500."""
    async with parts(tmp_path) as of:
        await of.spool.remember("platform/example/spam", text)
        restarted = await of.new_feedback()
        assert not list(restarted.problems())
        of.platform.fail("a@example.net", "5")
        await of.sync()
        assert "did not send it (recipients since 2026-11-28: 1)." in next(restarted.problems()).sentence


async def test_what_was_asked_for_before_and_cannot_be_read_is_asked_for_again(tmp_path: Path) -> None:
    """The fault: nothing was learned any more."""
    async with parts(tmp_path) as of:
        await of.spool.remember("platform/example/complete", "yesterday")
        await of.spool.remember(f"platform/example/failures/{TODAY}", "some")
        of.platform.fail("a@example.net")
        assert (await of.sync()).suppressed == 1
        assert len(of.platform.asked) == FIRST_DAYS + 1
        assert (await of.spool.recall("platform/example/"))["platform/example/complete"] == "2026-11-27"

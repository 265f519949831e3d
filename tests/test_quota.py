"""Bulk mail is held where the quota of an account runs low, and goes on in its order; over the real spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from smtprelay.config import PlatformAccount
from smtprelay.message import Message, Suppressed
from smtprelay.platform.account import SendType, Service, ServiceStatus, ServiceType
from smtprelay.quota import LATE, Quota
from smtprelay.spool import QUOTA, Lease, Selector, State
from smtprelay.spool.sqlite import SQLiteSpool
from tests.spool import support
from tests.spool.support import NOW, lease_all, results, states

RESERVE = 10
DAY = 86_400_000
SERVICE = Service(
    7, ServiceStatus.ENABLED, ServiceType.ALL, SendType.LOCAL, date(2026, 1, 1), date(2099, 12, 31), 100, 1000
)


@dataclass
class Platform:
    """What it says of the account."""

    service_: Service = SERVICE
    meanwhile: Callable[[], Awaitable[object]] | None = None  # what happens before its answer is there
    counts: bool = True  # what it is handed, at once

    @property
    def account(self) -> Platform:
        return self

    async def service(self) -> Service:
        answer = self.service_
        if self.meanwhile:
            await self.meanwhile()
        return answer

    def left(self, available: int | None) -> None:
        self.service_ = replace(self.service_, available=available)


@dataclass
class Parts:
    """A quota, the spool, and the platform."""

    quota: Quota
    spool: SQLiteSpool
    platform: Platform
    sent: list[str] = field(default_factory=list)
    now: int = NOW
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, available: int | None) -> None:
        self.platform.left(available)
        await self.quota.ask(self.platform)  # type: ignore[arg-type]

    async def accept(
        self, *, bulk: bool = True, recipients: int = 1, credential: str = "news", later: int = 0
    ) -> Message:
        """As the pipeline does.

        :param later: when it is to be sent, in milliseconds from now.
        """
        to = [f"u{n}@example.net" for n in range(recipients)]
        self.now += 1
        due_at = self.now + later
        message = support.message(*to, now=self.now, bulk=bulk, credential=credential, due_at=due_at)
        if credential == "news":
            message = replace(message, hold=self.quota.reason_to_hold(message))
        await self.spool.put([message])
        if message.hold:
            self.quota.stored()
        return message

    async def send(self) -> list[str]:
        """Deliver what is due. :returns: the ids of all messages that were sent, in their order."""
        while leases := await lease_all(self.spool, self.now, limit=1):
            await self._deliver(leases[0])
        return self.sent

    async def _deliver(self, lease: Lease) -> None:
        await self.spool.finish(lease, self.now, results(lease))
        self.sent.append(lease.message.id)
        if self.platform.counts:
            self.platform.left((self.platform.service_.available or 0) - len(lease.recipients))

    async def held(self) -> int:
        return (await self.spool.stats()).held.get(QUOTA, 0)

    async def settled(self) -> None:
        """Return when what is wanted of `Quota.run` is done."""
        while self.quota._release_wanted.is_set() or self.quota._changing.locked():
            await asyncio.sleep(0.001)

    def problems(self) -> list[str]:
        return [problem.sentence for problem in self.quota.problems()]


@asynccontextmanager
async def parts(folder: Path, *, holding: bool = False, **settings: Any) -> AsyncIterator[Parts]:
    account = PlatformAccount(
        name="example", username="u", password_env="X", **{"quota_reserve": RESERVE, "poll": "5m"} | settings
    )
    spool = await SQLiteSpool.open(folder / "spool.db", now=NOW)
    woken = asyncio.Event()
    facts = await spool.recall("")
    quota = Quota(account, ("news",), spool, facts, holding=holding, wake=woken.set, clock=lambda: made.now)
    made = Parts(quota, spool, Platform(), woken=woken)
    running = asyncio.create_task(quota.run())
    try:
        yield made
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await spool.close()


async def test_what_was_to_be_held_while_it_was_being_sent_goes_on_too(tmp_path: Path) -> None:
    """The fault: mail whose attempt began while the quota was found low, and failed after it was back, was held for
    good."""
    async with parts(tmp_path, holding=True) as of:
        message = support.message(bulk=True, credential="news")
        await of.spool.put([message])
        lease = await support.lease_one(of.spool, NOW)
        await of.spool.hold(Selector((message.id,)), NOW, QUOTA)
        await of.ask(100)
        await of.spool.finish(lease, NOW, results(lease, State.QUEUED))
        assert await states(of.spool, message.id) == [State.QUEUED]


async def test_bulk_beyond_the_reserve_is_held_and_other_mail_goes_on(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 5)
        bulk = [await of.accept() for _ in range(8)]
        other = await of.accept(bulk=False)
        assert [message.hold for message in bulk] == [""] * 5 + [QUOTA] * 3
        assert other.hold == ""
        assert await of.send() == [message.id for message in (*bulk[:5], other)]
        assert of.platform.service_.available == RESERVE - 1


async def test_what_waits_is_held_where_the_quota_was_spent_elsewhere(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(100)
        bulk, other = [await of.accept() for _ in range(8)], await of.accept(bulk=False)
        elsewhere = await of.accept(credential="another account's")
        await of.ask(RESERVE - 1)
        assert await of.held() == 8
        assert await of.send() == [other.id]
        assert await states(of.spool, elsewhere.id) == [State.QUEUED]
        await of.ask(100)
        assert of.woken.is_set()
        assert await of.send() == [other.id, *(message.id for message in bulk)]


async def test_a_batch_whose_quota_runs_out_and_comes_back_goes_whole_and_in_its_order(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 3)
        batch = [await of.accept() for _ in range(10)]
        for bought in (0, 2, 1, 0, 3, 50):
            await of.send()
            await of.ask((of.platform.service_.available or 0) + bought)
            batch.append(await of.accept())
            assert (of.platform.service_.available or 0) >= RESERVE
        assert await of.send() == [message.id for message in batch]
        assert await of.held() == 0
        assert (await of.accept()).hold == ""


async def test_what_comes_while_older_mail_is_held_waits_behind_it(tmp_path: Path) -> None:
    """The fault: a small message fitted into what was left, and overtook the large one before it."""
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 3)
        large, small = await of.accept(recipients=5), await of.accept()
        assert (large.hold, small.hold) == (QUOTA, QUOTA)


async def test_what_comes_while_older_mail_is_being_stored_waits_behind_it(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 3)
        large = support.message(*(f"u{n}@example.net" for n in range(5)), now=NOW, bulk=True, due_at=NOW)
        small = support.message("u@example.net", now=NOW, bulk=True, due_at=NOW)
        assert [of.quota.reason_to_hold(message) for message in (large, small)] == [QUOTA, QUOTA]


async def test_no_more_is_released_than_the_quota_allows(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE)
        large, small = await of.accept(recipients=5), await of.accept()
        await of.ask(RESERVE + 3)
        assert (await states(of.spool, large.id)).count(State.QUEUED) == 3
        assert await states(of.spool, small.id) == [State.HELD]
        await of.ask(RESERVE + 3)
        assert await of.held() == 3, "what waits already will spend it"


async def test_what_goes_while_the_platform_is_asked_is_counted(tmp_path: Path) -> None:
    """The fault: it was no longer in the queue, and not yet in the answer, and so bulk spent some of the reserve."""
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 5)
        for _ in range(3):
            await of.accept()
        of.platform.meanwhile = of.send
        await of.ask(RESERVE + 5)
        of.platform.meanwhile = None
        for _ in range(5):
            await of.accept()
        await of.send()
        assert of.platform.service_.available == RESERVE


async def test_what_is_to_be_sent_in_weeks_spends_nothing_until_then(tmp_path: Path) -> None:
    """The fault: a campaign for next month took the room of all that was to go today, which was held meanwhile."""
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 5)
        campaign = await of.accept(recipients=8, later=14 * DAY)
        today = await of.accept(recipients=5)
        assert (campaign.hold, today.hold) == ("", "")
        await of.ask(RESERVE + 5)
        assert await of.held() == 0
        assert await of.send() == [today.id]
        of.now += 14 * DAY
        await of.ask(RESERVE + 5)
        assert await of.held() == 3, "now it counts"


@pytest.mark.parametrize("passes", [LATE, LATE - 30 * DAY])
async def test_a_platform_that_counts_late_is_not_sent_more_than_it_has(tmp_path: Path, passes: int) -> None:
    """The faults: with each poll as much was let go again, until the platform had counted the first of it; and once the
    clock had been set back by a month, that was waited for as long."""
    async with parts(tmp_path) as of:
        await of.ask(RESERVE)
        for _ in range(10):
            await of.accept()
        of.platform.counts = False
        for _ in range(3):
            await of.ask(RESERVE + 4)
            await of.send()
            of.now += 300_000
        assert await of.held() == 6
        await of.ask(RESERVE)
        await of.ask(RESERVE + 1)
        assert await of.held() == 5
        await of.send()
        of.now += passes
        await of.ask(RESERVE + 1)
        assert await of.held() == 4, "but it is not waited for for good: that figure may be true"


async def test_what_a_late_platform_has_not_counted_is_known_after_a_restart(tmp_path: Path) -> None:
    """The fault: as much again was let go, which spent the reserve."""
    async with parts(tmp_path) as of:
        of.platform.counts = False
        await of.ask(RESERVE + 5)
        for _ in range(3):
            await of.accept()
        await of.send()
        await of.ask(RESERVE + 5)
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 5)
        assert [(await of.accept()).hold for _ in range(3)] == ["", "", QUOTA]
        await of.ask(RESERVE + 2)
        assert await of.held() == 1, "it has counted what went before, and two wait"
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 2)
        assert await of.held() == 1


async def test_who_is_suppressed_spends_nothing(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 1)
        message = support.message("a@example.net", "b@example.net", bulk=True)
        suppressed = replace(message.envelope.recipients[1], suppressed=Suppressed("1", "no such mailbox"))
        envelope = replace(message.envelope, recipients=(message.envelope.recipients[0], suppressed))
        assert of.quota.reason_to_hold(replace(message, envelope=envelope)) == ""


async def test_mail_that_is_being_stored_when_all_is_released_is_not_forgotten(tmp_path: Path) -> None:
    """The fault: it was to be held; before the commit was through, the quota was back, and nobody looked again."""
    async with parts(tmp_path) as of:
        await of.ask(RESERVE)
        message = replace(support.message(bulk=True), hold=of.quota.reason_to_hold(support.message(bulk=True)))
        assert message.hold == QUOTA
        await of.ask(100)
        of.woken.clear()
        await of.spool.put([message])
        of.quota.stored()
        assert (await of.accept()).hold == QUOTA, "it waits behind the other"
        await of.settled()
        assert await of.held() == 0


async def test_nothing_is_held_where_the_quota_is_not_known(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        assert (await of.accept(recipients=1000)).hold == ""
        await of.ask(None)
        assert (await of.accept(recipients=1000)).hold == ""


async def test_no_mail_is_held_because_the_platform_is_silent(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 3)
        of.quota.forget()
        assert (await of.accept(recipients=1000)).hold == ""


async def test_silence_lets_go_what_was_held_before_the_quota_was_known_to_be_low(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE + 3)
        held = await of.accept(recipients=5)
        of.quota.forget()
        await of.settled()
        assert await of.send() == [held.id]


async def test_silence_lets_nothing_go_where_the_quota_was_said_to_be_low(tmp_path: Path) -> None:
    """The fault: with the next bulk message all that was held went, though nothing was left to send it with."""
    async with parts(tmp_path) as of:
        await of.ask(RESERVE - 1)
        await of.accept()
        of.quota.forget()
        await of.accept()
        await of.settled()
        assert await of.held() == 2


@pytest.mark.parametrize("available", [RESERVE - 1, RESERVE + 3])
async def test_nothing_that_is_held_goes_at_a_restart_before_the_platform_has_answered(
    tmp_path: Path, available: int
) -> None:
    """The fault: with the first bulk message after it all that was held went, whatever was left of the quota."""
    async with parts(tmp_path) as of:
        await of.ask(available)
        await of.accept(recipients=5)
        now = of.now
    async with parts(tmp_path, holding=True) as of:
        of.now = now
        before = await of.held()
        await of.accept()
        await of.settled()
        assert await of.held() == before + 1


async def test_a_reserve_of_nothing_holds_nothing(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(0)
        held = await of.accept()
        assert held.hold == QUOTA
    async with parts(tmp_path, holding=True, quota_reserve=0) as of:
        of.now = held.due_at
        await of.ask(0)
        assert await of.send() == [held.id]
        assert (await of.accept()).hold == ""


async def test_a_quota_that_is_used_up_is_told_of_where_nothing_is_held(tmp_path: Path) -> None:
    """The fault: without a reserve nobody was told that the platform takes no more mail."""
    async with parts(tmp_path, quota_reserve=0) as of:
        for available in (0, -5):
            await of.ask(available)
            assert [sentence.partition(":")[0] for sentence in of.problems()] == ["The quota of example is used up"]
            assert (await of.accept()).hold == ""


async def test_what_is_held_goes_where_the_platform_never_told_a_quota(tmp_path: Path) -> None:
    """The fault: after a restart that held it, it stayed held for good."""
    async with parts(tmp_path, holding=True) as of:
        held = await of.accept()
        assert held.hold == QUOTA
        await of.ask(None)
        assert await of.send() == [held.id]


async def test_what_was_told_counts_where_an_answer_does_not_tell_it(tmp_path: Path) -> None:
    """The fault: a quota that was low was told to be used up."""
    async with parts(tmp_path) as of:
        await of.ask(RESERVE - 1)
        before = of.problems()
        await of.ask(None)
        assert of.problems() == before
        assert (await of.accept()).hold == QUOTA


async def test_what_was_known_is_known_after_a_restart(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE - 1)
    async with parts(tmp_path) as of:
        assert of.quota.standing
        assert of.quota.standing.available == RESERVE - 1
        assert (await of.accept()).hold == QUOTA


@pytest.mark.parametrize(
    "text",
    ['{"at": 1, "available": 5}', '{"at": 1, "available": 5, "status": "1", "ends": "2026-02-30"}', "{", "[]", ""],
)
async def test_a_standing_that_cannot_be_read_is_unknown_until_the_platform_is_asked(tmp_path: Path, text: str) -> None:
    """The fault: the daemon did not start, or, of a day that is none, /readyz answered 500."""
    async with parts(tmp_path) as of:
        await of.spool.remember("platform/example/service", text)
    async with parts(tmp_path) as of:
        assert of.quota.standing is None
        assert of.problems() == []
        await of.ask(RESERVE - 1)
        assert (await of.accept()).hold == QUOTA


async def test_what_an_operator_holds_stays_held(tmp_path: Path) -> None:
    async with parts(tmp_path) as of:
        await of.ask(RESERVE)
        message = await of.accept()
        await of.spool.hold(Selector(ids=(message.id,)), NOW, "operator")
        await of.ask(100)
        assert await states(of.spool, message.id) == [State.HELD]


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ({}, []),
        ({"available": RESERVE - 1}, ["The quota of example runs low: 9 recipients are left, and 10 of them"]),
        ({"available": 0}, ["The quota of example is used up"]),
        ({"available": -5}, ["The quota of example is used up"]),
        ({"available": None}, []),
        ({"status": ServiceStatus.DISABLED}, ["The platform has disabled the service of example"]),
        ({"ends": date(2027, 1, 20)}, ["The service of example at the platform ends in 5d 8h (on 2027-01-20)"]),
        ({"ends": date(2027, 1, 14)}, ["The service of example at the platform ended on 2027-01-14"]),
        ({"ends": date(2027, 2, 14)}, []),
        ({"ends": date.max}, []),  # the fault: the day after is none, and /readyz answered 500
    ],
)
async def test_what_an_operator_is_told(tmp_path: Path, service: dict[str, Any], told: list[str]) -> None:
    async with parts(tmp_path) as of:
        of.platform.service_ = replace(SERVICE, **service)
        await of.quota.ask(of.platform)  # type: ignore[arg-type]
        sentences = of.problems()
        assert len(sentences) == len(told)
        assert all(sentence.startswith(begin) for sentence, begin in zip(sentences, told, strict=True)), sentences

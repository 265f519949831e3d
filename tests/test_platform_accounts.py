"""The accounts of the platform, over the real spool and the stand-in platform."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import pytest

from smtprelay import feedback, metrics, platform_desk
from smtprelay.clock import now_ms
from smtprelay.config import parse_config
from smtprelay.message import Message
from smtprelay.platform import PlatformError
from smtprelay.platform_accounts import PlatformAccounts
from smtprelay.sandbox.platform import Platform, Quirk
from smtprelay.sandbox.platform.records import MailingList
from smtprelay.settings import Settings
from smtprelay.spool import QUOTA, Selector, State
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.values import SHANGHAI
from tests.spool import support

CONFIG = """
[[upstream.credentials]]
name = "news"
[[upstream.credentials]]
name = "shop"
[[domains]]
name = "example.com"
"""
ACCOUNT = """
[[platform.accounts]]
base_url = "{url}"
allow_insecure = true
name = "{name}"
username = "{username}"
password_env = "X"
quota_reserve = {reserve}
credentials = {credentials}
poll = "{poll}"
"""


@dataclass
class Parts:
    accounts: PlatformAccounts
    spool: SQLiteSpool
    platform: Platform

    def settings(
        self,
        *,
        reserve: int = 1000,
        password: str = "platform-sandbox-password",
        credentials: str = "[]",
        poll: str = "1h",
        others: str = "",
    ) -> Settings:
        account = self.account("example", reserve=reserve, credentials=credentials, poll=poll)
        return settings(account + others, password)

    def account(self, name: str, *, reserve: int = 1000, credentials: str = "[]", poll: str = "1h") -> str:
        return ACCOUNT.format(
            name=name,
            url=self.platform.url,
            username=self.platform.username,
            reserve=reserve,
            credentials=credentials,
            poll=poll,
        )

    async def accept(self, *, bulk: bool = True, credential: str = "news") -> Message:
        message = support.message(bulk=bulk, credential=credential)
        message = replace(message, hold=self.accounts.reason_to_hold(message))
        await self.spool.put([message])
        self.accounts.stored(message)
        return message

    def problems(self) -> list[str]:
        return [problem.key for problem in self.accounts.problems()]


def settings(account: str = "", password: str = "platform-sandbox-password") -> Settings:
    config = parse_config((CONFIG + account).encode(), Path("/nowhere"))
    passwords = {each.key: password for each in config.platform.accounts}
    return Settings(config, {}, (), None, None, (), passwords)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def parts(folder: Path, platform: Platform) -> AsyncIterator[Parts]:
    """Accounts that are not configured yet: `use` has them begin."""
    spool = await SQLiteSpool.open(folder / "spool.db", now=now_ms())
    accounts = PlatformAccounts(settings(), spool, wake=lambda: None, clock=now_ms)
    await accounts.start()
    running = asyncio.create_task(accounts.run())
    try:
        yield Parts(accounts, spool, platform)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await spool.close()


@pytest.fixture
async def of(tmp_path: Path) -> AsyncIterator[Parts]:
    async with Platform() as platform, parts(tmp_path, platform) as made:
        yield made


async def test_the_quota_is_asked_for_and_bulk_held_below_the_reserve(of: Parts) -> None:
    of.platform.state.set_quota(999)
    of.accounts.use(of.settings())
    await until(lambda: of.problems() == ["quota"])
    assert metrics.PLATFORM_QUOTA.values["example",] == 999
    assert (await of.accept()).hold == QUOTA
    assert (await of.accept(bulk=False)).hold == ""


async def test_mail_whose_domain_is_set_up_waits_for_the_quota_too(of: Parts) -> None:
    """The fault: bulk that was held for DNS went when the quota was low, and before older bulk that waited for it."""
    of.platform.state.set_quota(999)
    of.accounts.use(of.settings())
    await until(lambda: of.problems() == ["quota"])
    bulk, other = support.message(bulk=True, credential="news"), support.message(credential="news")
    await of.spool.put([bulk, other])  # as `Holding` has just released them
    await of.accounts.let_go([bulk, other])
    assert await support.states(of.spool, bulk.id) == [State.HELD]
    assert await support.states(of.spool, other.id) == [State.QUEUED]
    [desk] = of.accounts._desks
    of.platform.state.set_quota(2000)
    await desk._ask_for_quota()
    assert await support.states(of.spool, bulk.id) == [State.QUEUED]


async def test_what_is_held_goes_on_when_the_quota_is_back(of: Parts) -> None:
    of.platform.state.set_quota(0)
    of.accounts.use(of.settings(poll="1s"))
    await until(lambda: of.problems() == ["quota"])
    held = await of.accept()
    of.platform.state.set_quota(2000)
    await until(lambda: of.problems() == [])
    assert await support.states(of.spool, held.id) == [State.QUEUED]


async def test_the_first_account_that_names_a_credential_has_its_quota(of: Parts) -> None:
    of.platform.state.set_quota(0)
    of.accounts.use(of.settings(credentials='["news"]'))
    await until(lambda: of.problems() == ["quota"])
    assert (await of.accept(credential="shop")).hold == ""


@pytest.mark.parametrize("credentials", ["[]", '["news"]'])
async def test_no_account_lets_go_what_another_one_holds(of: Parts, credentials: str) -> None:
    """The fault: a credential that two accounts have, or one that names none, was released by whichever had quota."""
    of.platform.state.set_quota(999)
    of.accounts.use(of.settings(credentials='["news"]'))
    await until(lambda: of.problems() == ["quota"])
    held = await of.accept()
    other = of.account("other", reserve=1, credentials=credentials)
    of.accounts.use(of.settings(credentials='["news"]', others=other))
    async with asyncio.timeout(10):
        while not await of.spool.recall("platform/other/service"):
            await asyncio.sleep(0.001)
    assert await support.states(of.spool, held.id) == [State.HELD]
    assert (await of.accept(credential="shop")).hold == ""


async def test_what_an_account_holds_is_released_when_it_is_configured_no_more(of: Parts) -> None:
    of.platform.state.set_quota(0)
    of.accounts.use(of.settings())
    await until(lambda: of.problems() == ["quota"])
    held = await of.accept()
    of.accounts.use(settings())
    await until(lambda: of.problems() == [])
    async with asyncio.timeout(10):
        while await support.states(of.spool, held.id) != [State.QUEUED]:
            await asyncio.sleep(0.001)


async def test_what_waits_for_the_quota_of_a_credential_that_is_configured_no_more_is_let_go(of: Parts) -> None:
    """The fault: where an account was configured, it was held for good, and no problem said so."""
    held = support.message(hold=QUOTA, credential="gone")
    await of.spool.put([held])
    of.platform.state.set_quota(0)
    of.accounts.use(of.settings())
    async with asyncio.timeout(10):
        while await support.states(of.spool, held.id) != [State.QUEUED]:
            await asyncio.sleep(0.001)
    await until(lambda: of.problems() == ["quota"])
    assert (await of.accept()).hold == QUOTA


async def test_what_was_to_be_held_once_its_attempt_had_ended_is_let_go_too(of: Parts) -> None:
    """The fault: of an account that was configured no more by then, it was held for good."""
    sent = support.message(bulk=True, credential="news")
    await of.spool.put([sent])
    lease = await support.lease_one(of.spool, support.NOW)
    await of.spool.hold(Selector((sent.id,)), support.NOW, QUOTA)
    of.accounts.use(of.settings())
    await until(lambda: of.accounts.reason_to_hold(support.message(bulk=True)) == QUOTA)
    of.accounts.use(settings())
    async with asyncio.timeout(10):
        while (await support.shown(of.spool, sent.id)).recipients[0].reason == QUOTA:
            await asyncio.sleep(0.001)
    await of.spool.finish(lease, support.NOW, support.results(lease, State.QUEUED))
    assert await support.states(of.spool, sent.id) == [State.QUEUED]


async def test_nothing_goes_before_what_the_last_process_held(tmp_path: Path) -> None:
    """The fault: until the platform had answered, what came went, though older mail was held."""
    async with Platform() as platform:
        platform.state.set_quota(0)
        async with parts(tmp_path, platform) as of:
            of.accounts.use(of.settings())
            await until(lambda: of.problems() == ["quota"])
            await of.accept()
            await of.spool.remember("platform/example/service", None)
        spool = await SQLiteSpool.open(tmp_path / "spool.db", now=now_ms())
        try:
            accounts = PlatformAccounts(of.settings(), spool, wake=lambda: None, clock=now_ms)
            await accounts.start()
            assert accounts.reason_to_hold(support.message(bulk=True)) == QUOTA
        finally:
            await spool.close()


async def test_a_log_in_that_is_refused_is_told_at_once(of: Parts) -> None:
    of.accounts.use(of.settings(password="wrong"))
    await until(lambda: of.problems() == ["platform"])
    [problem] = of.accounts.problems()
    assert "refuses the log-in of example" in problem.sentence
    assert (await of.accept()).hold == "", "mail goes on"
    of.accounts.use(of.settings())
    await until(lambda: of.problems() == [])


async def test_a_platform_that_is_silent_for_long_is_told_of(of: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    of.platform.quirks.add(Quirk.EMPTY)
    of.accounts.use(of.settings())
    counted = "example", "unreadable"
    await until(lambda: metrics.PLATFORM_ERRORS.values.get(counted, 0) > 0)
    assert of.problems() == []
    monkeypatch.setattr(platform_desk, "PATIENCE", 0)
    assert of.problems() == ["platform"]


async def test_one_question_that_is_answered_does_not_hide_another_that_is_not(
    of: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: what the platform did not tell for days was no problem, as it told something else meanwhile."""
    monkeypatch.setattr(platform_desk, "PATIENCE", 0)
    of.accounts.use(of.settings())
    await until(lambda: any(request.do == "maillist-list" for request in of.platform.requests))
    [desk] = of.accounts._desks
    of.platform.once.append(Quirk.EMPTY)
    with pytest.raises(PlatformError):
        await desk._reconcile(desk.books.yesterday())
    await desk._ask_for_quota()
    assert of.problems() == ["platform"]
    await desk._reconcile(desk.books.yesterday())
    assert of.problems() == []


async def test_the_last_success_of_each_question_is_told(of: Parts) -> None:
    """The fault: what was told every five minutes hid what had not been told for days."""
    metrics.PLATFORM_SUCCESS.replace({})
    accounts = PlatformAccounts(of.settings(), of.spool, wake=lambda: None, clock=now_ms)
    await accounts.start()
    [desk] = accounts._desks
    await desk._ask_for_quota()
    of.platform.once.append(Quirk.EMPTY)
    with pytest.raises(PlatformError):
        await desk._reconcile(desk.books.yesterday())
    await desk._client.close()
    assert list(metrics.PLATFORM_SUCCESS.values) == [("example", "quota")]


async def test_a_day_that_is_not_told_does_not_keep_those_after_it_from_being_kept(of: Parts) -> None:
    noon = round(datetime(2026, 11, 28, 12, tzinfo=SHANGHAI).timestamp() * 1000)
    accounts = PlatformAccounts(of.settings(), of.spool, wake=lambda: None, clock=lambda: noon)
    await of.spool.remember("platform/example/books", "2026-11-24")
    await accounts.start()
    [desk] = accounts._desks
    of.platform.once.append(Quirk.EMPTY)
    await desk._keep_books()
    await desk._client.close()
    assert await of.spool.recall("platform/example/books") == {"platform/example/books": "2026-11-27"}
    asked = dict.fromkeys(request.get("date") for request in of.platform.requests if not request.do)
    assert list(asked) == ["2026-11-25", "2026-11-26", "2026-11-27"]


async def test_a_day_that_a_person_asks_for_in_vain_is_no_problem(of: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: a day that the platform knows nothing of was one until the next day's books."""
    monkeypatch.setattr(platform_desk, "PATIENCE", 0)
    of.accounts.use(of.settings())
    await until(lambda: any(request.do == "maillist-list" for request in of.platform.requests))
    of.platform.once.append(Quirk.EMPTY)
    [told] = await of.accounts.books(date(2010, 1, 1))
    assert "error" in told
    assert of.problems() == []


async def test_what_failed_is_learned_on_demand(of: Parts) -> None:
    of.accounts.use(of.settings())
    await until(lambda: any(request.do == "maillist-list" for request in of.platform.requests))  # by itself
    of.platform.state.fail("bob@example.net", "1")
    [told] = await of.accounts.sync()
    assert json.loads(json.dumps(told)) == {
        "account": "example",
        "failures": {"1": 1},
        "unsubscribed": 0,
        "suppressed": 1,
        "unusable": 0,
    }
    assert await of.spool.suppression("bob@example.net", now_ms())


async def test_on_demand_every_list_is_asked_for_who_left_it(of: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only those whose turn it is."""
    monkeypatch.setattr(feedback, "LISTS", 0)
    customers = MailingList(7, "customers")
    of.platform.state.lists[customers.id] = customers
    of.accounts.use(of.settings())
    await until(lambda: any(request.do == "unsubscribe-export" for request in of.platform.requests))
    await of.accounts.sync()  # after the one that it began by itself
    of.platform.state.unsubscribe(customers.id, "li@example.net")  # somebody else came: there are as many as before
    [told] = await of.accounts.sync()
    assert told["unsubscribed"] == 1


async def test_whoever_asks_while_the_accounts_are_changed_is_told_to_ask_again(of: Parts) -> None:
    """The fault: a traceback, as the client had been closed."""
    of.accounts.use(of.settings())
    await until(lambda: any(request.do == "maillist-list" for request in of.platform.requests))
    of.platform.slowness = 60
    of.platform.quirks.add(Quirk.SLOW)
    count = len(of.platform.requests)
    asked = asyncio.create_task(of.accounts.books(None))
    await of.platform.wait_for(count + 1)
    of.accounts.use(settings())
    async with asyncio.timeout(10):
        [told] = await asked
    assert told["error"].endswith("ask again")


async def test_an_account_that_cannot_be_asked_is_told_of_beside_the_others(of: Parts) -> None:
    of.accounts.use(of.settings(password="wrong"))
    await until(lambda: of.problems() == ["platform"])
    [told] = await of.accounts.sync()
    assert "look at username and password" in told["error"]
    [told] = await of.accounts.books(None)
    assert "look at username and password" in told["error"]


async def test_a_days_books_on_demand(of: Parts) -> None:
    of.accounts.use(of.settings())
    await of.platform.wait_for(1)
    of.platform.state.took(["a@example.net", "b@example.net"])
    [told] = await of.accounts.books(of.platform.state.now().date())
    assert (told["handed_over"], told["taken"], told["difference"]) == (0, 2, 2)
    assert "The day is not complete" in told["notes"][0]
    assert "others send with this account" in told["notes"][1]


async def test_mail_that_stays_here_does_not_wait_for_a_quota(of: Parts) -> None:
    """The fault: a relay for tests, with the account of the real one, kept no copy of bulk when that had no quota."""
    of.platform.state.set_quota(0)
    live = of.settings()
    upstream = live.config.upstream.model_copy(update={"mode": "sandbox"})
    of.accounts.use(replace(live, config=live.config.model_copy(update={"upstream": upstream})))
    await until(lambda: of.problems() == ["quota"])
    assert (await of.accept()).hold == ""


@pytest.mark.parametrize("credential", ["news", "configured no more"])
async def test_held_mail_that_no_quota_counts_for_is_let_go_after_the_start(tmp_path: Path, credential: str) -> None:
    """The faults: of a credential that was gone it was held for good; and the start waited for a million."""
    spool = await SQLiteSpool.open(tmp_path / "spool.db", now=now_ms())
    accounts = PlatformAccounts(settings(), spool, wake=(woken := asyncio.Event()).set, clock=now_ms)
    try:
        held = support.message(hold=QUOTA, credential=credential)
        await spool.put([held])
        await accounts.start()
        assert await support.states(spool, held.id) == [State.HELD]
        running = asyncio.create_task(accounts.run())
        async with asyncio.timeout(10):
            await woken.wait()
        assert await support.states(spool, held.id) == [State.QUEUED]
        running.cancel()
        await asyncio.wait([running])
    finally:
        await spool.close()


async def test_no_figure_of_an_account_stays_that_is_configured_no_more(of: Parts) -> None:
    """The fault: an alert on how long ago the platform told something never ended."""
    of.accounts.use(of.settings())
    await until(lambda: ("example",) in metrics.PLATFORM_QUOTA.values)
    of.accounts.use(settings())
    await until(lambda: ("example",) not in metrics.PLATFORM_QUOTA.values)
    assert ("example", "quota") not in metrics.PLATFORM_SUCCESS.values

"""The daemon and the platform's HTTP API: what fails later, who unsubscribes, a quota that runs out and comes back."""

from __future__ import annotations

import asyncio
import json
import smtplib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smtprelay.cli.remote import running
from smtprelay.sandbox.nameserver import NameServer
from smtprelay.sandbox.platform import Platform, Quirk
from smtprelay.sandbox.platform.records import Domain, MailingList
from smtprelay.sandbox.smarthost import Smarthost
from tests.process.handbook import OPERATOR, over, shows, tables
from tests.process.relay import ACCOUNT, DOMAIN, PATIENCE, PLATFORM, Relay, make_relay
from tests.process.test_outcomes import send

pytestmark = pytest.mark.slow

ACCOUNTS = """
[[platform.accounts]]
base_url = "{url}"
allow_insecure = true
name = "example"
username = "{username}"
password_file = "api.password"
quota_reserve = {reserve}
poll = "1s"
"""


@asynccontextmanager
async def joined(
    folder: Path, *, quota: int = 100_000, reserve: int = 1000, **parts: str
) -> AsyncIterator[tuple[Relay, Platform]]:
    """The daemon before a platform whose smarthost and whose HTTP API are one."""
    async with (
        Platform(mailboxes=PLATFORM) as platform,
        Smarthost(credentials=platform.credentials, take=platform.take) as smarthost,
    ):
        platform.state.set_quota(quota)
        (folder / "api.password").write_text(platform.password)
        account = ACCOUNTS.format(url=platform.url, username=platform.username, reserve=reserve)
        relay = make_relay(folder, smarthost.port, more=account, **parts)
        await relay.start()
        await asked(platform, "maillist-list")
        try:
            yield relay, platform
        finally:
            await relay.stop()


async def asked(platform: Platform, do: str) -> None:
    """Wait until the daemon has asked for that; of its feedback, the lists are the last that it asks for."""
    async with asyncio.timeout(PATIENCE):
        while all(request.do != do for request in platform.requests):
            await platform.wait_for(len(platform.requests) + 1)


async def refused(relay: Relay, address: str) -> str:
    """What RCPT is told."""

    def talk() -> str:
        with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
            smtp.ehlo()
            smtp.mail(ACCOUNT)
            code, reply = smtp.rcpt(address)
            return f"{code} {reply.decode()}"

    return await asyncio.to_thread(talk)


async def test_after_the_platform_told_that_mail_failed_the_next_one_is_refused(tmp_path: Path) -> None:
    async with joined(tmp_path) as (relay, platform):
        id_ = await send(relay, "nosuch@example.org")
        await relay.logged("attempt", id=id_, status="delivered")
        [told] = await relay.json("suppress", "sync")
        assert told["failures"] == {"1": 1}
        reply = await refused(relay, "nosuch@example.org")
        assert reply.startswith("550 5.1.1 No mail is sent to this address: no such mailbox, told by platform example")
        assert str(platform.state.now().date()) in reply
        assert "no such mailbox" in await relay.run("queue", "why", id_)
        assert (await refused(relay, "somebody@example.org")).startswith("250")
        assert "nothing new" in await relay.run("suppress", "sync")


async def test_who_unsubscribed_is_not_sent_to_any_more(tmp_path: Path) -> None:
    async with joined(tmp_path) as (relay, platform):
        platform.state.lists[7] = MailingList(7, "customers", "", "enabled")
        platform.state.unsubscribe(7, "ann@example.org")
        assert "1 unsubscribed" in await relay.run("suppress", "sync")
        assert (await refused(relay, "ann@example.org")).startswith(
            "550 5.7.1 No mail is sent to this address: unsubscribed, told by platform example"
        )


async def test_a_batch_whose_quota_runs_out_and_comes_back_goes_whole_and_in_its_order(tmp_path: Path) -> None:
    async with joined(tmp_path, quota=30, reserve=10, upstream="connections = 1") as (relay, platform):
        batch = [f"b{n}@example.org" for n in range(40)]

        def hand_in() -> None:
            with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
                for address in batch:
                    content = f"From: {ACCOUNT}\r\nTo: {address}\r\nList-Id: <news.{DOMAIN}>\r\nSubject: x\r\n\r\nx\r\n"
                    smtp.sendmail(ACCOUNT, [address], content)

        await asyncio.to_thread(hand_in)
        await relay.settled(delivered=20, held=20)
        assert platform.state.service.available == 10
        urgent = await send(relay, "urgent@example.org")
        await relay.logged("attempt", id=urgent, status="delivered")
        platform.state.set_quota(19)
        await relay.settled(delivered=20 + 1 + 9, held=11)
        platform.state.set_quota(100)
        await relay.settled(delivered=41, held=0)
        sent = [line["recipient"] for line in relay.log if line["event"] == "attempt" and line["status"] == "delivered"]
        assert [address for address in sent if address != "urgent@example.org"] == batch
        assert {line["status"] for line in relay.log if line["event"] == "attempt"} == {"delivered"}


async def test_a_quota_that_runs_low_until_more_is_bought(tmp_path: Path) -> None:
    [table] = tables("The quota runs low")
    async with joined(tmp_path, quota=900, status=OPERATOR) as (relay, platform):
        await shows(relay, table)
        platform.state.set_quota(5000)
        await over(relay, "quota")


async def test_the_books_of_today_agree(tmp_path: Path) -> None:
    async with joined(tmp_path) as (relay, platform):
        for address in ("a@example.org", "nosuch@example.org"):
            await relay.logged("attempt", id=await send(relay, address), status="delivered")
        today = str(platform.state.now().date())
        [report] = await relay.json("platform", "books", "--date", today)
        assert (report["handed_over"], report["taken"], report["difference"]) == (2, 2, 0)
        assert "we handed over" in await relay.run("platform", "books", "--date", today)


async def test_commands_that_need_an_account_say_so(tmp_path: Path) -> None:
    relay = make_relay(tmp_path, 1)
    for command in (("suppress", "sync"), ("platform", "books")):
        assert "has no [[platform.accounts]]" in await relay.run(*command, status=78)


async def test_check_asks_the_platform_too(tmp_path: Path) -> None:
    async with joined(tmp_path, quota=900) as (relay, platform):
        found = [line for line in (await relay.run("check")).splitlines() if " platform: " in line]
        assert found[1].startswith("ok       platform: example: enabled, 900 left, until ")
        assert "The quota of example runs low: 900 recipients are left" in found[2]
        assert "900" not in await relay.run("check", "--offline")
        platform.password = "another"
        assert "look at username and password" in await relay.run("check", status=78)


async def test_a_reload_over_the_control_socket_tells_what_is_wrong(tmp_path: Path) -> None:
    async with joined(tmp_path):
        daemon = running(tmp_path / "control.sock")
        assert daemon
        assert await asyncio.to_thread(daemon.reload) == []
        with (tmp_path / "config.toml").open("a") as file:
            file.write("[nonsense]\n")
        [problem] = await asyncio.to_thread(daemon.reload)
        assert "nonsense" in problem


CHANGE = ("platform", "mailboxes", "password", "news@example.com")


async def test_a_changed_password_ends_the_pause_at_once_and_no_mail_is_lost(tmp_path: Path) -> None:
    async with joined(tmp_path) as (relay, platform):
        platform.state.mailboxes["news@example.com"] = "changed by somebody else"
        waiting = await send(relay, "a@example.org")
        await relay.logged("problem", key="credential")
        told = await relay.run(*CHANGE, "--generate")
        assert "The running daemon logs in with it." in told
        new = (tmp_path / "platform.password").read_text().strip()
        assert platform.state.mailboxes == {"news@example.com": new}
        assert new not in told
        await relay.logged("attempt", id=waiting, status="delivered")
        await relay.logged("attempt", id=await send(relay, "b@example.org"), status="delivered")
        assert sorted(path.name for path in tmp_path.glob("platform.password*")) == ["platform.password"]


async def test_a_change_of_unknown_outcome_leaves_both_passwords_and_goes_on_when_it_is_run_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "new").write_text("another-secret\n")
    async with joined(tmp_path) as (relay, platform):
        platform.quirks.add(Quirk.EMPTY)
        told = await relay.run(*CHANGE, "--mailbox-password-file", "new", status=69)
        assert "Nobody knows which password counts" in told
        assert "another-secret" not in told
        assert (tmp_path / "platform.password").read_text() == "platform-secret\n"
        beside = tmp_path / "platform.password.new"
        assert beside.read_text() == "another-secret\n"
        assert beside.stat().st_mode & 0o777 == (tmp_path / "platform.password").stat().st_mode & 0o777
        platform.quirks.clear()
        assert "The running daemon logs in with it." in await relay.run(*CHANGE)
        assert platform.state.mailboxes == {"news@example.com": "another-secret"}
        assert not beside.exists()
        await relay.logged("attempt", id=await send(relay, "b@example.org"), status="delivered")


async def test_a_change_that_the_platform_refuses_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async with joined(tmp_path) as (relay, platform):
        del platform.state.mailboxes["news@example.com"]
        await relay.run(*CHANGE, "--generate", status=69)
        assert (tmp_path / "platform.password").read_text() == "platform-secret\n"
        assert not (tmp_path / "platform.password.new").exists()
        assert "has the username nobody@example.com" in await relay.run(
            *CHANGE[:-1], "nobody@example.com", "--generate", status=78
        )


SPF = f'{DOMAIN}. IN TXT "v=spf1 include:spf.bestedm.org -all"'
MX = f"{DOMAIN}. IN MX 10 mail.bestedm.org."


@asynccontextmanager
async def set_up(
    folder: Path, *records: str, seen: Sequence[str] | None = None
) -> AsyncIterator[tuple[Relay, Platform]]:
    """A configuration alone, with DNS.

    :param records: what is published here.
    :param seen: what the platform finds in their place.
    """
    async with (
        NameServer(*records) as here,
        NameServer(*(records if seen is None else seen)) as there,
        Platform(dns=there) as platform,
    ):
        (folder / "api.password").write_text(platform.password)
        account = ACCOUNTS.format(url=platform.url, username=platform.username, reserve=0)
        rules = f'nameservers = ["127.0.0.1:{here.port}"]\nrequire = ["spf", "mx"]'
        yield make_relay(folder, 1, domain_rules=rules, more=account), platform


@pytest.mark.parametrize(
    ("records", "seen", "added", "says", "status"),
    [
        ((SPF, MX), None, True, "3: added, and its DNS is right", 0),
        ((SPF, MX), None, False, f"'smtprelay domain add {DOMAIN}' adds it", 0),
        ((SPF, MX), (SPF,), True, "the platform does not see that yet", 0),
        ((SPF,), (SPF, MX), True, "The platform sees SPF and MX that are right, and we do not", 78),
    ],
)
async def test_domain_check_shows_what_the_platform_says_and_why_it_differs(
    tmp_path: Path, records: tuple[str, ...], seen: tuple[str, ...] | None, added: bool, says: str, status: int
) -> None:
    """What is expected was called the platform's status, beside another one of the platform's own."""
    async with set_up(tmp_path, *records, seen=seen) as (relay, platform):
        if added:
            platform.state.domains[DOMAIN] = Domain(1, DOMAIN, platform.state.customer.id)
        told = await relay.run("domain", "check", DOMAIN, status=status)
        assert says in " ".join(told.split())
        assert told.count("platform status") == told.count("expected platform status") == 1
        [listed] = json.loads(await relay.run("domain", "check", DOMAIN, "--json", status=status))
        assert listed["platform"]["account"] == "example"
        assert (listed["platform"]["explanation"] == "") == says.startswith("3")


async def test_domain_check_says_that_the_platform_does_not_tell(tmp_path: Path) -> None:
    async with set_up(tmp_path, SPF, MX) as (relay, platform):
        platform.password = "another"
        assert "it does not tell: " in await relay.run("domain", "check", DOMAIN)


async def test_domain_add_adds_prints_and_waits_until_both_agree(tmp_path: Path) -> None:
    async with set_up(tmp_path) as (relay, platform):
        told = await relay.run("domain", "add", DOMAIN)
        assert f"{DOMAIN} is added at the platform; its DNS is not right yet." in told
        assert SPF in told
        assert MX in told
        assert DOMAIN in platform.state.domains
        assert "has example.com already" in await relay.run(
            "domain", "add", DOMAIN, "--wait", "--limit", "1s", status=75
        )
    async with set_up(tmp_path, SPF, MX) as (relay, platform):
        told = await relay.run("domain", "add", DOMAIN, "--wait")
        assert f"{DOMAIN} here: all that is required passes" in told
        assert "at the platform (example): 3: added, and its DNS is right" in told

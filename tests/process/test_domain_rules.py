"""The domain rules as an operator meets them: the real daemon, a real DNS server, the commands."""

from __future__ import annotations

import asyncio
import email
import email.policy
import signal
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smtprelay.sandbox.nameserver import Fault, NameServer
from smtprelay.sandbox.smarthost import Smarthost
from tests.process.relay import ACCOUNT, DOMAIN, PATIENCE, Relay, running

pytestmark = pytest.mark.slow

SPF = f'{DOMAIN}. IN TXT "v=spf1 include:spf.bestedm.org -all"'
MX = f"{DOMAIN}. IN MX 10 mail.bestedm.org."


@asynccontextmanager
async def relaying(
    folder: Path, dns: NameServer, rules: str = "", **parts: str
) -> AsyncIterator[tuple[Relay, Smarthost]]:
    settings = f'nameservers = ["{dns.address}"]\n{rules}'
    async with running(folder, domain_rules=settings, **parts) as (relay, smarthost):
        yield relay, smarthost


async def send(relay: Relay, sender: str = ACCOUNT) -> tuple[int, str]:
    """Send a mail. :returns: the reply that decided over it."""

    def hand_over() -> tuple[int, str]:
        with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
            smtp.ehlo()
            code, reply = smtp.mail(sender)
            if code == 250:
                smtp.rcpt("b@example.org")
                code, reply = smtp.data(f"From: {sender}\r\nSubject: test\r\n\r\nHello\r\n".encode())
            return code, reply.decode()

    return await asyncio.to_thread(hand_over)


async def taken(relay: Relay) -> str:
    """Send a mail that is taken. :returns: its id."""
    code, reply = await send(relay)
    assert code == 250, reply
    return reply.rpartition(" ")[2]


async def test_a_domain_is_refused_until_it_is_set_up(tmp_path: Path) -> None:
    """And the check that an operator makes after publishing is what the daemon knows from then on."""
    async with NameServer(ttl=3600) as dns, relaying(tmp_path, dns) as (relay, smarthost):
        alarm = await relay.logged("domain is not set up", rule="spf")
        assert alarm["publish"] == [SPF]
        code, reply = await send(relay)
        assert code == 550
        assert SPF in reply
        assert MX in reply
        dns.publish(SPF)
        dns.publish(MX)
        await relay.run("domain", "check", DOMAIN)
        await relay.logged("domain is set up", rule="mx")
        await taken(relay)
        await smarthost.wait_for(1, PATIENCE)


async def test_mail_waits_for_dns_and_goes_on_by_itself(tmp_path: Path) -> None:
    async with NameServer(SPF, MX) as dns:
        dns.fault = Fault.SERVFAIL
        async with relaying(tmp_path, dns) as (relay, smarthost):
            message_id = await taken(relay)
            [held] = (await relay.json("queue", "list", "--state", "held"))[0]["recipients"]
            assert held["reason"] == "dns"
            assert "DNS did not tell" in await relay.run("queue", "why", message_id)
            assert not smarthost.messages
            dns.fault = None
            await smarthost.wait_for(1, PATIENCE)
            await relay.settled(delivered=1, held=0)


async def test_what_waited_for_dns_is_returned_where_the_domain_is_not_set_up(tmp_path: Path) -> None:
    """The notification has the record; it goes to the reverse-path, by the credential of the message."""
    async with NameServer(SPF) as dns:
        dns.fault = Fault.SERVFAIL
        async with relaying(tmp_path, dns) as (relay, smarthost):
            message_id = await taken(relay)
            dns.fault = None
            await smarthost.wait_for(1, PATIENCE)
            await relay.settled(bounced=1, delivered=1, held=0)
            why = await relay.run("queue", "why", message_id)
    assert "bounced (refused)" in why
    assert MX in why
    [dsn] = smarthost.messages
    assert set(dsn.recipients) == {ACCOUNT}
    report = email.message_from_bytes(dsn.content, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report"
    text = report.get_payload(0).get_content()  # type: ignore[union-attr]
    assert MX in " ".join(text.split())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_what_is_known_of_a_domain_outlives_the_process(tmp_path: Path, number: int) -> None:
    """The fault: the relay is started again while DNS is dead."""
    async with NameServer(SPF, MX) as dns, relaying(tmp_path, dns) as (relay, smarthost):
        await taken(relay)
        await smarthost.wait_for(1, PATIENCE)
        await relay.stop(number)
        dns.fault = Fault.SILENCE
        await relay.start()
        async with asyncio.timeout(4):  # less than it waits for DNS
            await taken(relay)
        await smarthost.wait_for(2, PATIENCE)


async def test_what_waits_for_dns_outlives_the_process(tmp_path: Path) -> None:
    async with NameServer(SPF, MX) as dns:
        dns.fault = Fault.SERVFAIL
        async with relaying(tmp_path, dns) as (relay, smarthost):
            await taken(relay)
            await relay.stop(signal.SIGKILL)
            dns.fault = None
            await relay.start()
            await smarthost.wait_for(1, PATIENCE)
            await relay.settled(delivered=1, held=0)


async def test_mail_of_a_domain_that_is_not_set_up_can_be_held(tmp_path: Path) -> None:
    async with NameServer(SPF) as dns, relaying(tmp_path, dns, 'on_failure = "hold"') as (relay, smarthost):
        message_id = await taken(relay)
        why = await relay.run("queue", "why", message_id)
        assert "held since" in why
        assert "not set up: publish what 'smtprelay domain check' shows" in why
        dns.publish(MX)
        await smarthost.wait_for(1, PATIENCE)
        await relay.settled(delivered=1, held=0)


async def test_a_suspended_account_is_not_released_by_dns(tmp_path: Path) -> None:
    async with NameServer(SPF, MX) as dns:
        dns.fault = Fault.SERVFAIL
        async with relaying(tmp_path, dns) as (relay, smarthost):
            await taken(relay)
            await relay.run("account", "suspend", "127.0.0.1")
            dns.fault = None
            await relay.run("domain", "check", DOMAIN)
            await relay.run("account", "resume", "127.0.0.1")
            await taken(relay)
            await smarthost.wait_for(1, PATIENCE)
            await relay.settled(delivered=1, held=1)


async def test_slow_dns_slows_no_known_domain(tmp_path: Path) -> None:
    """Each answer takes longer than a mail may, and the domain is being looked up again."""
    async with NameServer(SPF, MX) as dns, relaying(tmp_path, dns) as (relay, _):
        await taken(relay)
        dns.fault = 60.0
        await dns.wait_for(len(dns.questions) + 1, PATIENCE)
        for _ in range(5):
            async with asyncio.timeout(4):  # less than it waits for DNS
                await taken(relay)


async def test_an_old_app_reads_the_record_in_one_line(tmp_path: Path) -> None:
    async with NameServer(SPF) as dns, relaying(tmp_path, dns) as (relay, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(f"HELO old\r\nMAIL FROM:<{ACCOUNT}>\r\nQUIT\r\n".encode())
        replies = (await reader.read()).decode().splitlines()
        writer.close()
        await writer.wait_closed()
    assert [reply[:3] for reply in replies] == ["220", "250", "550", "221"]
    assert MX in replies[2]

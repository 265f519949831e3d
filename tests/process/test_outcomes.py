"""What a smarthost does wrong, and what becomes of the mail: seen with `queue why`, as an operator sees it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest

from smtprelay.sandbox.smarthost import DROP, SILENCE, Rule
from tests.process.relay import ACCOUNT, PATIENCE, Relay, running
from tests.verifiers import dkimpy_verify

pytestmark = pytest.mark.slow


async def send(relay: Relay, *recipients: str, options: Sequence[str] = (), rcpt_options: Sequence[str] = ()) -> str:
    """Send a mail. :returns: its id."""

    def hand_over() -> str:
        with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
            smtp.ehlo()
            smtp.mail(ACCOUNT, list(options))
            for recipient in recipients:
                assert smtp.rcpt(recipient, list(rcpt_options))[0] == 250
            code, reply = smtp.data(f"From: {ACCOUNT}\r\nTo: undisclosed:;\r\nSubject: test\r\n\r\nHello\r\n".encode())
            assert code == 250, reply
            return reply.decode().rpartition(" ")[2]

    return await asyncio.to_thread(hand_over)


async def test_4xx_then_2xx_is_a_retry(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("RCPT", "451 4.7.1 Greylisted", times=1)) as (relay, smarthost):
        message_id = await send(relay, "b@example.org")
        await smarthost.wait_for(1)
        await relay.settled(delivered=1)
        why = await relay.run("queue", "why", message_id)
    assert "#1 deferred at rcpt" in why
    assert "451 4.7.1 Greylisted" in why
    assert "#2 delivered at dot" in why


async def test_5xx_for_one_of_three_bounces_that_one(tmp_path: Path) -> None:
    """The DSN arrives, parses, is signed, and is about the refused one alone."""
    rule = Rule("RCPT", "550 5.1.1 No such user", match="nobody@")
    async with running(tmp_path, rule) as (relay, smarthost):
        message_id = await send(relay, "b@example.org", "nobody@example.org", "c@example.org", options=["RET=FULL"])
        await smarthost.wait_for(2)
        await relay.settled(delivered=3, bounced=1)
        why = await relay.run("queue", "why", message_id)
    delivered, returned = sorted(smarthost.messages, key=lambda message: len(message.recipients), reverse=True)
    assert set(delivered.recipients) == {"b@example.org", "c@example.org"}
    assert returned.envelope_from == ""
    assert set(returned.recipients) == {ACCOUNT}
    assert dkimpy_verify(returned.content, relay.records) == [True]
    dsn = email.message_from_bytes(returned.content, policy=email.policy.default)
    assert isinstance(dsn, EmailMessage)
    assert dsn["From"].addresses[0].addr_spec == "postmaster@example.com"
    assert dsn.get_content_type() == "multipart/report"
    _, status, original = dsn.iter_parts()
    per_message, per_recipient = cast("list[EmailMessage]", status.get_payload())
    assert per_message["Reporting-MTA"] == "dns; relay.example.com"
    assert per_recipient["Final-Recipient"] == "rfc822;nobody@example.org"
    assert per_recipient["Action"] == "failed"
    assert per_recipient["Status"] == "5.1.1"
    assert original.get_content_type() == "message/rfc822"
    assert "nobody@example.org: bounced (refused)" in why
    assert "550 5.1.1 No such user" in why
    assert "The address is wrong or does not exist" in why


async def test_421_is_a_retry_on_a_new_connection(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("DOT", "421 4.3.2 Shutting down", times=1)) as (relay, smarthost):
        message_id = await send(relay, "b@example.org")
        await smarthost.wait_for(1)
        await relay.settled(delivered=1)
        why = await relay.run("queue", "why", message_id)
    assert smarthost.connections == 2
    assert "#1 deferred at dot" in why
    assert "ambiguous" not in why


async def test_refused_auth_pauses_the_credential_and_its_mail_waits(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("CREDENTIALS", "535 5.7.8 Bad password")) as (relay, smarthost):
        first = await send(relay, "b@example.org")
        await relay.logged("the smarthost refuses this credential; its mail waits. Check username and password")
        second = await send(relay, "c@example.org")
        await relay.settled(queued=2)
        why, why_second = await relay.run("queue", "why", first), await relay.run("queue", "why", second)
        stats = await relay.run("queue", "stats")
    assert smarthost.connections == 1, "one log-in, not one a message"
    assert "CREDENTIAL PAUSED" in why
    assert "535 5.7.8 Bad password" in why
    assert "waiting after 0 attempts" in why_second
    assert "PAUSED credential news" in stats
    assert "platform-secret" not in str(relay.log)


async def test_a_drop_after_the_dot_is_ambiguous_and_retried(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("DOT", DROP, times=1)) as (relay, smarthost):
        message_id = await send(relay, "b@example.org")
        await smarthost.wait_for(1)
        await relay.settled(delivered=1)
        why = await relay.run("queue", "why", message_id)
        ambiguous = await relay.logged("attempt", status="ambiguous")
    assert ambiguous["id"] == message_id
    assert "#1 ambiguous (it may have been delivered) at dot" in why
    assert "#2 delivered" in why


async def test_a_drop_after_the_dot_is_held_where_that_is_configured(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("DOT", DROP, times=1), retry='ambiguous = "hold"') as (relay, smarthost):
        message_id = await send(relay, "b@example.org")
        await relay.settled(held=1)
        why = await relay.run("queue", "why", message_id)
        assert "held since" in why
        assert "It may have been delivered already" in why
        assert "1 recipient released" in await relay.run("queue", "release", message_id)
        await smarthost.wait_for(1)


@pytest.mark.parametrize(("phase", "shown"), [("GREETING", "greeting"), ("MAIL", "mail"), ("DOT", "dot")])
async def test_silence_is_a_retry(tmp_path: Path, phase: str, shown: str) -> None:
    async with running(tmp_path, Rule(phase, SILENCE, times=1)) as (relay, smarthost):
        message_id = await send(relay, "b@example.org")
        await smarthost.wait_for(1, PATIENCE)
        await relay.settled(delivered=1)
        why = await relay.run("queue", "why", message_id)
    assert f"at {shown}" in why
    assert "no answer within 2 s" in why
    assert ("#1 ambiguous" in why) == (phase == "DOT")


async def test_nobody_there_is_a_retry(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        await smarthost.stop()
        message_id = await send(relay, "b@example.org")
        await relay.logged("attempt", id=message_id, phase="connect")
        why = await relay.run("queue", "why", message_id)
        assert "The smarthost could not be reached" in why
        await smarthost.start(port=smarthost.port)
        await smarthost.wait_for(1)


async def test_a_quota_is_a_retry_though_it_is_a_5xx(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("DOT", "550 5.7.1 Daily sending quota exceeded", times=1)) as (relay, smarthost):
        await send(relay, "b@example.org")
        await smarthost.wait_for(1)


async def test_452_after_accepted_ones_sends_the_rest_at_once(tmp_path: Path) -> None:
    rule = Rule("RCPT", "452 4.5.3 Too many recipients", after=2, times=1)
    async with running(tmp_path, rule, retry='give_up_after = "5d"') as (relay, smarthost):
        await send(relay, "a@example.org", "b@example.org", "c@example.org")
        first, second = await smarthost.wait_for(2)
    assert (len(first.recipients), len(second.recipients)) == (2, 1)
    assert second.received_at - first.received_at < 0.9, "the schedule's first step is 1 s"


async def test_what_is_too_old_expires(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("RCPT", "450 4.2.1 Not now", match="b@"), retry='give_up_after = "1s"') as (
        relay,
        smarthost,
    ):
        message_id = await send(relay, "b@example.org")
        [returned] = await smarthost.wait_for(1)
        await relay.settled(bounced=1, delivered=1)
        why = await relay.run("queue", "why", message_id)
    assert "bounced (expired)" in why
    assert b"Status: 5.4.7" in returned.content


async def test_success_is_reported_as_relayed_where_the_smarthost_has_no_dsn(tmp_path: Path) -> None:
    """RFC 3461 §5.2.2."""
    async with running(tmp_path) as (relay, smarthost):
        await send(relay, "b@example.org", rcpt_options=["NOTIFY=SUCCESS"])
        returned = (await smarthost.wait_for(2))[1]
    assert b"Action: relayed" in returned.content


async def test_no_dsn_where_none_was_wanted(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("RCPT", "550 5.1.1 No")) as (relay, smarthost):
        message_id = await send(relay, "b@example.org", rcpt_options=["NOTIFY=NEVER"])
        await relay.settled(bounced=1, queued=0)
        assert "notification: none: NOTIFY=NEVER" in await relay.run("queue", "why", message_id)
        assert not smarthost.messages


async def test_a_dsn_that_is_refused_does_not_bounce(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("RCPT", "550 5.1.1 No")) as (relay, _smarthost):
        message_id = await send(relay, "b@example.org")
        await relay.settled(bounced=2, queued=0, sending=0)
        [first] = (await relay.json("queue", "show", message_id))["recipients"]
        [second] = (await relay.json("queue", "show", first["dsn"]))["recipients"]
    assert second["dsn"] == "none: this was a notification itself"


async def test_a_dsn_goes_where_the_operator_reads(tmp_path: Path) -> None:
    more = '[bounces]\nsend_to = "ops@example.net"\nenvelope = "credential"'
    async with running(tmp_path, Rule("RCPT", "550 5.1.1 No", match="b@"), more=more) as (relay, smarthost):
        await send(relay, "b@example.org")
        [returned] = await smarthost.wait_for(1)
    assert returned.envelope_from == "news@example.com"
    assert set(returned.recipients) == {"ops@example.net"}


async def test_sigterm_lets_a_delivery_in_flight_end(tmp_path: Path) -> None:
    """The smarthost takes its time to answer the dot; the shutdown waits for it."""
    async with running(tmp_path, Rule("DOT", SILENCE, times=1), retry='ambiguous = "hold"') as (relay, smarthost):
        await send(relay, "b@example.org")
        while "DATA" not in smarthost.commands:
            await asyncio.sleep(0.01)
        assert await relay.stop() == 0
        [entry] = await relay.json("queue", "list")
    assert entry["recipients"][0]["state"] == "held"
    assert entry["recipients"][0]["reason"] == "ambiguous"

"""Addresses that are not to be sent to, from the smarthost's refusal to the app's next message."""

from __future__ import annotations

import asyncio
import json
import smtplib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from smtprelay.sandbox.smarthost import Rule
from tests.gateway.wire import Client
from tests.process.relay import ACCOUNT, Relay, running

pytestmark = pytest.mark.slow

NOBODY = Rule("RCPT", "550 5.1.1 No such user", match="nobody@")
DISCARD = '[suppression]\naction = "discard"'
REFUSAL = (
    r"550 5\.1\.1 No mail is sent to this address: no such mailbox, told by bounce of {id} on \d{{4}}-\d\d-\d\d\. "
    r"If that is no longer so: smtprelay suppress remove nobody@example\.org$"
)


async def hand_over(relay: Relay, *recipients: str, header: str = "") -> str:
    """Send a mail. :returns: its id."""

    def send() -> str:
        with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
            smtp.ehlo()
            smtp.mail(ACCOUNT)
            for recipient in recipients:
                assert smtp.rcpt(recipient)[0] == 250
            code, reply = smtp.data(f"From: {ACCOUNT}\r\n{header}Subject: test\r\n\r\nHello\r\n".encode())
            assert code == 250, reply
            return reply.decode().rpartition(" ")[2]

    return await asyncio.to_thread(send)


async def talk(relay: Relay, *lines: tuple[str, str]) -> None:
    """Say lines, and hear a reply that matches after each."""
    client = Client(*await asyncio.open_connection("127.0.0.1", relay.port))
    try:
        await client.hear("220 ")
        for line, pattern in lines:
            await client.ask(line, pattern)
    finally:
        await client.close()


@pytest.mark.parametrize("greeting", ["EHLO app", "HELO app"])
async def test_what_the_smarthost_refuses_as_unknown_is_refused_at_rcpt_from_then_on(
    tmp_path: Path, greeting: str
) -> None:
    async with running(tmp_path, NOBODY) as (relay, smarthost):
        message_id = await hand_over(relay, "Nobody@example.org")
        await relay.settled(bounced=1, delivered=1)  # and the notification
        await talk(
            relay,
            (greeting, "250"),
            (f"MAIL FROM:<{ACCOUNT}>", "250 "),
            ("RCPT TO:<nobody@example.org>", REFUSAL.format(id=message_id).replace("remove nobody", "remove Nobody")),
            ("RCPT TO:<b@example.org>", "250 "),
            ("DATA", "354 "),
            (f"From: {ACCOUNT}\r\n\r\nHello\r\n.", "250 "),
        )
        await relay.settled(bounced=1, delivered=2)
        refused = await relay.logged("refused")
        assert (refused["recipient"], refused["reverse_path"]) == ("nobody@example.org", ACCOUNT)
        assert [*smarthost.messages[-1].recipients] == ["b@example.org"]


async def test_where_such_mail_is_discarded_it_is_taken_and_recorded(tmp_path: Path) -> None:
    async with running(tmp_path, NOBODY, more=DISCARD) as (relay, smarthost):
        await hand_over(relay, "nobody@example.org")
        await relay.settled(bounced=1, delivered=1)
        mixed = await hand_over(relay, "nobody@example.org", "b@example.org")
        alone = await hand_over(relay, "nobody@example.org")
        await relay.settled(bounced=1, delivered=2, suppressed=2)
        assert [*smarthost.messages[-1].recipients] == ["b@example.org"]
        [nobody, _] = (await relay.json("queue", "show", mixed))["recipients"]
        assert (nobody["state"], nobody["reason"], nobody["dsn"]) == ("suppressed", "1", "")
        assert not (await relay.json("queue", "show", alone))["body_kept"]
        assert "#1 suppressed: no such mailbox, told by bounce of " in await relay.run("queue", "why", alone)


async def test_a_campaign_goes_on_and_tells_how_many_were_suppressed(tmp_path: Path) -> None:
    listed, others = ([f"{name}{i}@example.org" for i in range(count)] for name, count in (("a", 1200), ("b", 20)))
    (tmp_path / "listed.txt").write_text("\n".join(listed))
    (tmp_path / "contacts.txt").write_text("\n".join(listed + others))
    words = ("--from", ACCOUNT, "--subject", "News", "--text", "Hello", "--contacts", "contacts.txt")
    async with running(tmp_path) as (relay, smarthost):
        await relay.run("suppress", "import", "listed.txt")
        lines = (await relay.run("send", *words, "--relay", f"127.0.0.1:{relay.port}")).splitlines()
        summary = json.loads(lines[-1])["summary"]
        assert (summary["sent"], summary["suppressed"], summary["refused"], summary["later"]) == (20, 1200, 0, 0)
        await relay.settled(delivered=20)
        assert sorted(address for message in smarthost.messages for address in message.recipients) == sorted(others)


async def test_who_was_suppressed_while_a_message_waited_is_not_sent_it_and_its_sender_is_told(tmp_path: Path) -> None:
    async with running(tmp_path, NOBODY) as (relay, smarthost):
        at = format_datetime(datetime.now(UTC) + timedelta(hours=1))
        waiting = await hand_over(relay, "nobody@example.org", "b@example.org", header=f"X-SMTPRelay-Send-At: {at}\r\n")
        await hand_over(relay, "nobody@example.org")
        await relay.settled(bounced=1, queued=2, delivered=1)  # and its notification
        await relay.run("queue", "retry", waiting)
        await relay.settled(bounced=1, suppressed=1, delivered=3)
        [nobody, _] = (await relay.json("queue", "show", waiting))["recipients"]
        assert nobody["state"] == "suppressed"
        [about] = [message for message in smarthost.messages if f"Number: {waiting}".encode() in message.content]
        assert [*about.recipients] == [ACCOUNT]
        assert b"Reason: no such mailbox, told by bounce of" in about.content
        assert b"Status: 5.1.1" in about.content

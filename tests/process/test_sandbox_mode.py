"""A test system mails nobody, whatever lies in its spool; and a message to its own people gets through."""

from __future__ import annotations

import asyncio
import signal
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smtprelay.sandbox.smarthost import Rule, Smarthost
from tests.gateway.wire import PASSWORD
from tests.process.relay import ACCOUNT, PLATFORM, Relay, make_relay, running
from tests.process.test_outcomes import send

pytestmark = pytest.mark.slow

SANDBOX = 'mode = "sandbox"'
CAPTURED = "not sent: [upstream] mode = sandbox"


def reconfigure(relay: Relay, old: str, new: str) -> None:
    file = relay.folder / "config.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@asynccontextmanager
async def restored(folder: Path, *recipients: str) -> AsyncIterator[tuple[Relay, Smarthost]]:
    """A spool that a live system left behind while its smarthost was away; the smarthost is back."""
    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay = make_relay(folder, smarthost.port, schedule="1s")
        port = smarthost.port
        await smarthost.stop()
        await relay.start()
        for recipient in recipients:
            await send(relay, recipient)
        await relay.logged("attempt", status="deferred")
        await relay.stop()
        await smarthost.start(port=port)
        yield relay, smarthost


async def test_a_production_spool_in_the_sandbox_mails_nobody(tmp_path: Path) -> None:
    """Not even where the credential that its mail waits for is unknown here, and no password is there."""
    async with restored(tmp_path, "b@customer.test", "c@customer.test", "d@customer.test") as (relay, smarthost):
        reconfigure(relay, "[upstream]", f"[upstream]\n{SANDBOX}")
        reconfigure(relay, '[[upstream.credentials]]\nname = "news"', '[[upstream.credentials]]\nname = "test"')
        (relay.folder / "platform.password").unlink()
        await relay.start()
        await relay.settled(captured=3)
        new = await send(relay, "e@customer.test")
        await relay.settled(captured=4, queued=0, sending=0)
        await relay.logged("not live", mode="mode = sandbox: nobody is mailed; what would have left is kept here")
        stats, why = await relay.run("queue", "stats"), await relay.run("queue", "why", new)
        listed = await relay.json("queue", "list", "--state", "captured")
        source = await relay.run("queue", "source", new)
        checked = await relay.run("check")
        await relay.stop()
        assert (smarthost.connections, smarthost.messages) == (0, [])
    assert "mode = sandbox" in stats
    assert CAPTURED in why
    assert len(listed) == 4
    assert "warning  mode: mode = sandbox" in checked
    assert "log-in" not in checked
    assert "DKIM-Signature:" in source
    assert source.endswith("\r\n\r\nHello\r\n")
    assert source == await relay.run("queue", "source", new), "without a daemon, too"


async def test_a_reload_changes_who_is_mailed(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        delivered = await send(relay, "b@customer.test")
        await relay.settled(delivered=1)
        assert "its recipients' alone" in await relay.run("queue", "source", delivered, status=64)
        reconfigure(relay, "[upstream]", f"[upstream]\n{SANDBOX}")
        relay.signal(signal.SIGHUP)
        await relay.logged("reloaded")
        await send(relay, "c@customer.test")
        await relay.settled(delivered=1, captured=1)
        reconfigure(relay, SANDBOX, 'mode = "live"')
        relay.signal(signal.SIGHUP)
        await relay.logged("reloaded", count=2)
        await send(relay, "d@customer.test")
        await relay.settled(delivered=2, captured=1)
        assert [[*message.recipients] for message in smarthost.messages] == [["b@customer.test"], ["d@customer.test"]]


async def test_what_is_redirected_goes_to_one_box(tmp_path: Path) -> None:
    async with restored(tmp_path, "b@customer.test") as (relay, smarthost):
        reconfigure(relay, "[upstream]", '[upstream]\nmode = "redirect"\nredirect_to = "box@example.org"')
        await relay.start()
        await smarthost.wait_for(1)
        two = await send(relay, "c@customer.test", "d@customer.test", rcpt_options=["NOTIFY=SUCCESS"])
        await relay.settled(delivered=3, queued=0, sending=0)
        why = await relay.run("queue", "why", two)
        await relay.stop()
        assert [[*message.recipients] for message in smarthost.messages] == [["box@example.org"]] * 2
        assert b"To: undisclosed:;" in smarthost.messages[1].content, "the message is as it was"
    assert why.count("(redirected to box@example.org)") == 2


async def test_rules_let_go_by_account_sender_and_recipient(tmp_path: Path) -> None:
    rules = """
        [[upstream.rules]]
        account = "app@example.com"
        sender = "alarm@example.com"
        action = "deliver"
        [[upstream.rules]]
        recipient = "*@ours.test"
        action = "redirect"
        to = "box@ours.test"
    """

    def hand_over(relay: Relay, sender: str, to: str, *, log_in: bool) -> None:
        with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
            if log_in:
                smtp.login(ACCOUNT, PASSWORD)
            smtp.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\n\r\nHello\r\n")

    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay = make_relay(tmp_path, smarthost.port, upstream=SANDBOX, more=rules)
        await relay.start()
        try:
            await asyncio.to_thread(hand_over, relay, "alarm@example.com", "b@customer.test", log_in=True)
            await asyncio.to_thread(hand_over, relay, "alarm@example.com", "c@customer.test", log_in=False)
            await asyncio.to_thread(hand_over, relay, ACCOUNT, "d@customer.test", log_in=True)
            await asyncio.to_thread(hand_over, relay, ACCOUNT, "e@ours.test", log_in=False)
            await relay.settled(delivered=2, captured=2)
        finally:
            await relay.stop()
        assert sorted([*message.recipients] for message in smarthost.messages) == [
            ["b@customer.test"],
            ["box@ours.test"],
        ]


KEEP_OURS = '[[upstream.rules]]\nrecipient = "*@example.com"\naction = "capture"'


async def test_a_notification_is_captured_like_any_mail(tmp_path: Path) -> None:
    nobody = Rule("RCPT", "550 5.1.1 No such user", match="nobody@")
    async with running(tmp_path, nobody, more=KEEP_OURS) as (relay, smarthost):
        message_id = await send(relay, "nobody@customer.test")
        await relay.settled(bounced=1, captured=1)
        [shown] = (await relay.json("queue", "show", message_id))["recipients"]
        notification = await relay.json("queue", "show", shown["dsn"])
        assert smarthost.messages == []
    assert notification["recipients"][0]["reply"] == "not sent: [[upstream.rules]] number 1"
    assert notification["body_kept"]


async def test_what_is_kept_does_not_wait_for_a_refused_credential(tmp_path: Path) -> None:
    """The fault: the pause of a credential would have kept it waiting for an hour, and for ever."""
    refused = Rule("CREDENTIALS", "535 5.7.8 Bad password")
    async with running(tmp_path, refused, more=KEEP_OURS) as (relay, smarthost):
        await send(relay, "b@customer.test")
        await relay.logged("the smarthost refuses this credential; its mail waits. Check username and password")
        await send(relay, "c@customer.test", "d@example.com")
        await relay.settled(queued=2, captured=1)
        assert smarthost.connections == 1


async def test_killed_in_the_middle_nothing_is_lost_nor_in_doubt(tmp_path: Path) -> None:
    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay = make_relay(tmp_path, smarthost.port, upstream=SANDBOX)
        accepted: list[str] = []

        async def load() -> None:
            while True:
                accepted.append(await send(relay, "b@customer.test", "c@customer.test"))

        await relay.start()
        for kill in range(3):
            loads = [asyncio.create_task(load()) for _ in range(4)]
            await relay.logged("attempt", status="captured", count=60 * (kill + 1))
            await relay.stop(signal.SIGKILL)
            await asyncio.gather(*loads, return_exceptions=True)
            await relay.start()
        await relay.settled(queued=0)
        messages = await relay.json("queue", "list", "--limit", "10000")
        assert smarthost.connections == 0
        await relay.stop()
    assert {message["id"] for message in messages} >= set(accepted)
    for message in messages:
        assert [(r["state"], r["attempts"], r["reply"]) for r in message["recipients"]] == [
            ("captured", 1, CAPTURED)
        ] * 2

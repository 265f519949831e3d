"""Webhooks of the real daemon: over a kill, and never in the way of mail."""

from __future__ import annotations

import asyncio
import base64
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from standardwebhooks import Webhook as Verifier

from smtprelay.sandbox.smarthost import Rule
from tests.process.relay import make_relay, running
from tests.process.test_outcomes import send
from tests.webhook import Endpoint, Request, answering, status

pytestmark = pytest.mark.slow

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BROKEN = status("503 Later")
HOOK = '[[webhooks]]\nurl = "{url}"\nsecret_file = "webhook.secret"\n'


def hook(folder: Path, endpoint: Endpoint, more: str = "") -> str:
    (folder / "webhook.secret").write_text(SECRET + "\n")
    return HOOK.format(url=endpoint.url) + more


async def test_the_events_of_mail_that_was_delivered_deferred_held_and_bounced(tmp_path: Path) -> None:
    rules = Rule("RCPT", "451 4.7.1 Later", match="later@"), Rule("RCPT", "550 5.1.1 No such user", match="nobody@")
    async with (
        Endpoint() as endpoint,
        running(tmp_path, *rules, more=hook(tmp_path, endpoint), schedule="1h") as (relay, _),
    ):
        message_id = await send(relay, "b@example.org", "later@example.org", "nobody@example.org")
        await relay.settled(delivered=2, queued=1, bounced=1)  # the notification is delivered too
        await relay.stop()
        await relay.run("queue", "hold", message_id, "--reason", "audit")  # on the spool itself
        await relay.start()
        await endpoint.until(lambda e: len(e.events) == 7)
        await relay.stop()
    for request in endpoint.taken:
        Verifier(SECRET).verify(request.body, dict(request.headers))
    told = [(event["event"], event["recipients"]) for event in endpoint.events if event["message"] == message_id]
    assert told[0] == ("accepted", ["b@example.org", "later@example.org", "nobody@example.org"])
    assert sorted(told[1:4]) == [
        ("bounced", ["nobody@example.org"]),
        ("deferred", ["later@example.org"]),
        ("delivered", ["b@example.org"]),
    ]
    assert told[4] == ("held", ["later@example.org"])
    assert [event["event"] for event in endpoint.events if event["dsn_for"] == message_id] == ["accepted", "delivered"]
    bounced = next(event for event in endpoint.events if event["event"] == "bounced")
    assert (bounced["reason"], bounced["reply"]) == ("refused", "550 5.1.1 No such user")
    assert bounced["smarthost"].startswith("127.0.0.1[127.0.0.1]:")
    assert SECRET not in str(relay.log)
    assert "hidden" not in str(relay.log)


async def test_a_kill_costs_no_event(tmp_path: Path) -> None:
    """The endpoint is down, the daemon is killed twice under load: every event comes, in order, with the same id."""
    count = 60

    async def refuse(_: Request) -> bytes:
        return BROKEN

    async with (
        Endpoint(answering(status("204 No Content"), BROKEN)) as endpoint,
        running(tmp_path, more=hook(tmp_path, endpoint)) as (relay, smarthost),
    ):
        for kill in range(2):
            await asyncio.gather(*(send(relay, f"{n}@example.org") for n in range(count // 3)))
            await endpoint.until(lambda e, kill=kill: len(e.requests) > kill)  # type: ignore[misc]
            await relay.stop(signal.SIGKILL)
            endpoint.answer = refuse
            await relay.start()
        endpoint.answer = answering()
        await asyncio.gather(*(send(relay, f"{n}@example.org") for n in range(count // 3)))
        await smarthost.wait_for(count)
        await relay.settled(delivered=count)
        await relay.stop()
        await relay.start()  # at once, in place of waiting for the next try
        await endpoint.until(
            lambda e: len({event["id"] for event in e.events if event["event"] == "delivered"}) == count
        )
    seen = list({event["id"]: event for event in endpoint.events}.values())  # each once, as it came first
    numbers = [int(event["id"].rpartition("-")[2]) for event in seen]
    assert numbers == sorted(numbers)
    assert sum(event["event"] == "accepted" for event in seen) == count
    delivered = {event["message"] for event in seen if event["event"] == "delivered"}
    assert delivered == {event["message"] for event in seen if event["event"] == "accepted"}


async def test_an_endpoint_that_hangs_does_not_slow_mail(tmp_path: Path) -> None:
    never = asyncio.Event()

    async def hang(_: Request) -> None:
        await never.wait()

    async with (
        Endpoint(hang) as endpoint,
        running(tmp_path, more=hook(tmp_path, endpoint)) as (relay, smarthost),
    ):
        await send(relay, "first@example.org")
        await endpoint.until(lambda e: bool(e.requests))
        began = time.monotonic()
        await asyncio.gather(*(send(relay, f"{n}@example.org") for n in range(50)))
        await smarthost.wait_for(51)
        assert time.monotonic() - began < 8  # the endpoint has 10 seconds to answer
        assert len(endpoint.requests) == 1
        never.set()


async def test_a_reload_adds_and_takes_away_webhooks(tmp_path: Path) -> None:
    async with Endpoint() as endpoint, running(tmp_path) as (relay, smarthost):
        file = tmp_path / "config.toml"
        without = file.read_text()
        await send(relay, "before@example.org")
        await smarthost.wait_for(1)
        file.write_text(without + hook(tmp_path, endpoint))
        relay.signal(signal.SIGHUP)
        await relay.logged("webhooks are told")
        message_id = await send(relay, "b@example.org")
        await endpoint.until(lambda e: len(e.events) == 2)
        file.write_text(without)
        relay.signal(signal.SIGHUP)
        await relay.logged("reloaded", count=2)
        (tmp_path / "webhook.secret").write_text("short")
        file.write_text(without + HOOK.format(url=endpoint.url))
        relay.signal(signal.SIGHUP)
        refused = await relay.logged("the new configuration is refused, and the old one stays")
        assert "openssl rand -base64 32" in refused["problem"]
    assert [(event["event"], event["message"]) for event in endpoint.events] == [
        *(("accepted", message_id), ("delivered", message_id))
    ]


async def test_one_that_is_gone_is_said_to_be_told_nothing_until_a_reload(tmp_path: Path) -> None:
    """The fault: the log said so, while the page and /readyz said that its events were told by themselves."""
    async with (
        Endpoint(answering(status("410 Gone"))) as endpoint,
        running(tmp_path, more=hook(tmp_path, endpoint)) as (relay, _),
    ):
        await send(relay, "b@example.org")
        problem = await relay.logged("problem", key="webhook")
        assert "it answers 410 Gone. It is told nothing until the next start or reload" in problem["sentence"]
        assert problem["remedy"].endswith("Then 'systemctl reload smtprelay'.")
        relay.signal(signal.SIGHUP)
        await relay.logged("problem over", key="webhook")
        await endpoint.until(lambda e: len(e.events) == 2)


async def test_without_webhooks_no_event_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        await send(relay, "b@example.org")
        await smarthost.wait_for(1)
        await relay.settled(delivered=1)
    with closing(sqlite3.connect(tmp_path / "spool.db")) as spool:
        assert spool.execute("SELECT count(*) FROM events").fetchone() == (0,)
        assert spool.execute("SELECT count(*) FROM sqlite_sequence").fetchone() == (0,)


async def test_a_secret_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "webhook.secret").write_text("short")
    relay = make_relay(tmp_path, 2525, more=HOOK.format(url="http://127.0.0.1:9/"))
    checked = await relay.run("check", "--offline", status=78)
    for told in (checked, await relay.run("run", status=78)):
        assert "(printf whsec_; openssl rand -base64 32)" in told
        assert "short" not in told

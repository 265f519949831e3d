"""Webhooks, before a real endpoint and over a real spool."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from structlog.testing import capture_logs

from smtprelay import metrics
from smtprelay.clock import now_ms
from smtprelay.config import Webhook
from smtprelay.events import Batch, batch, describe
from smtprelay.spool import Event, Spool, SpoolError, State
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.webhooks import Target, Webhooks, http, targets, teller, telling
from smtprelay.webhooks.http import signed
from tests.spool.support import lease_one, message, opened, results
from tests.webhook import Endpoint, Request, answering, status

KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))
ALL = ("accepted", "delivered", "deferred", "bounced", "held", "suppressed", "captured")
BROKEN = status("500 Broken", b"x" * 100)
MOVED = status("301 Moved", b"", "location: /elsewhere")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, sooner."""
    monkeypatch.setattr(teller, "EVERY", 0.02)
    monkeypatch.setattr(teller, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(telling, "UPKEEP", 0.02)
    monkeypatch.setattr(telling, "PAUSE", 0.0)
    monkeypatch.setattr(teller, "PATIENCE", 0.02)
    monkeypatch.setattr(telling, "PATIENCE", 0.02)


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SQLiteSpool]:
    async with opened(tmp_path / "spool.db", now_ms()) as spool:
        yield spool


def target(endpoint: Endpoint, *kinds: str, keys: Sequence[bytes] = (KEY,)) -> Target:
    return Target(f"127.0.0.1:{endpoint.port}", endpoint.url, kinds or ALL, tuple(keys))


@asynccontextmanager
async def running(spool: Spool, *targets: Target) -> AsyncIterator[Webhooks]:
    told = Webhooks(targets, spool, now_ms)
    await told.start()
    task = asyncio.create_task(told.run())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def accept(spool: Spool, count: int, **fields: Any) -> list[str]:
    """Messages, one commit each: their events are in this order."""
    return [(await spool.put([message(now=now_ms(), **fields)]))[0] for _ in range(count)]


def messages(endpoint: Endpoint) -> list[str]:
    return [event["message"] for event in endpoint.events]


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def no_events(spool: Spool) -> None:
    async with asyncio.timeout(30):
        while await spool.count_events(0, ALL):
            await asyncio.sleep(0.01)


async def test_what_a_webhook_is_told(spool: SQLiteSpool) -> None:
    async with Endpoint() as endpoint, running(spool, target(endpoint)):
        (accepted,) = await accept(spool, 1, tags=("账单",), subject="secret code 123456", message_id="<1@example.com>")
        lease = await lease_one(spool, now_ms())
        at = now_ms()
        reply = "550 5.1.1 无此用户"
        await spool.finish(lease, at, results(lease, State.BOUNCED, reason="refused", phase="rcpt", reply=reply))
        await endpoint.until(lambda e: len(e.events) == 2)
    request = endpoint.requests[-1]
    assert request.line == "POST /mail?token=hidden HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body).keys() == {"type", "timestamp", "data"}
    assert b"123456" not in request.body
    assert endpoint.events[1] == {
        "id": f"{accepted}-2",
        "at": at,
        "event": "bounced",
        "message": accepted,
        "account": "",
        "reverse_path": "billing@example.com",
        "message_id": "<1@example.com>",
        "tags": ["账单"],
        "dsn_for": "",
        "recipients": ["bob@example.net"],
        "reason": "refused",
        "attempt": 1,
        "phase": "rcpt",
        "reply": reply,
        "ambiguous": False,
        "smarthost": "",
        "dsn": "",
    }


async def test_the_signature_is_what_the_specification_says(spool: SQLiteSpool) -> None:
    """Held against the library that the authors of the specification publish, with each of two secrets."""
    async with Endpoint() as endpoint, running(spool, target(endpoint, keys=(KEY, OTHER_KEY))):
        await accept(spool, 1)
        await endpoint.until(lambda e: bool(e.taken))
    (request,) = endpoint.requests
    for key in (KEY, OTHER_KEY):
        verified = Verifier("whsec_" + base64.b64encode(key).decode()).verify(request.body, dict(request.headers))
        assert verified["data"] == request.events
    with pytest.raises(Exception, match="signature"):
        Verifier(base64.b64encode(b"another key, of 24 octets").decode()).verify(request.body, dict(request.headers))
    with pytest.raises(Exception, match="signature"):
        Verifier(base64.b64encode(KEY).decode()).verify(request.body + b" ", dict(request.headers))


def test_the_example_of_the_specification() -> None:
    """Standard Webhooks' own test vector."""
    told = Batch("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signed(told, 1614265330, [key]) == {
        "webhook-id": told.id,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


async def test_many_events_go_in_batches_and_in_order(spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller, "EVERY", 60)  # a full batch is followed by the next at once
    await spool.record(ALL)
    async with Endpoint() as endpoint:
        told = Webhooks([target(endpoint)], spool, now_ms)
        await told.start()
        accepted = await accept(spool, 250)
        task = asyncio.create_task(told.run())
        await endpoint.until(lambda e: len(e.events) == 250)
        task.cancel()
    assert [len(request.events) for request in endpoint.taken] == [100, 100, 50]
    assert messages(endpoint) == accepted


@pytest.mark.parametrize(
    "answer", [BROKEN, None, status("301 Moved", b"", "location: /elsewhere"), b"nonsense\r\n\r\n"]
)
async def test_what_was_not_taken_is_told_again_and_the_rest_after_it(spool: SQLiteSpool, answer: bytes | None) -> None:
    async with Endpoint(answering(answer, answer)) as endpoint, running(spool, target(endpoint)) as told:
        (first,) = await accept(spool, 1)
        await endpoint.until(lambda e: len(e.requests) == 2)
        (trouble,) = told.troubles.values()
        assert trouble.since <= now_ms()
        later = await accept(spool, 3)
        await endpoint.until(lambda e: len(e.events) == 4)
        await until(lambda: not told.troubles)
    assert messages(endpoint) == [first, *later]
    same = endpoint.requests[:3]
    assert len({request.headers["webhook-id"] for request in same}) == len({request.body for request in same}) == 1
    assert {request.line for request in endpoint.requests} == {"POST /mail?token=hidden HTTP/1.1"}  # no redirect


async def test_what_goes_to_this_machine_goes_through_no_proxy(
    spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Endpoint(answering(*[BROKEN] * 1000)) as proxy, Endpoint() as endpoint:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with running(spool, target(endpoint)):
            await accept(spool, 1)
            await endpoint.until(lambda e: len(e.events) == 1)
    assert not proxy.requests


async def test_silence_has_an_end(spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.05)
    never = asyncio.Event()

    async def silence(_: Request) -> None:
        await never.wait()

    async with Endpoint(silence) as endpoint, running(spool, target(endpoint)) as told:
        await accept(spool, 1)
        await until(lambda: told.troubles)
        assert [trouble.words for trouble in told.troubles.values()] == ["no answer within 0.05 s"]
        endpoint.answer = answering()
        await endpoint.until(lambda e: len(e.events) == 1)
        never.set()


async def test_an_answer_without_end_is_not_read(spool: SQLiteSpool) -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n" + b"x" * 2 * http.MAX_ANSWER
    async with Endpoint(answering(endless)) as endpoint, running(spool, target(endpoint)):
        await accept(spool, 1)
        await endpoint.until(lambda e: len(e.taken) == 1)
        (second,) = await accept(spool, 1)
        await endpoint.until(lambda e: len(e.taken) == 2)
    assert messages(endpoint)[1] == second


async def test_the_failure_and_its_end_are_logged_without_what_is_secret(spool: SQLiteSpool) -> None:
    with capture_logs() as logs:
        async with Endpoint(answering(BROKEN)) as endpoint, running(spool, target(endpoint)) as told:
            await accept(spool, 1)
            await endpoint.until(lambda e: bool(e.taken))
            await until(lambda: not told.troubles)
    name = f"127.0.0.1:{endpoint.port}"
    assert logs.pop(0) == {"event": "webhooks are told", "log_level": "info", "webhooks": [name]}
    assert [(line["event"], line["log_level"], line["webhook"]) for line in logs] == [
        ("webhook does not take events", "warning", name),
        ("webhook takes events again", "info", name),
    ]
    assert logs[0]["reason"] == "it answers 500 Broken"
    assert "mail?token=hidden" not in f"{logs} {target(endpoint)}"
    assert str(KEY) not in repr(target(endpoint))


def test_a_webhook_is_called_by_its_host_and_a_number() -> None:
    """The fault: whoever is on this machine reads names in /metrics, and the path of many a webhook is its secret."""
    urls = ["https://Chat.example/hook/S3CRET", "https://chat.example/hook/0THER", "https://chat.example:8443/?key=K"]
    webhooks = [Webhook(url=url, secret_env="S") for url in urls]
    told = targets(webhooks, dict.fromkeys(urls, (KEY,)))
    assert [target.name for target in told] == ["chat.example", "chat.example#2", "chat.example:8443"]
    assert [target.url for target in told] == urls
    for secret in ("S3CRET", "0THER", "key"):
        assert secret not in f"{told} {webhooks}"


async def test_one_that_is_gone_is_told_nothing_until_a_reload(spool: SQLiteSpool) -> None:
    with capture_logs() as logs:
        async with Endpoint(answering(status("410 Gone"))) as endpoint, running(spool, target(endpoint)) as told:
            accepted = await accept(spool, 1)
            await until(lambda: told.troubles)
            accepted += await accept(spool, 1)
            await asyncio.sleep(0.1)
            assert len(endpoint.requests) == 1
            told.use([target(endpoint)])
            await endpoint.until(lambda e: len(e.events) == 2)
            await until(lambda: not told.troubles)
    assert messages(endpoint) == accepted
    assert [line["event"] for line in logs] == [
        "webhooks are told",
        "webhook is gone: it is told nothing until the next start or reload",
        "webhooks are told",
    ]


async def test_each_is_told_what_it_wants_at_its_own_pace(spool: SQLiteSpool) -> None:
    async def refuse(_: Request) -> bytes:
        return BROKEN

    async with (
        Endpoint(refuse) as down,
        Endpoint() as up,
        running(spool, target(down, "accepted"), target(up, "delivered")),
    ):
        await accept(spool, 1)
        lease = await lease_one(spool, now_ms())
        await spool.finish(lease, now_ms(), results(lease))
        await up.until(lambda e: len(e.events) == 1)
        await down.until(lambda e: len(e.requests) == 3)
        assert await spool.count_events(0, ALL) == 2  # the one that is down still needs them
        down.answer = answering()
        await down.until(lambda e: len(e.events) == 1)
        await no_events(spool)
    assert [event["event"] for event in (*up.events, *down.events)] == ["delivered", "accepted"]


async def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """What was told is not told again; what was not taken comes with the same id."""
    path = tmp_path / "spool.db"
    async with Endpoint() as endpoint:
        async with opened(path, now_ms()) as spool, running(spool, target(endpoint)):
            accepted = await accept(spool, 2)
            await endpoint.until(lambda e: len(e.events) == 2)
            await no_events(spool)
            endpoint.answer = answering(*[BROKEN] * 1000)
            accepted += await accept(spool, 1)
            await endpoint.until(lambda e: len(e.requests) > len(e.taken) + 1)
        endpoint.answer = answering()
        async with opened(path, now_ms()) as spool, running(spool, target(endpoint)):
            await endpoint.until(lambda e: len(e.events) == 3)
    assert messages(endpoint) == accepted
    assert len({request.headers["webhook-id"] for request in endpoint.requests}) == len(endpoint.taken)


async def test_a_new_one_is_told_what_comes_from_now_on(spool: SQLiteSpool) -> None:
    async with Endpoint() as old, Endpoint() as new, running(spool, target(old)) as told:
        await accept(spool, 1)
        await old.until(lambda e: len(e.events) == 1)
        told.use([target(old), target(new)])
        await until(lambda: len(told._tellers) == 2)
        (second,) = await accept(spool, 1)
        await new.until(lambda e: len(e.events) == 1)
        await old.until(lambda e: len(e.events) == 2)
        assert messages(new) == [second]


async def test_without_webhooks_nothing_is_kept_and_the_rest_goes(spool: SQLiteSpool) -> None:
    async with Endpoint(answering(*[BROKEN] * 1000)) as endpoint, running(spool, target(endpoint)) as told:
        await accept(spool, 2)
        told.use([])
        await no_events(spool)
        await accept(spool, 2)
        assert await spool.count_events(0, ALL) == 0
    assert await spool.recall("webhook/") == {}


@pytest.mark.parametrize(("limit", "value"), [("KEPT", 2), ("OLDEST", 0)])
async def test_what_waits_too_long_is_dropped_and_said_so_once(
    spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    async def refuse(_: Request) -> bytes:
        return BROKEN

    kept = value
    with capture_logs() as logs:
        async with Endpoint(refuse) as endpoint, running(spool, target(endpoint)) as told:
            name = target(endpoint).name
            (first,) = await accept(spool, 1)
            await endpoint.until(lambda e: bool(e.requests))
            monkeypatch.setattr(telling, limit, value)
            accepted = await accept(spool, 5)
            await until(lambda: metrics.WEBHOOK_DROPPED.values.get((name,), 0) == 5 - kept)
            endpoint.answer = answering()
            await endpoint.until(lambda e: len(e.events) == 1 + kept)
            await until(lambda: not told.troubles)
    assert messages(endpoint) == [first, *accepted[5 - kept :]]
    dropped = "events are dropped: their webhook has not taken them for too long"
    assert [line["event"] for line in logs].count(dropped) == 1
    assert logs[-1]["dropped"] == 5 - kept


async def test_a_spool_that_fails_for_a_while_only_delays(spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = iter([SpoolError("the disk is full"), RuntimeError("a fault of ours")])
    real = spool.events

    async def sometimes(*arguments: Any, **more: Any) -> Any:
        if error := next(fails, None):
            raise error
        return await real(*arguments, **more)

    monkeypatch.setattr(spool, "events", sometimes)
    with capture_logs() as logs:
        async with Endpoint() as endpoint, running(spool, target(endpoint)):
            await accept(spool, 1)
            await endpoint.until(lambda e: len(e.events) == 1)
    assert [line["event"] for line in logs[1:]] == [
        "events cannot be read for a webhook",
        "webhook failed within smtprelay",
    ]


async def test_where_nobody_knows_how_far_a_webhook_was_told_it_begins_now(spool: SQLiteSpool) -> None:
    """The fault: the daemon did not start."""
    async with Endpoint() as endpoint:
        await spool.remember(target(endpoint).cursor, "some")
        async with running(spool, target(endpoint)):
            await accept(spool, 1)
            await endpoint.until(lambda e: len(e.events) == 1)


async def test_a_full_disk_hinders_no_start(spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_key: str, _value: str | None) -> None:
        raise SpoolError("the disk is full")

    monkeypatch.setattr(spool, "remember", full)
    with capture_logs() as logs:
        async with Endpoint() as endpoint, running(spool, target(endpoint)):
            await accept(spool, 1)
            await endpoint.until(lambda e: len(e.events) == 1)
    assert logs[0]["event"] == "where webhooks begin could not be noted"


async def test_a_reload_that_fails_is_made_good(spool: SQLiteSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fails = spool.record, iter([SpoolError("the disk is full")])

    async def sometimes(events: Collection[str]) -> None:
        if error := next(fails, None):
            raise error
        await real(events)

    with capture_logs() as logs:
        async with Endpoint() as old, Endpoint() as new, running(spool, target(old)) as told:
            monkeypatch.setattr(spool, "record", sometimes)
            told.use([target(new)])
            await until(lambda: [line["event"] for line in logs].count("webhooks are told") == 2)
            await accept(spool, 1)
            await new.until(lambda e: len(e.events) == 1)
    assert not old.requests
    assert next(fails, None) is None


async def test_the_log_of_the_library_tells_no_address(spool: SQLiteSpool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with Endpoint() as endpoint, running(spool, target(endpoint)):
        await accept(spool, 1)
        await endpoint.until(lambda e: len(e.events) == 1)
    assert "hidden" not in caplog.text


def _event(message_id: str) -> Event:
    return Event(1, 0, "accepted", message_id, "", "", "", (), "", (), "", 0, "", "", False, "", "")


def test_an_id_is_another_one_in_another_spool() -> None:
    """A spool that was lost counts anew: who has seen the first event of the old one must not miss this one."""
    assert describe(_event("38gf8t6vnc10026n"))["id"] != describe(_event("38gf8t6vnc10026o"))["id"]


def test_what_utf8_cannot_hold_does_no_harm() -> None:
    assert json.loads(batch([_event("\udcff")]).body)["data"][0]["message"] == "?"

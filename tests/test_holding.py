"""Mail that is held for its domain goes on, or is returned, when DNS answers; over the real spool, without sockets."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smtprelay import holding
from smtprelay.config import parse_config
from smtprelay.domains.verdict import Finding, Status, Verdict
from smtprelay.holding import Holding
from smtprelay.message import Envelope, Message, Origin, Recipient, new_id
from smtprelay.policy import Gate, Policy
from smtprelay.reply import Reply
from smtprelay.spool import LeaseLost, MessageRecord, Result, Selector, SpoolError, State
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.watch import Watch

NOW = 1_790_000_000_000
CONFIG = """
[[upstream.credentials]]
name = "news"
[[domains]]
name = "example.com"
[[domains]]
name = "example.net"
[signing]
on_missing_key = "send-unsigned"
[domain_rules]
on_failure = "{on_failure}"
require = ["spf"]
"""


@dataclass
class Parts:
    """What is there, and how SPF stands by domain."""

    spool: SQLiteSpool
    watch: Watch
    holding: Holding
    statuses: dict[str, Status]
    now: int = NOW
    refused: list[tuple[str, Reply]] = field(default_factory=list)
    let_go: dict[str, bool] = field(default_factory=dict)  # by id, whether it was woken for before
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def accept(self, hold: str, domain: str = "example.com", author_domain: str = "") -> Message:
        message = Message(
            new_id(NOW),
            Envelope(f"a@{domain}", (Recipient("b@example.org"),)),
            Origin("127.0.0.1"),
            b"x",
            1,
            NOW,
            NOW,
            "news",
            author_domain=author_domain or domain,
            hold=hold,
        )
        await self.spool.put([message])
        self.holding.accepted(message)
        return message

    async def look(self, *domains: str) -> None:
        for domain in domains:
            await self.watch.look_again(domain)

    async def state(self, message: Message) -> tuple[State, str]:
        """Where it stands once `Holding` has nothing more to do."""
        while self.holding._answered.is_set() or not self.holding._answered._waiters:
            await asyncio.sleep(0.001)
        record = await self.spool.show(message.id)
        assert record is not None
        return record.recipients[0].state, record.recipients[0].reason


@asynccontextmanager
async def parts(folder: Path, on_failure: str = "reject", now: int = NOW, **statuses: Status) -> AsyncIterator[Parts]:
    config = parse_config(CONFIG.format(on_failure=on_failure).encode(), folder)
    by_domain = {f"example.{name}": status for name, status in statuses.items()}

    async def check(domain: str, fresh: bool) -> Verdict:
        finding = Finding("spf", by_domain.get(domain, Status.PASS), problem="there is no SPF record", code="7.23")
        return Verdict(domain, True, made.now, made.now, (finding,))

    async def refuse(record: MessageRecord, reply: Reply) -> None:
        made.refused.append((record.message.id, reply))
        results = [Result(r.id, State.BOUNCED, reason="refused") for r in record.recipients]
        await made.spool.end_held(record.message.id, NOW, results)

    async def let_go(messages: Sequence[Message]) -> None:
        made.let_go |= dict.fromkeys([message.id for message in messages], woken.is_set())

    spool = await SQLiteSpool.open(folder / "spool.db", now=NOW)
    watch = Watch(check, spool.remember, required=("spf",), configured=(), refusing=True, clock=lambda: made.now)
    gate, policy, woken = Gate(config, watch.verdict), Policy(config), asyncio.Event()
    of = Holding(spool, watch, gate, policy, refuse=refuse, let_go=let_go, wake=woken.set, clock=lambda: NOW)
    made = Parts(spool, watch, of, by_domain, now, woken=woken)
    watch.recall(await spool.recall(""))
    running = asyncio.create_task(of.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])
        await watch.close()
        await spool.close()


async def test_it_goes_on_when_dns_answers_that_all_is_well(tmp_path: Path) -> None:
    async with parts(tmp_path, com=Status.TEMPORARY) as of:
        await of.look("example.com")
        message = await of.accept("dns")
        assert await of.state(message) == (State.HELD, "dns")
        of.statuses["example.com"] = Status.PASS
        await of.look("example.com")
        async with asyncio.timeout(10):
            await of.woken.wait()
        assert await of.state(message) == (State.QUEUED, "")
        assert of.let_go == {message.id: False}
        assert not of.watch.waiting


async def test_it_is_returned_when_dns_answers_that_the_domain_is_not_set_up(tmp_path: Path) -> None:
    async with parts(tmp_path, com=Status.TEMPORARY) as of:
        await of.look("example.com")
        message = await of.accept("dns")
        of.statuses["example.com"] = Status.FAIL
        await of.look("example.com")
        async with asyncio.timeout(10):
            while await of.state(message) != (State.BOUNCED, "refused"):
                await asyncio.sleep(0.001)
        [(refused, reply)] = of.refused
        assert refused == message.id
        assert (reply.code, reply.detail) == (550, "7.23")
        assert "there is no SPF record" in reply.text


async def test_where_failing_mail_is_held_it_waits_for_its_record(tmp_path: Path) -> None:
    async with parts(tmp_path, "hold", com=Status.FAIL) as of:
        await of.look("example.com")
        message = await of.accept("domain")
        await of.look("example.com")
        assert await of.state(message) == (State.HELD, "domain")
        of.statuses["example.com"] = Status.PASS
        await of.look("example.com")
        async with asyncio.timeout(10):
            await of.woken.wait()
        assert await of.state(message) == (State.QUEUED, "")


async def test_both_its_domains_must_be_set_up(tmp_path: Path) -> None:
    async with parts(tmp_path, com=Status.TEMPORARY, net=Status.TEMPORARY) as of:
        await of.look("example.com", "example.net")
        message = await of.accept("dns", "example.com", "example.net")
        assert of.watch.waiting == {"example.com", "example.net"}
        of.statuses["example.com"] = Status.PASS
        await of.look("example.com")
        assert await of.state(message) == (State.HELD, "dns")
        assert of.watch.waiting == {"example.net"}
        of.statuses["example.net"] = Status.PASS
        await of.look("example.net")
        async with asyncio.timeout(10):
            await of.woken.wait()
        assert await of.state(message) == (State.QUEUED, "")


async def test_what_the_last_process_left_is_gone_through_at_start(tmp_path: Path) -> None:
    async with parts(tmp_path, com=Status.TEMPORARY) as of:
        await of.look("example.com")
        message = await of.accept("dns")
        await of.state(message)
    async with parts(tmp_path) as of:
        assert await of.state(message) == (State.HELD, "dns")
        assert of.watch.waiting == {"example.com"}, "so that it is looked up unasked"
        await of.look("example.com")
        async with asyncio.timeout(10):
            await of.woken.wait()


async def test_mail_of_a_domain_that_is_not_listed_any_more_stays_held(tmp_path: Path) -> None:
    """The fault: somebody mistypes a name in [[domains]], starts the relay anew, and what waited is returned."""
    async with parts(tmp_path) as of:
        message = await of.accept("dns", "example.org")
        await of.look("example.org")
        assert await of.state(message) == (State.HELD, "dns")
        assert not of.refused


async def test_dns_that_answers_while_a_message_is_stored_is_not_missed(tmp_path: Path) -> None:
    """The fault: the door found nothing; before the commit was through, DNS had answered."""
    async with parts(tmp_path) as of:
        await of.look("example.com")
        message = await of.accept("dns")
        async with asyncio.timeout(10):
            await of.woken.wait()
        assert await of.state(message) == (State.QUEUED, "")


async def test_what_an_operator_holds_stays_held(tmp_path: Path) -> None:
    async with parts(tmp_path, com=Status.TEMPORARY) as of:
        await of.look("example.com")
        held, other = await of.accept("dns"), await of.accept("dns")
        await of.spool.hold(Selector(ids=(held.id,)), NOW, "operator")
        of.statuses["example.com"] = Status.PASS
        await of.look("example.com")
        async with asyncio.timeout(10):
            await of.woken.wait()
        assert await of.state(held) == (State.HELD, "operator")
        assert await of.state(other) == (State.QUEUED, "")


async def test_what_an_operator_holds_at_that_moment_stays_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: after it was looked up as held for DNS, and before it is released."""
    async with parts(tmp_path, com=Status.TEMPORARY) as of:
        await of.look("example.com")
        message = await of.accept("dns")
        await of.state(message)
        release, write = of.spool.release, of.spool._writer.run

        async def releasing(selector: Selector, now: int) -> int:
            monkeypatch.setattr(of.spool._writer, "run", overtaken)
            return await release(selector, now)

        async def overtaken(change: Callable[[sqlite3.Connection], int]) -> int:
            monkeypatch.setattr(of.spool._writer, "run", write)
            assert await of.spool.hold(Selector(), NOW, "suspended") == 1
            return await write(change)

        monkeypatch.setattr(of.spool, "release", releasing)
        of.statuses["example.com"] = Status.PASS
        await of.look("example.com")
        async with asyncio.timeout(10):
            await of.woken.wait()
        assert await of.state(message) == (State.HELD, "suspended")


async def test_what_is_left_when_an_operator_was_first_is_gone_through_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: a message cannot be ended, as one of its recipients was let go a moment ago."""
    async with parts(tmp_path, com=Status.TEMPORARY) as of:
        await of.look("example.com")
        message = await of.accept("dns")
        end_held, failures = of.spool.end_held, iter([LeaseLost("an operator was first")])

        async def refuse(record: MessageRecord, reply: Reply) -> None:
            if not next(failures, None):
                await end_held(record.message.id, NOW, [Result(r.id, State.BOUNCED) for r in record.recipients])

        monkeypatch.setattr(of.holding, "_refuse", refuse)
        of.statuses["example.com"] = Status.FAIL
        await of.look("example.com")
        async with asyncio.timeout(10):
            while (await of.state(message))[0] is not State.BOUNCED:
                await asyncio.sleep(0.001)


async def test_more_than_a_page_is_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "PAGE", 3)
    async with parts(tmp_path, com=Status.TEMPORARY, net=Status.TEMPORARY) as of:
        await of.look("example.com", "example.net")
        waiting = [await of.accept("dns", "example.net") for _ in range(4)]
        free = [await of.accept("dns") for _ in range(7)]
        of.statuses["example.com"] = Status.PASS
        await of.look("example.com")
        async with asyncio.timeout(10):
            while (await of.spool.stats()).recipients[State.QUEUED] < len(free):
                await asyncio.sleep(0.001)
        assert {await of.state(message) for message in waiting} == {(State.HELD, "dns")}


async def test_a_spool_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "AGAIN", 0.001)
    async with parts(tmp_path, com=Status.TEMPORARY) as of:
        await of.look("example.com")
        message = await of.accept("dns")
        await of.state(message)
        search, failures = of.spool.search, iter([SpoolError("full"), SpoolError("full")])

        async def failing(selector: Selector, limit: int, before: str = "") -> list[MessageRecord]:
            if error := next(failures, None):
                raise error
            return await search(selector, limit, before)

        monkeypatch.setattr(of.spool, "search", failing)
        of.statuses["example.com"] = Status.PASS
        await of.look("example.com")
        async with asyncio.timeout(10):
            await of.woken.wait()
        assert (await of.spool.stats()).recipients[State.QUEUED] == 1


@pytest.mark.parametrize("dns", [Status.TEMPORARY, Status.PASS, Status.FAIL])
async def test_nothing_is_returned_for_what_dns_said_long_ago(tmp_path: Path, dns: Status) -> None:
    """The fault: an hour later the daemon is started again, now to reject; the record may be there by now."""
    async with parts(tmp_path, "hold", com=Status.FAIL) as of:
        await of.look("example.com")
        message = await of.accept("domain")
        assert await of.state(message) == (State.HELD, "domain")
    async with parts(tmp_path, now=NOW + 3_600_000, com=dns) as of:
        assert await of.state(message) == (State.HELD, "domain")
        await of.look("example.com")
        expected = {
            Status.TEMPORARY: (State.HELD, "domain"),
            Status.PASS: (State.QUEUED, ""),
            Status.FAIL: (State.BOUNCED, "refused"),
        }
        async with asyncio.timeout(10):
            while await of.state(message) != expected[dns]:
                await asyncio.sleep(0.001)


async def test_other_rules_count_for_what_is_held(tmp_path: Path) -> None:
    async with parts(tmp_path, com=Status.FAIL, on_failure="hold") as of:
        await of.look("example.com")
        message = await of.accept("domain")
        assert await of.state(message) == (State.HELD, "domain")
        config = parse_config(CONFIG.format(on_failure="warn").encode(), tmp_path)
        of.holding.use(Gate(config, of.watch.verdict), Policy(config))
        async with asyncio.timeout(10):
            await of.woken.wait()
        assert await of.state(message) == (State.QUEUED, "")

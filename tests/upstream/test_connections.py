"""Connections: kept, shared, replaced, let go."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from smtprelay.outcome import Phase
from smtprelay.sandbox.smarthost import DROP, SILENCE, Fault, Rule, Smarthost
from smtprelay.upstream import Progress, lanes
from tests.upstream.support import (
    ACCOUNT,
    CONTENT,
    SHORT,
    TWO,
    USER,
    code,
    message,
    relay_to,
    settings,
    streamed,
    verbs,
)


async def test_a_message_arrives_as_it_is() -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host) as relay:
        report = await relay.report(message(*TWO))
        [received] = await host.wait_for(1)
    assert [fact.phase for fact in report.facts] == [Phase.DOT, Phase.DOT]
    assert [code(fact) for fact in report.facts] == [250, 250]
    assert report.smarthost == f"127.0.0.1[127.0.0.1]:{host.port}"
    assert received.content == CONTENT
    assert (received.envelope_from, tuple(received.recipients)) == ("app@example.com", TWO)
    assert received.username == USER
    assert received.mail_params == {"SIZE": str(len(CONTENT))}


async def test_connections_are_kept_between_messages() -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host) as relay:
        for _ in range(3):
            assert code(await relay.send_one()) == 250
        assert host.connections == 1
        assert verbs(host) == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3]
    assert verbs(host)[-1] == "QUIT"


async def test_a_connection_ends_after_its_share_of_messages() -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host, messages_per_connection=2) as relay:
        for _ in range(5):
            await relay.send_one()
        assert host.connections == 3
        assert verbs(host).count("QUIT") == 2


async def test_no_more_connections_than_configured_are_open() -> None:
    credentials = [{"name": name, "senders": [f"{name}@example.com"]} for name in ("a", "b")]
    open_at_once = []
    async with Smarthost() as host, relay_to(host, connections=2, credentials=credentials) as relay:

        async def send(credential: str) -> None:
            mail = message()
            await relay.upstream.send(credential, mail, mail.envelope.recipients, streamed(CONTENT))
            open_at_once.append(len(host.sessions))

        await asyncio.gather(*(send("a") for _ in range(6)))
        await asyncio.gather(*(send("b") for _ in range(6)))
        await asyncio.gather(send("a"), send("b"), send("a"), send("b"))
    assert max(open_at_once) == 2
    assert len(host.messages) == 16


async def test_idle_connections_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtprelay.upstream.pool.IDLE", 0.01)
    async with Smarthost() as host, relay_to(host, credentials=[{"name": USER}]) as relay:
        await relay.send_one()
        async with asyncio.timeout(10):
            while host.sessions:
                await asyncio.sleep(0.005)
        assert verbs(host)[-1] == "QUIT"
        assert code(await relay.send_one()) == 250


async def test_the_null_reverse_path() -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host) as relay:
        await relay.report(message(reverse_path=""))
        assert host.messages[0].envelope_from == ""
        assert f"MAIL FROM:<> SIZE={len(CONTENT)}" in host.commands


async def test_a_smarthost_that_knows_helo_only() -> None:
    rule = Rule("EHLO", "502 5.5.1 what?")
    async with Smarthost(rule) as host, relay_to(host, credentials=[{"name": USER}]) as relay:
        assert code(await relay.send_one()) == 250
        assert list(host.commands)[:3] == [
            "EHLO relay.example.com",
            "HELO relay.example.com",
            "MAIL FROM:<app@example.com>",
        ]


async def test_a_connection_that_the_smarthost_closed_meanwhile() -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host) as relay:
        await relay.send_one()
        host.drop_connections()
        assert code(await relay.send_one()) == 250
        assert host.connections == 2


@pytest.mark.parametrize("answer", [DROP, "421 4.4.2 idle for too long"])
@pytest.mark.parametrize("at", ["MAIL", "RSET"])
async def test_a_connection_that_proves_closed_is_replaced_once(answer: str | Fault, at: str) -> None:
    rules = [Rule("DOT", "451 later", times=1), Rule(at, answer, after=at == "MAIL", times=1)]
    async with Smarthost(*rules, credentials=ACCOUNT) as host, relay_to(host) as relay:
        assert code(await relay.send_one()) == 451
        assert code(await relay.send_one()) == 250
        assert host.connections == 2
        host.rules = [Rule("MAIL", answer)]
        fact = await relay.send_one()
        assert fact.phase is Phase.MAIL
        assert host.connections == 3


@pytest.mark.parametrize("at", ["GREETING", "CREDENTIALS", "MAIL", "RCPT", "DATA", "DOT"])
async def test_cancelling_closes_the_connection_and_tells_whether_the_dot_was_sent(at: str) -> None:
    async with Smarthost(Rule(at, SILENCE, times=1), credentials=ACCOUNT) as host, relay_to(host) as relay:
        progress = Progress()
        phase = {"CREDENTIALS": "auth"}.get(at, at.lower())
        sending = asyncio.create_task(relay.report(progress=progress))
        async with asyncio.timeout(10):
            while host.rules[0].times or progress.phase != phase:
                await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert progress.dot_sent == (at == "DOT")
        async with asyncio.timeout(10):
            while host.sessions:
                await asyncio.sleep(0)
        assert code(await relay.send_one()) == 250
        assert host.connections == 2


async def test_cancelling_while_another_waits_for_the_only_connection() -> None:
    async with (
        Smarthost(Rule("MAIL", SILENCE, times=1), credentials=ACCOUNT) as host,
        relay_to(host, connections=1) as relay,
    ):
        first, second = asyncio.create_task(relay.send_one()), asyncio.create_task(relay.send_one())
        async with asyncio.timeout(10):
            while host.rules[0].times:
                await asyncio.sleep(0)
        first.cancel()
        assert code(await second) == 250


async def test_connections_of_a_way_that_stays_are_kept_and_others_are_closed_politely() -> None:
    credentials = [{"name": name, "senders": [f"{name}@example.com"]} for name in ("stays", "leaves")]
    async with Smarthost() as host, relay_to(host, credentials=credentials) as relay:
        mails = [replace(message(), credential=name) for name in ("stays", "leaves")]
        for mail in mails:
            await relay.report(mail)
        assert host.connections == 2
        changed = settings(host.port, credentials=[credentials[0], {"name": "leaves", "host": "localhost"}])
        ways = lanes(changed, {})
        assert relay.upstream.use(changed, hostname="relay.example.com", lanes=ways) == {"leaves"}
        async with asyncio.timeout(10):
            while len(host.sessions) > 1:
                await asyncio.sleep(0.01)
        assert verbs(host)[-1] == "QUIT"
        await relay.report(mails[0])
        assert host.connections == 2
        await relay.report(mails[1])
        assert host.connections == 3


async def test_a_connection_that_is_kept_over_a_reload_has_the_new_timeouts() -> None:
    """It kept those of its beginning as long as it was in use."""
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host) as relay:
        await relay.send_one()
        changed = settings(host.port, timeouts={"dot": SHORT})
        relay.upstream.use(changed, hostname="relay.example.com", lanes=lanes(changed, ACCOUNT))
        host.rules.append(Rule("DOT", SILENCE))
        assert "no answer within 0.1 s" in (await relay.send_one()).error
        assert host.connections == 1


async def test_a_credential_that_is_gone_fails_before_mail() -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host) as relay:
        other = settings(host.port, credentials=[{"name": "other"}])
        relay.upstream.use(other, hostname="relay.example.com", lanes=lanes(other, {}))
        fact = await relay.send_one()
        assert (fact.phase, fact.error) == (Phase.CONNECT, f"credential {USER} is not configured any more")
        assert (await relay.probe()).error == fact.error
        assert relay.upstream.smtputf8(USER) is None


@pytest.mark.parametrize("by_probe", [False, True])
async def test_a_refusal_of_the_old_password_is_none_of_the_new_one(by_probe: bool) -> None:
    """It was under way when the configuration changed."""
    rule = Rule("CREDENTIALS", "535 5.7.8 No", times=1)
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        sending = asyncio.create_task(relay.probe() if by_probe else relay.send_one())
        async with asyncio.timeout(10):
            while not host.connections:
                await asyncio.sleep(0)
        chosen = settings(host.port, messages_per_connection=7)
        relay.upstream.use(chosen, hostname="another.example.com", lanes=lanes(chosen, {USER: "another"}))
        relay.upstream.use(chosen, hostname="another.example.com", lanes=lanes(chosen, ACCOUNT))
        assert code(await sending) == (235 if by_probe else 250)
        assert host.connections == 2


async def test_more_connections_let_in_who_waits() -> None:
    rule = Rule("MAIL", SILENCE, times=1)
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host, connections=1) as relay:
        stuck = asyncio.create_task(relay.send_one())
        async with asyncio.timeout(10):
            while "MAIL" not in verbs(host):
                await asyncio.sleep(0.01)
        waits = asyncio.create_task(relay.send_one())
        await asyncio.sleep(0)
        more = settings(host.port, connections=2)
        relay.upstream.use(more, hostname="relay.example.com", lanes=lanes(more, ACCOUNT))
        assert code(await waits) == 250
        assert not stuck.done()
        stuck.cancel()
        await asyncio.wait([stuck])


async def test_fewer_connections_than_are_at_work_when_they_prove_closed() -> None:
    """Each waited for a place though nobody was about to leave one: a traceback, and an attempt for nothing."""
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host, connections=2) as relay:
        assert [code(fact) for fact in await asyncio.gather(relay.send_one(), relay.send_one())] == [250, 250]
        assert relay.upstream.open_connections == {"busy": 0, "idle": 2}
        host.rules.append(Rule("MAIL", DROP, times=2))
        sending = [asyncio.create_task(relay.send_one()) for _ in range(2)]
        await asyncio.sleep(0)
        assert relay.upstream.open_connections == {"busy": 2, "idle": 0}
        fewer = settings(host.port, connections=1)
        relay.upstream.use(fewer, hostname="relay.example.com", lanes=lanes(fewer, ACCOUNT))
        assert [code(fact) for fact in await asyncio.gather(*sending)] == [250, 250]


async def test_fewer_connections_are_kept_than_were_at_work() -> None:
    """All of them lay idle for a minute at a smarthost whose places are few."""
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host, connections=3) as relay:
        sending = [asyncio.create_task(relay.send_one()) for _ in range(3)]
        await asyncio.sleep(0)
        assert relay.upstream.open_connections == {"busy": 3, "idle": 0}
        fewer = settings(host.port, connections=2)
        relay.upstream.use(fewer, hostname="relay.example.com", lanes=lanes(fewer, ACCOUNT))
        assert [code(fact) for fact in await asyncio.gather(*sending)] == [250, 250, 250]
        assert relay.upstream.open_connections == {"busy": 0, "idle": 2}

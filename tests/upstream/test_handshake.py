"""From connect to AUTH, without TLS; each test names its fault."""

from __future__ import annotations

import base64
import logging
import socket

import pytest

from smtprelay.outcome import Fact, Phase
from smtprelay.sandbox.smarthost import DROP, SILENCE, Rule, Smarthost
from tests.upstream.support import (
    ACCOUNT,
    CONTENT,
    LONG,
    PASSWORD,
    SHORT,
    TWO,
    USER,
    code,
    message,
    relay_to,
    streamed,
)


@pytest.mark.parametrize("mechanisms", [("LOGIN",), ("PLAIN",), ("PLAIN", "LOGIN", "CRAM-MD5")])
async def test_log_in(mechanisms: tuple[str, ...]) -> None:
    async with Smarthost(credentials=ACCOUNT, mechanisms=mechanisms) as host, relay_to(host) as relay:
        fact = await relay.probe()
        assert (fact.phase, code(fact)) == (Phase.AUTH, 235)
        assert code(await relay.send_one()) == 250
        assert host.connections == 1  # the probe's


async def test_log_in_at_a_smarthost_that_asks_for_the_username_again() -> None:
    host = Smarthost(credentials=ACCOUNT, mechanisms=("LOGIN",), reprompts=True)
    async with host, relay_to(host) as relay:
        assert code(await relay.probe()) == 235


async def test_log_in_where_auth_is_offered_in_the_old_syntax() -> None:
    rule = Rule("EHLO", "250-smarthost.test\r\n250 AUTH=LOGIN")
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        assert code(await relay.probe()) == 235


async def test_a_refused_password_is_tried_once() -> None:
    refusals = Rule("CREDENTIALS", "535 5.7.8 no")
    async with Smarthost(refusals, credentials=ACCOUNT) as host, relay_to(host) as relay:
        facts = await relay.send(*TWO)
        assert {(f.phase, code(f)) for f in facts} == {(Phase.AUTH, 535)}
        assert 1_000_000 - refusals.times == 1
        assert host.connections == 1


@pytest.mark.parametrize(
    ("ehlo", "words"), [("250 x", "offers no AUTH"), ("250-x\r\n250 AUTH GSSAPI NTLM", "GSSAPI NTLM and neither")]
)
async def test_no_auth_that_we_could_use(ehlo: str, words: str) -> None:
    async with Smarthost(Rule("EHLO", ehlo), credentials=ACCOUNT) as host, relay_to(host) as relay:
        fact = await relay.send_one()
    assert fact.phase is Phase.AUTH
    assert words in fact.error


@pytest.mark.parametrize(
    ("at", "reply", "phase"),
    [("EHLO", "451 4.3.0 later", Phase.EHLO), ("AUTH", "454 4.7.0 later", Phase.AUTH)],
)
async def test_a_handshake_that_is_put_off(at: str, reply: str, phase: Phase) -> None:
    async with Smarthost(Rule(at, reply, times=1), credentials=ACCOUNT) as host, relay_to(host) as relay:
        fact = await relay.probe()
        assert (fact.phase, str(fact)) == (phase, reply)
        assert code(await relay.probe()) == 235


async def test_no_username_no_auth() -> None:
    async with Smarthost() as host, relay_to(host, credentials=[{"name": USER}]) as relay:
        fact = await relay.probe()
        assert (fact.phase, code(fact)) == (Phase.EHLO, 250)
        assert code(await relay.send_one()) == 250
        assert host.connections == 1


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
@pytest.mark.parametrize("shape", ["535 5.7.8 {0} is wrong", "{0} is wrong"])
async def test_the_password_is_in_no_text(mechanism: str, shape: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = PASSWORD if mechanism == "LOGIN" else f"\0{USER}\0{PASSWORD}"
    quoted = base64.b64encode(secret.encode()).decode()
    rule = Rule("CREDENTIALS", shape.format(f"{quoted.upper()} ({PASSWORD})"))
    async with Smarthost(rule, credentials=ACCOUNT, mechanisms=(mechanism,)) as host, relay_to(host) as relay:
        fact = await relay.send_one()
        everything = f"{fact!r} {fact} {relay.upstream!r} {vars(relay.upstream)!r} {caplog.text}"
    assert fact.phase is Phase.AUTH
    assert "…" in str(fact)
    assert PASSWORD not in everything
    assert quoted.lower() not in everything.lower()


@pytest.mark.parametrize("greeting", ["421 4.3.2 too busy", "554 5.7.1 go away"])
async def test_a_greeting_that_refuses(greeting: str) -> None:
    async with Smarthost(Rule("GREETING", greeting)) as host, relay_to(host) as relay:
        report = await relay.report()
    [fact] = report.facts
    assert (fact.phase, str(fact)) == (Phase.GREETING, greeting)
    assert report.smarthost


@pytest.mark.parametrize(
    ("at", "phase", "limit"),
    [
        ("GREETING", Phase.GREETING, "greeting"),
        ("EHLO", Phase.EHLO, "command"),
        ("CREDENTIALS", Phase.AUTH, "command"),
        ("MAIL", Phase.MAIL, "command"),
        ("RCPT", Phase.RCPT, "command"),
        ("DATA", Phase.DATA, "data"),
        ("DOT", Phase.DOT, "dot"),
    ],
)
async def test_silence(at: str, phase: Phase, limit: str) -> None:
    silent = Rule(at, SILENCE, times=1)
    async with Smarthost(silent, credentials=ACCOUNT) as host, relay_to(host, timeouts={limit: SHORT}) as relay:
        fact = await relay.send_one()
        assert fact == Fact(
            phase, error=f"127.0.0.1[127.0.0.1]:{host.port}: no answer within 0.1 s", ambiguous=at == "DOT"
        )
        assert code(await relay.send_one()) == 250
        assert host.connections == 2


@pytest.mark.parametrize(
    ("at", "phase"),
    [
        ("GREETING", Phase.GREETING),
        ("EHLO", Phase.EHLO),
        ("CREDENTIALS", Phase.AUTH),
        ("MAIL", Phase.MAIL),
        ("RCPT", Phase.RCPT),
        ("DATA", Phase.DATA),
        ("BODY", Phase.DATA),
        ("DOT", Phase.DOT),
        ("ACCEPTED", Phase.DOT),
    ],
)
async def test_a_dropped_connection_is_ambiguous_after_the_dot_only(at: str, phase: Phase) -> None:
    async with Smarthost(Rule(at, DROP, times=1), credentials=ACCOUNT) as host, relay_to(host) as relay:
        [fact] = (await relay.report(body=LONG if at == "BODY" else streamed(CONTENT))).facts
        assert (fact.phase, fact.reply, fact.ambiguous) == (phase, None, phase is Phase.DOT)
        assert "closed the connection" in fact.error
        assert code(await relay.send_one()) == 250


@pytest.mark.parametrize("at", ["GREETING", "EHLO", "CREDENTIALS", "MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("garbage", ["HTTP/1.1 400 Bad Request", "999 what"])
async def test_what_is_no_smtp_reply(at: str, garbage: str) -> None:
    async with Smarthost(Rule(at, garbage, times=1), credentials=ACCOUNT) as host, relay_to(host) as relay:
        fact = await relay.send_one()
        assert "does not keep to SMTP" in fact.error
        assert fact.ambiguous == (at == "DOT")
        assert code(await relay.send_one()) == 250
        assert host.connections == 2


@pytest.mark.parametrize(
    ("at", "reply", "phase"),
    [
        ("MAIL", "250 ok\r\n250 ok", Phase.MAIL),
        ("RCPT", "250 ok\r\n250 ok", Phase.RCPT),
        ("DATA", "354 go\r\n250 ok", Phase.DATA),
    ],
)
@pytest.mark.parametrize("offered", [(), ("PIPELINING",)], ids=["lockstep", "pipelining"])
async def test_one_reply_too_many_is_not_taken_for_the_next(
    at: str, reply: str, phase: Phase, offered: tuple[str, ...]
) -> None:
    """Where all was sent ahead it shows at the end only, and before the body."""
    phase = Phase.DATA if offered else phase
    rule = Rule(at, reply, times=1)
    async with Smarthost(rule, credentials=ACCOUNT, extensions=offered) as host, relay_to(host) as relay:
        fact = await relay.send_one()
        assert (fact.phase, fact.reply, fact.ambiguous) == (phase, None, False)
        assert "more than one reply" in fact.error
        assert code(await relay.send_one()) == 250
        assert host.connections == 2


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with relay_to(port) as relay:
        report = await relay.report(message(*TWO))
    assert set(report.facts) == {Fact(Phase.CONNECT, error=f"127.0.0.1:{port}: Connection refused")}
    assert report.smarthost == ""


async def test_a_name_that_is_not_in_dns() -> None:
    async with relay_to(25, host="smarthost.invalid") as relay:
        fact = await relay.send_one()
    assert fact.phase is Phase.CONNECT
    assert fact.error.startswith("smarthost.invalid:25: the name cannot be resolved")


async def test_the_next_host_is_tried_until_auth() -> None:
    """On Linux all of 127.0.0.0/8 is ours; nobody listens on 127.0.0.2."""
    hosts = ["127.0.0.2", "127.0.0.1"]
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host, host=hosts) as relay:
        report = await relay.report()
        assert code(report.facts[0]) == 250
        assert report.smarthost.startswith("127.0.0.1[")
    async with (
        Smarthost(Rule("GREETING", "421 4.3.2 too busy"), credentials=ACCOUNT) as host,
        relay_to(host, host=hosts) as relay,
    ):
        fact = await relay.send_one()
    assert fact.phase is Phase.GREETING
    assert fact.error == (
        f"127.0.0.2:{host.port}: Connection refused; 127.0.0.1[127.0.0.1]:{host.port}: 421 4.3.2 too busy"
    )


async def test_every_address_of_a_name_is_tried() -> None:
    """Where localhost is ::1 as well, that comes first, and nobody listens there."""
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host, host="localhost") as relay:
        report = await relay.report()
        assert code(report.facts[0]) == 250
        assert report.smarthost == f"localhost[127.0.0.1]:{host.port}"


async def test_a_refused_log_in_is_not_tried_at_the_next_host() -> None:
    rule = Rule("CREDENTIALS", "535 5.7.8 no")
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host, host=["127.0.0.1", "localhost"]) as relay:
        assert code(await relay.send_one()) == 535
        assert host.connections == 1

"""From MAIL to the dot: parameters, refusals, broken dialogues."""

from __future__ import annotations

import pytest

from smtprelay.message import Recipient
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reply
from smtprelay.sandbox.smarthost import DROP, Fault, Rule, Smarthost
from tests.upstream.support import (
    ACCOUNT,
    CONTENT,
    THREE,
    TWO,
    USER,
    code,
    message,
    relay_to,
    verbs,
)

DSN = ("SIZE 1000000", "DSN", "SMTPUTF8")


async def test_dsn_parameters_keep_their_case() -> None:
    mail = message(
        Recipient("bob@example.net", "SUCCESS,DELAY", "rfc822;Bob+2Bx@Example.NET"), ret="HDRS", envid="QQ314+41b"
    )
    async with Smarthost(credentials=ACCOUNT, extensions=DSN) as host, relay_to(host) as relay:
        report = await relay.report(mail)
    assert report.dsn_offered
    assert host.messages[0].mail_params == {"SIZE": str(len(CONTENT)), "RET": "HDRS", "ENVID": "QQ314+41b"}
    assert host.messages[0].recipients == {
        "bob@example.net": {"NOTIFY": "SUCCESS,DELAY", "ORCPT": "rfc822;Bob+2Bx@Example.NET"}
    }


async def test_dsn_parameters_stay_behind_where_they_are_not_offered() -> None:
    mail = message(Recipient("bob@example.net", "NEVER", "rfc822;bob@example.net"), ret="FULL", envid="x")
    async with Smarthost(credentials=ACCOUNT, extensions=()) as host, relay_to(host) as relay:
        report = await relay.report(mail)
    assert not report.dsn_offered
    assert host.messages[0].mail_params == {}
    assert host.messages[0].recipients == {"bob@example.net": {}}


async def test_a_message_beyond_the_size_limit_is_not_tried() -> None:
    async with Smarthost(credentials=ACCOUNT, extensions=("SIZE 1000",)) as host, relay_to(host) as relay:
        report = await relay.report(message(*TWO, size=1001))
        assert verbs(host) == ["EHLO"]
        assert code(await relay.send_one()) == 250
        assert host.connections == 1
    assert {(f.phase, code(f), f.local) for f in report.facts} == {(Phase.MAIL, 552, True)}
    assert "1000 octets" in str(report.facts[0])


@pytest.mark.parametrize("extension", ["SIZE", "SIZE 0"])
async def test_size_without_a_limit(extension: str) -> None:
    async with Smarthost(credentials=ACCOUNT, extensions=(extension,)) as host, relay_to(host) as relay:
        assert code((await relay.report(message(size=10**9))).facts[0]) == 250


async def test_utf8_where_it_is_offered_and_needed() -> None:
    async with Smarthost(credentials=ACCOUNT, extensions=DSN) as host, relay_to(host) as relay:
        assert relay.upstream.smtputf8(USER) is None
        await relay.report(message("用户@example.net", smtputf8=True))
        await relay.send_one()
        assert relay.upstream.smtputf8(USER) is True
    first, second = host.messages
    assert "SMTPUTF8" in first.mail_params
    assert list(first.recipients) == ["用户@example.net"]
    assert "SMTPUTF8" not in second.mail_params


@pytest.mark.parametrize("declared", [True, False])
async def test_utf8_where_it_is_not_offered(declared: bool) -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host) as relay:
        report = await relay.report(message("用户@example.net", smtputf8=declared))
        assert relay.upstream.smtputf8(USER) is False
    [fact] = report.facts
    assert (fact.phase, code(fact), fact.local) == (Phase.MAIL, 553, True)
    assert verbs(host)[:1] == ["EHLO"]


async def test_refused_recipients_do_not_keep_the_others_from_it() -> None:
    rule = Rule("RCPT", "550 5.1.1 no such user", match="bob")
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        ann, bob, cy = await relay.send(*THREE)
        assert (ann.phase, code(ann)) == (cy.phase, code(cy)) == (Phase.DOT, 250)
        assert bob == Fact(Phase.RCPT, Reply(550, "1.1", "no such user"), others_accepted=True)
        assert list(host.messages[0].recipients) == [THREE[0], THREE[2]]


async def test_too_many_recipients() -> None:
    rule = Rule("RCPT", "452 4.5.3 too many recipients", after=2)
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        ann, bob, cy = await relay.send(*THREE)
    assert (code(ann), code(bob)) == (250, 250)
    assert (cy.phase, code(cy), cy.others_accepted) == (Phase.RCPT, 452, True)


async def test_the_connection_serves_on_after_every_recipient_was_refused() -> None:
    rule = Rule("RCPT", "450 4.2.1 later", times=2)
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        facts = await relay.send(*TWO)
        assert {(f.phase, code(f), f.others_accepted) for f in facts} == {(Phase.RCPT, 450, False)}
        assert code(await relay.send_one()) == 250
        assert host.connections == 1
        assert verbs(host) == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize(("at", "phase"), [("MAIL", Phase.MAIL), ("DATA", Phase.DATA), ("DOT", Phase.DOT)])
@pytest.mark.parametrize("reply", ["451 4.3.0 later", "550 5.7.1 never"])
async def test_a_refusal_concerns_all_recipients(at: str, phase: Phase, reply: str) -> None:
    async with Smarthost(Rule(at, reply, times=1), credentials=ACCOUNT) as host, relay_to(host) as relay:
        facts = await relay.send(*TWO)
        assert {(f.phase, str(f)) for f in facts} == {(phase, reply)}
        assert code(await relay.send_one()) == 250
        assert host.connections == 1
        assert verbs(host).count("RSET") == 1


@pytest.mark.parametrize(("at", "phase"), [("MAIL", Phase.MAIL), ("DATA", Phase.DATA), ("DOT", Phase.DOT)])
async def test_421_ends_the_connection(at: str, phase: Phase) -> None:
    async with (
        Smarthost(Rule(at, "421 4.3.2 shutting down", times=1), credentials=ACCOUNT) as host,
        relay_to(host) as relay,
    ):
        facts = await relay.send(*TWO)
        assert {(f.phase, code(f), f.ambiguous) for f in facts} == {(phase, 421, False)}
        assert code(await relay.send_one()) == 250
        assert host.connections == 2


@pytest.mark.parametrize("answer", ["421 4.3.2 shutting down", DROP])
async def test_a_connection_that_ends_amid_the_recipients(answer: str | Fault) -> None:
    rule = Rule("RCPT", answer, match="bob", times=1)
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        ann, bob, cy = await relay.send(*THREE)
        assert ann == cy
        assert (ann.phase, ann.reply) == (Phase.RCPT, None)
        assert "closed the connection" in ann.error
        assert (bob == ann) if answer is DROP else (code(bob) == 421)
        assert not host.messages


async def test_octets_that_are_not_utf8_do_not_spread() -> None:
    rule = Rule("RCPT", "550 5.1.1 \x1b[31m\udcff\t用户不存在")
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        assert (await relay.send_one()).reply == Reply(550, "1.1", "?[31m\ufffd 用户不存在")

"""TLS: opportunistic, required, implicit; verified with a private CA, and refused with another."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from smtprelay.outcome import Fact, Phase
from smtprelay.sandbox.smarthost import DROP, SILENCE, Fault, Rule, Smarthost
from tests.upstream.support import ACCOUNT, SHORT, code, relay_to, verbs

HOST = "127.0.0.1"
REFUSAL = "offered STARTTLS before and does not now; refusing to send the password in plaintext"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def wrong_ca_file(tmp_path: Path) -> str:
    path = tmp_path / "wrong.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def tls(ca: trustme.CA) -> ssl.SSLContext:
    return context(ca, HOST)


def context(ca: trustme.CA, name: str) -> ssl.SSLContext:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(server)
    return server


# Opportunistic


async def test_opportunistic_encrypts_where_it_can_and_asks_for_no_certificate(tls: ssl.SSLContext) -> None:
    seen: list[str] = []
    host = Smarthost(credentials=ACCOUNT, tls=tls)
    async with host, relay_to(host, tls="opportunistic", on_tls=seen.append, messages_per_connection=1) as relay:
        for _ in range(2):
            assert code(await relay.send_one()) == 250
    assert [received.tls for received in host.messages] == [True, True]
    assert verbs(host)[:4] == ["EHLO", "STARTTLS", "EHLO", "MAIL"]
    assert seen == [HOST]


async def test_opportunistic_sends_in_plaintext_where_it_must() -> None:
    seen: list[str] = []
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host, tls="opportunistic", on_tls=seen.append) as relay:
        assert code(await relay.send_one()) == 250
    assert not host.messages[0].tls
    assert seen == []


async def test_never_plaintext_again(tls: ssl.SSLContext) -> None:
    async with Smarthost(credentials=ACCOUNT, tls=tls) as host, relay_to(host, tls="opportunistic") as relay:
        assert code(await relay.send_one()) == 250
        host.tls = None  # somebody strips it
        host.drop_connections()
        fact = await relay.send_one()
    assert fact.phase is Phase.STARTTLS
    assert REFUSAL in fact.error
    assert len(host.messages) == 1


async def test_never_plaintext_again_after_a_restart() -> None:
    async with (
        Smarthost(credentials=ACCOUNT) as host,
        relay_to(host, tls="opportunistic", tls_seen={HOST}) as relay,
    ):
        fact = await relay.probe()
    assert fact.phase is Phase.STARTTLS
    assert REFUSAL in fact.error


async def test_an_offer_that_is_withdrawn_is_no_leave_for_plaintext(tls: ssl.SSLContext) -> None:
    rule = Rule("STARTTLS", "454 4.7.0 TLS not available")
    async with Smarthost(rule, credentials=ACCOUNT, tls=tls) as host, relay_to(host, tls="opportunistic") as relay:
        fact = await relay.send_one()
    assert (fact.phase, code(fact)) == (Phase.STARTTLS, 454)
    assert not host.messages


async def test_what_is_slipped_in_before_tls_is_not_believed(tls: ssl.SSLContext) -> None:
    rule = Rule("STARTTLS", "220 go\r\n250-smarthost.test\r\n250 AUTH GSSAPI")
    async with Smarthost(rule, credentials=ACCOUNT, tls=tls) as host, relay_to(host, tls="opportunistic") as relay:
        assert code(await relay.send_one()) == 250


@pytest.mark.parametrize(("fault", "words"), [(DROP, "closed the connection"), (SILENCE, "no answer within 0.1 s")])
async def test_no_answer_to_starttls(fault: Fault, words: str, tls: ssl.SSLContext) -> None:
    host = Smarthost(Rule("STARTTLS", fault), credentials=ACCOUNT, tls=tls)
    async with host, relay_to(host, tls="opportunistic", timeouts={"command": SHORT}) as relay:
        fact = await relay.send_one()
    assert (fact.phase, fact.reply) == (Phase.STARTTLS, None)
    assert words in fact.error


async def test_a_server_that_does_not_speak_tls_after_all() -> None:
    rules = Rule("EHLO", "250-smarthost.test\r\n250 STARTTLS"), Rule("STARTTLS", "220 go")
    async with (
        Smarthost(*rules, credentials=ACCOUNT) as host,
        relay_to(host, tls="opportunistic", timeouts={"command": SHORT}) as relay,
    ):
        fact = await relay.send_one()
    assert fact.phase is Phase.STARTTLS
    assert fact.error


# Required


async def test_required_and_verified(tls: ssl.SSLContext, ca_file: str) -> None:
    host = Smarthost(credentials=ACCOUNT, tls=tls)
    async with host, relay_to(host, tls="starttls", tls_ca_file=ca_file) as relay:
        assert code(await relay.send_one()) == 250
    assert host.messages[0].tls


async def test_required_and_not_offered(ca_file: str) -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host, tls="starttls", tls_ca_file=ca_file) as relay:
        fact = await relay.send_one()
    assert fact.phase is Phase.STARTTLS
    assert 'does not offer STARTTLS, which tls = "starttls" demands' in fact.error


@pytest.mark.parametrize(("mode", "phase"), [("starttls", Phase.STARTTLS), ("implicit", Phase.CONNECT)])
async def test_a_certificate_of_another_ca(mode: str, phase: Phase, tls: ssl.SSLContext, wrong_ca_file: str) -> None:
    host = Smarthost(credentials=ACCOUNT, tls=tls, implicit=mode == "implicit")
    async with host, relay_to(host, tls=mode, tls_ca_file=wrong_ca_file) as relay:
        fact = await relay.send_one()
    assert fact.phase is phase
    assert "its certificate cannot be verified: unable to get local issuer certificate" in fact.error


@pytest.mark.parametrize(("mode", "phase"), [("starttls", Phase.STARTTLS), ("implicit", Phase.CONNECT)])
async def test_a_certificate_for_another_name(mode: str, phase: Phase, ca: trustme.CA, ca_file: str) -> None:
    host = Smarthost(credentials=ACCOUNT, tls=context(ca, "smtp.example.org"), implicit=mode == "implicit")
    async with host, relay_to(host, tls=mode, tls_ca_file=ca_file) as relay:
        fact = await relay.send_one()
    assert fact.phase is phase
    assert "its certificate cannot be verified: IP address mismatch" in fact.error


# Implicit


async def test_implicit(tls: ssl.SSLContext, ca_file: str) -> None:
    host = Smarthost(credentials=ACCOUNT, tls=tls, implicit=True)
    async with host, relay_to(host, tls="implicit", tls_ca_file=ca_file) as relay:
        for _ in range(2):
            assert code(await relay.send_one()) == 250
        assert host.connections == 1
    assert host.messages[0].tls
    assert verbs(host)[:2] == ["EHLO", "MAIL"]


async def test_implicit_at_a_port_that_speaks_plaintext(ca_file: str) -> None:
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host, tls="implicit", tls_ca_file=ca_file) as relay:
        fact = await relay.send_one()
    assert fact == Fact(Phase.CONNECT, error=f"{HOST}:{host.port}: TLS failed: there is no TLS at this port")

"""The dialogue with the relay: what each fault in it comes to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from smtprelay import Ambiguous, AsyncRelay, Receipt, Refused, Unreachable
from smtprelay.client import handover
from smtprelay.sandbox.smarthost import DROP, SILENCE, Fault, Rule, Smarthost
from tests.client.support import ID, QUEUED, SHOP, relay_to, url

TWO = ["ann@example.net", "bob@example.net"]
MAIL = b"From: shop@example.com\nTo: ann@example.net\nSubject: hello\n\nA line\n.\n..two dots\n"
AS_BEFORE = f"250 2.0.0 Ok: queued as {ID}, as before"


@asynccontextmanager
async def relay(
    *rules: Rule, timeout: float = 5.0, connections: int = 4
) -> AsyncIterator[tuple[AsyncRelay, Smarthost]]:
    async with Smarthost(*rules) as host, relay_to(host, timeout=timeout, connections=connections) as api:
        yield api, host


async def send(api: AsyncRelay, *, key: str = "", to: str | list[str] = "ann@example.net") -> Receipt:
    return await api.send(to=to, subject="hello", text="A line", idempotency_key=key)


async def test_the_receipt_has_the_id_and_who_gets_it() -> None:
    async with relay(QUEUED) as (api, host):
        assert await send(api, to=TWO) == Receipt(ID, tuple(TWO), {}, repeated=False)
        [received] = host.messages
    assert received.envelope_from == SHOP
    assert list(received.recipients) == TWO


async def test_a_key_that_came_before() -> None:
    async with relay(Rule("DOT", AS_BEFORE)) as (api, _):
        assert (await send(api, key="order-1")).repeated


async def test_one_of_two_is_refused() -> None:
    async with relay(Rule("RCPT", "550 5.1.1 No such user", match="ann@"), QUEUED) as (api, _):
        receipt = await send(api, to=TWO)
    assert receipt.accepted == ("bob@example.net",)
    assert str(receipt.refused["ann@example.net"]) == "550 5.1.1 No such user"


async def test_all_are_refused() -> None:
    rules = Rule("RCPT", "550 5.1.1 No such user", match="ann@"), Rule("RCPT", "450 4.2.1 Not now", match="bob@")
    async with relay(*rules) as (api, _):
        with pytest.raises(Refused) as caught:
            await send(api, to=TWO)
    assert [caught.value.recipients[address].code for address in TWO] == [550, 450]


async def test_what_is_said_of_the_message_counts_more_than_what_is_said_of_a_recipient() -> None:
    rules = Rule("RCPT", "550 5.1.1 No such user", match="ann@"), Rule("DOT", "550 5.6.0 Template welcome: no name")
    async with relay(*rules) as (api, _):
        with pytest.raises(Refused, match=r"^550 5\.6\.0 Template welcome: no name$"):
            await send(api, to=TWO)


@pytest.mark.parametrize("at", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize("reply", ["421 4.3.2 Closing", "451 4.3.0 Not now", "550 5.7.1 Never"])
async def test_a_refusal_at_every_step(at: str, reply: str) -> None:
    async with relay(Rule(at, reply), Rule("HELO", reply)) as (api, _):
        with pytest.raises((Refused, Unreachable)) as caught:
            await send(api)
    error = caught.value
    if isinstance(error, Refused):
        assert (f"{error.code} {error.enhanced}", error.temporary) == (reply[:9], reply.startswith("4"))
    else:  # 421 at RCPT closes the connection before the other recipients have their answers
        assert (at, reply[:3]) == ("RCPT", "421")
        assert reply in str(error)


@pytest.mark.parametrize("at", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_connection_that_breaks_before_the_dot(at: str) -> None:
    async with relay(Rule(at, DROP)) as (api, host):
        with pytest.raises(Unreachable, match=r"was not sent"):
            await send(api)
        assert not host.messages


async def test_a_connection_that_breaks_in_the_middle_of_the_message() -> None:
    async with relay(Rule("BODY", DROP)) as (api, host):
        with pytest.raises(Unreachable, match=r"was not sent"):
            await api.send_message(MAIL + b"more than fits between two sockets\n" * 300_000)
        assert not host.messages


@pytest.mark.parametrize("at", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_relay_that_falls_silent_before_the_dot(at: str) -> None:
    async with relay(Rule(at, SILENCE), timeout=0.1) as (api, _):
        with pytest.raises(Unreachable, match=r"no answer within 0\.1 s"):
            await send(api)


@pytest.mark.parametrize("at", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_garbage_before_the_dot(at: str) -> None:
    async with relay(Rule(at, "\x01 garbage")) as (api, host):
        with pytest.raises(Unreachable):
            await send(api)
        assert not host.messages


@pytest.mark.parametrize("fault", [DROP, SILENCE, "\x01 garbage"])
async def test_an_answer_that_is_lost_leaves_doubt(fault: Fault | str) -> None:
    async with relay(Rule("ACCEPTED", fault), timeout=0.2) as (api, host):
        with pytest.raises(Ambiguous, match="may have been taken"):
            await send(api)
        assert len(host.messages) == 1  # it was taken, and was not sent again


async def test_with_a_key_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "ASK_AGAIN", (0.0, 0.0))
    async with relay(Rule("ACCEPTED", DROP, times=1), Rule("DOT", AS_BEFORE, after=1)) as (api, host):
        receipt = await send(api, key="order-1")
        assert (receipt.id, receipt.repeated) == (ID, True)
        assert host.connections == 2


async def test_a_doubt_stays_one_where_nobody_answers_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "ASK_AGAIN", (0.0, 0.0))
    rules = Rule("ACCEPTED", DROP), Rule("GREETING", DROP, after=1, times=1), Rule("MAIL", "451 4.3.0 No", after=1)
    async with relay(*rules) as (api, host):
        with pytest.raises(Ambiguous):
            await send(api, key="order-1")
        assert (len(host.messages), host.connections) == (1, 3)


async def test_a_kept_connection_that_the_relay_has_closed() -> None:
    async with relay(QUEUED) as (api, host):
        await send(api)
        host.drop_connections()
        await send(api)
        assert (len(host.messages), host.connections) == (2, 2)


async def test_a_421_on_a_kept_connection() -> None:
    async with relay(Rule("MAIL", "421 4.3.2 Restarting", after=1, times=1), QUEUED) as (api, host):
        await send(api)
        await send(api)
        assert (len(host.messages), host.connections) == (2, 2)


async def test_nobody_listens() -> None:
    async with Smarthost() as host:
        port = host.port
    async with relay_to(port) as api:
        with pytest.raises(Unreachable, match=rf"Connection refused.*Is a relay running at 127\.0\.0\.1:{port}\?"):
            await send(api)


async def test_a_port_for_tls_alone_does_not_greet() -> None:
    """The fault: nothing but "it closed the connection" was said of it."""
    async with relay(Rule("GREETING", DROP)) as (api, _):
        with pytest.raises(Unreachable, match=r"A port for TLS alone wants smtps:// in the URL$"):
            await send(api)


async def test_the_log_in() -> None:
    async with Smarthost(QUEUED, credentials={"app@example.com": "p:a/s%"}) as host:
        async with AsyncRelay(url(host, "app%40example.com:p%3Aa%2Fs%25"), from_=SHOP) as api:
            await send(api)
        assert host.messages[0].username == "app@example.com"
        async with AsyncRelay(url(host, "app%40example.com:secret-word"), from_=SHOP) as api:
            with pytest.raises(Refused) as caught:
                await send(api)
    assert caught.value.code == 535
    assert "secret-word" not in str(caught.value)


async def test_tls_is_verified_where_it_is_demanded() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with authority.cert_pem.tempfile() as ca_file:
        async with Smarthost(QUEUED, tls=context) as host:
            async with AsyncRelay(url(host), from_=SHOP) as api:  # opportunistic: taken where it is offered
                await send(api)
            async with AsyncRelay(url(host, query=f"?tls=starttls&tls_ca_file={ca_file}"), from_=SHOP) as api:
                await send(api)
            async with AsyncRelay(url(host, query="?tls=starttls"), from_=SHOP) as api:
                with pytest.raises(Unreachable, match="certificate cannot be verified"):
                    await send(api)
    assert [received.tls for received in host.messages] == [True, True]


async def test_octets_arrive_as_they_are() -> None:
    async with relay(QUEUED) as (api, host):
        await api.send_message(MAIL)
        assert host.messages[0].content == MAIL.replace(b"\n", b"\r\n")


async def test_cancelling_takes_the_connection_along() -> None:
    async with relay(Rule("DATA", SILENCE, times=1), QUEUED, connections=1) as (api, host):
        sending = asyncio.create_task(send(api))
        while "DATA" not in host.commands:
            await asyncio.sleep(0.001)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await send(api)).id == ID  # it does not hear the other one's replies
        assert host.connections == 2

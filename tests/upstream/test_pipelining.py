"""MAIL, RCPT and DATA in one packet (RFC 2920), and what becomes of the replies that were asked for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from smtprelay.outcome import Phase
from smtprelay.sandbox.smarthost import DROP, Rule, Smarthost
from tests.upstream.support import ACCOUNT, THREE, TWO, code, message, relay_to, streamed, verbs


class Scripted:
    """A smarthost that says what it is told to, and keeps what it hears in one piece."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.port = 0

    @asynccontextmanager
    async def says(self, *replies: bytes) -> AsyncIterator[Scripted]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await dialogue(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.transport.abort()
                ended.set()

        async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hello\r\n")
            for reply in (b"250-hello\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n", b"235 2.7.0 in\r\n", *replies):
                self.heard.append(await reader.read(10_000))
                for piece in reply.split(b"|"):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)  # a packet of its own
            self.heard.append(await reader.read(10_000))

        ended = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            await ended.wait()


@pytest.mark.parametrize("parts", [b"", b"|"], ids=["one packet", "a packet each"])
async def test_one_packet_out_and_its_replies_in_any_number_of_packets(parts: bytes) -> None:
    replies = parts.join(
        [b"250 2.1.0 sender\r\n", b"250-2.1.5 first\r\n250 2.1.5 line\r\n", b"550 5.1.1 second\r\n", b"354 go\r\n"]
    )
    async with Scripted().says(replies, b"250 2.0.0 taken\r\n") as host, relay_to(host.port) as relay:
        ann, bob = (await relay.report(message(*TWO), body=streamed(b"x\r\n"))).facts
    assert (ann.phase, code(ann), str(ann)) == (Phase.DOT, 250, "250 2.0.0 taken")
    assert (bob.phase, code(bob), bob.others_accepted) == (Phase.RCPT, 550, True)
    envelope = b"MAIL FROM:<app@example.com>\r\nRCPT TO:<ann@example.net>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
    assert host.heard[2:4] == [envelope, b"x\r\n.\r\n"]


async def test_data_that_is_taken_without_a_recipient_gets_no_body() -> None:
    """RFC 2920 §3.1: the message is sent empty, and the connection serves on."""
    refused = b"250 ok\r\n450 4.2.1 later\r\n450 4.2.1 later\r\n354 go\r\n"
    taken = b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n"
    script = Scripted().says(refused, b"554 5.5.1 no valid recipients\r\n", taken, b"250 2.0.0 taken\r\n")
    async with script as host, relay_to(host.port) as relay:
        facts = await relay.send(*TWO)
        assert {(f.phase, code(f), f.others_accepted) for f in facts} == {(Phase.RCPT, 450, False)}
        assert code(await relay.send_one()) == 250
    assert host.heard[3] == b".\r\n"
    assert host.heard[4].startswith(b"RSET\r\nMAIL FROM:")


async def test_a_sender_that_is_refused_leaves_the_connection_in_step() -> None:
    rule = Rule("MAIL", "451 4.3.0 later", times=1)
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        assert {(f.phase, str(f)) for f in await relay.send(*THREE)} == {(Phase.MAIL, "451 4.3.0 later")}
        assert code(await relay.send_one()) == 250
        assert host.connections == 1
        assert verbs(host)[-4:] == ["RSET", "MAIL", "RCPT", "DATA"]


async def test_a_connection_that_breaks_over_the_replies_in_vain_changes_no_verdict() -> None:
    rules = [Rule("MAIL", "451 4.3.0 later", times=1), Rule("DATA", DROP, times=1)]
    async with Smarthost(*rules, credentials=ACCOUNT) as host, relay_to(host) as relay:
        assert str(await relay.send_one()) == "451 4.3.0 later"
        assert code(await relay.send_one()) == 250
        assert host.connections == 2


async def test_a_smarthost_that_does_not_offer_it_hears_one_command_at_a_time() -> None:
    async with Smarthost(Rule("MAIL", "550 5.7.1 never"), credentials=ACCOUNT, extensions=()) as host:
        async with relay_to(host) as relay:
            assert code(await relay.send_one()) == 550
        assert "RCPT" not in verbs(host)


async def test_many_long_replies_in_one_packet() -> None:
    """aiosmtplib's limit, 32 KiB, is one reply's, not that of a hundred."""
    refusal = b"550-5.1.1 " + b"x" * 300 + b"\r\n550 5.1.1 no such user\r\n"
    replies = b"250 ok\r\n" + refusal * 120 + b"250 ok\r\n354 go\r\n"
    recipients = [f"user{n}@example.net" for n in range(121)]
    async with Scripted().says(replies, b"250 2.0.0 taken\r\n") as host, relay_to(host.port) as relay:
        *refused, taken = await relay.send(*recipients)
    assert {(f.phase, code(f)) for f in refused} == {(Phase.RCPT, 550)}
    assert (taken.phase, code(taken)) == (Phase.DOT, 250)


async def test_replies_without_end_close_the_connection() -> None:
    async with Scripted().says(b"250-ok\r\n" * 100_000) as host, relay_to(host.port) as relay:
        fact = await relay.send_one()
    assert (fact.phase, fact.reply) == (Phase.MAIL, None)


async def test_a_recipient_that_is_taken_without_a_sender_gets_no_empty_message() -> None:
    replies = b"451 4.3.0 later\r\n250 ok\r\n354 go\r\n"
    async with Scripted().says(replies) as host, relay_to(host.port) as relay:
        assert str(await relay.send_one()) == "451 4.3.0 later"
    assert host.heard[-1] == b"", "neither the dot nor another command"


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)])
async def test_a_refusal_with_a_421_behind_it_stands(extensions: tuple[str, ...]) -> None:
    rule = Rule("MAIL", "550 5.7.1 never\r\n421 4.7.0 closing")
    async with Smarthost(rule, credentials=ACCOUNT, extensions=extensions) as host, relay_to(host) as relay:
        assert str(await relay.send_one()) == "550 5.7.1 never"


async def test_a_log_in_that_is_refused_with_a_421_behind_it_is_refused() -> None:
    rule = Rule("CREDENTIALS", "535 5.7.8 wrong\r\n421 4.7.0 closing")
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        fact = await relay.send_one()
    assert (fact.phase, code(fact)) == (Phase.AUTH, 535)


async def test_the_first_of_two_early_replies_says_why() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 76 + b"\r\n"
            await asyncio.sleep(0.001)

    rule = Rule("BODY", "552 5.3.4 too big\r\n421 4.7.0 closing")
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        [fact] = (await relay.report(body=body)).facts
    assert str(fact) == "552 5.3.4 too big"

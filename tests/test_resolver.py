"""The resolver's dialogue with a name server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import dns.message
import pytest
import pytest_asyncio
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from smtprelay.domains.verdict import Record
from smtprelay.resolver import MX, TXT, Absent, Answer, Failed, Found, Lookup, Resolver, stub
from smtprelay.resolver.answers import Question
from smtprelay.sandbox.nameserver import Fault, NameServer
from smtprelay.values import Listen, parse_nameserver

START = 1_700_000_000_000
SECOND = 1000
MINUTE = 60 * SECOND
ZONE = (
    'example.com. IN TXT "v=spf1 " "-all"',
    'example.com. IN TXT "another"',
    "example.com. IN MX 20 B.example.com.",
    "example.com. IN MX 10 mail.example.com.",
    "alias.example.com. IN CNAME Next.example.com.",
    "next.example.com. IN CNAME example.com.",
    "null.example.com. IN MX 0 .",
    "mail.example.com. IN A 192.0.2.1",
    "mail.example.com. IN AAAA 2001:db8::1",
    "1.2.0.192.in-addr.arpa. IN PTR Mail.example.com.",
    Record("long.example.com", "TXT", "x" * 2000).zone_line,
)
SHORT = 0.1  # seconds, where no answer comes
FAR = START + 100 * SECOND


def clock() -> int:
    return START


def resolver_of(*servers: NameServer, timeout: float = stub.TIMEOUT) -> Resolver:
    return Resolver([parse_nameserver(server.address) for server in servers], clock=clock, timeout=timeout)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[NameServer]:
    async with NameServer(*ZONE, ttl=100) as running:
        yield running


@pytest_asyncio.fixture
async def resolver(server: NameServer) -> AsyncIterator[Resolver]:
    running = resolver_of(server)
    yield running
    await running.close()


@pytest_asyncio.fixture
async def impatient(server: NameServer) -> AsyncIterator[Resolver]:
    running = resolver_of(server, timeout=SHORT)
    yield running
    await running.close()


async def test_records(resolver: Resolver) -> None:
    txt = await resolver.txt("Example.com.")
    assert isinstance(txt, Found)
    assert txt.records == ((b"another",), (b"v=spf1 ", b"-all"))
    assert (txt.canonical_name, txt.expires_at, txt.stale) == ("example.com", FAR, False)
    exchanges = (MX(10, "mail.example.com"), MX(20, "b.example.com"))
    assert await resolver.mx("example.com") == Found(exchanges, "example.com", FAR)
    assert await resolver.mx("null.example.com") == Found((MX(0, ""),), "null.example.com", FAR)
    assert await resolver.addresses("mail.example.com", 4) == Found(("192.0.2.1",), "mail.example.com", FAR)
    assert await resolver.addresses("mail.example.com", 6) == Found(("2001:db8::1",), "mail.example.com", FAR)
    assert await resolver.ptr("192.0.2.1") == Found(("mail.example.com",), "1.2.0.192.in-addr.arpa", FAR)


async def test_aliases_are_followed(server: NameServer, resolver: Resolver) -> None:
    answer = await resolver.mx("alias.example.com")
    assert isinstance(answer, Found)
    assert answer.canonical_name == "example.com"
    assert len(server.questions) == 1


async def test_the_shortest_ttl_of_a_chain_counts(server: NameServer, resolver: Resolver) -> None:
    server.publish("quick.example.com. IN CNAME mail.example.com.", ttl=20)
    answer = await resolver.addresses("quick.example.com", 4)
    assert isinstance(answer, Found)
    assert answer.expires_at == START + 20 * SECOND


@pytest.mark.parametrize(
    ("ask", "name_exists"),
    [
        (lambda lookup: lookup.txt("nobody.example.com"), False),
        (lambda lookup: lookup.ptr("192.0.2.2"), False),
        (lambda lookup: lookup.addresses("example.com", 4), True),
        (lambda lookup: lookup.txt("com"), True),  # an empty non-terminal
    ],
)
async def test_absent(
    resolver: Resolver, ask: Callable[[Lookup], Coroutine[Any, Any, Answer[Any]]], name_exists: bool
) -> None:
    assert await ask(resolver) == Absent(name_exists, FAR)


@pytest.mark.parametrize("target", ["mail.example.com", "nobody.example.net"])
async def test_an_alias_exists_whatever_it_leads_to(server: NameServer, resolver: Resolver, target: str) -> None:
    server.publish(f"new.example.com. IN CNAME {target}.")
    assert await resolver.txt("new.example.com") == Absent(name_exists=True, expires_at=FAR, alias_of=target)


async def test_an_answer_that_edns_lets_through_comes_over_udp(server: NameServer, resolver: Resolver) -> None:
    server.publish(Record("edns.example.com", "TXT", "x" * 1000).zone_line)
    assert isinstance(await resolver.txt("edns.example.com"), Found)
    assert [question.via for question in server.questions] == ["udp"]


async def test_a_long_answer_comes_over_tcp(server: NameServer, resolver: Resolver) -> None:
    answer = await resolver.txt("long.example.com")
    assert isinstance(answer, Found)
    assert b"".join(answer.records[0]) == b"x" * 2000
    assert [question.via for question in server.questions] == ["udp", "tcp"]


async def test_a_truncated_answer_is_asked_for_over_tcp(server: NameServer, resolver: Resolver) -> None:
    server.fault = Fault.TRUNCATED
    assert isinstance(await resolver.mx("example.com"), Found)
    assert [question.via for question in server.questions] == ["udp", "tcp"]


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED])
async def test_a_name_server_that_says_it_fails(server: NameServer, resolver: Resolver, fault: Fault) -> None:
    server.fault = fault
    assert await resolver.mx("example.com") == Failed(f"MX of example.com: {server.address}: {fault.name}")


@pytest.mark.parametrize("fault", [Fault.SILENCE, Fault.GARBAGE, Fault.WRONG_ID])
async def test_a_name_server_without_a_usable_answer(server: NameServer, impatient: Resolver, fault: Fault) -> None:
    server.fault = fault
    reason = f"MX of example.com: no usable answer from {server.address} within 0.2 s"
    assert await impatient.mx("example.com") == Failed(reason)


@pytest.mark.parametrize("fault", [Fault.SILENCE, Fault.GARBAGE, Fault.WRONG_ID, Fault.SERVFAIL])
async def test_a_name_server_that_fails_over_tcp_only(server: NameServer, fault: Fault) -> None:
    resolver = resolver_of(server, timeout=0.3)
    server.fault = Fault.TRUNCATED
    asker = asyncio.create_task(resolver.mx("example.com"))
    await server.wait_for(1)
    server.fault = fault
    assert isinstance(await asker, Failed)
    assert server.questions[1].via == "tcp"
    await resolver.close()


async def test_a_name_server_without_edns(server: NameServer, resolver: Resolver) -> None:
    server.fault = Fault.NO_EDNS
    assert isinstance(await resolver.txt("example.com"), Found)
    assert isinstance(await resolver.txt("long.example.com"), Found)


async def test_a_loop_of_aliases_fails(server: NameServer, resolver: Resolver) -> None:
    server.publish("loop.example.com. IN CNAME loop.example.com.")
    assert isinstance(await resolver.mx("loop.example.com"), Failed)


async def test_slow_dns_is_waited_for(server: NameServer, resolver: Resolver) -> None:
    server.fault = 0.2
    assert isinstance(await resolver.mx("example.com"), Found)
    assert len(server.questions) == 1


def test_three_seconds_are_not_too_slow() -> None:
    """Nor where it is asked again over TCP, each part of which has its own time."""
    assert stub.TIMEOUT > 3
    assert stub.TIMEOUT * stub.TRIES > 2 * 3


async def test_two_of_three_name_servers_are_dead(server: NameServer) -> None:
    async with NameServer(*ZONE) as dead:
        dead.fault = Fault.SILENCE
        resolver = resolver_of(dead, dead, server, timeout=0.4)
        assert isinstance(await resolver.mx("example.com"), Found)
        assert isinstance(await resolver.txt("example.com"), Found)
        assert len(dead.questions) == 2  # they are not waited for again
        server.fault, dead.fault = Fault.REFUSED, None
        assert isinstance(await resolver.mx("null.example.com"), Found)
        assert isinstance(await resolver.addresses("mail.example.com", 4), Found)
        assert len(server.questions) == 3  # those that are back have their place again
        await resolver.close()


async def test_equal_questions_are_one_packet(server: NameServer, resolver: Resolver) -> None:
    await asyncio.gather(*(resolver.mx("example.com") for _ in range(50)))
    assert len(server.questions) == 1


async def test_not_all_questions_at_once(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stub, "MAX_QUESTIONS", 2)
    resolver = resolver_of(server)
    server.fault = 3600.0
    askers = [asyncio.create_task(resolver.mx(f"{number}.example.com")) for number in range(5)]
    await server.wait_for(2)
    server.faults["last.example.com"] = 0.0
    other = resolver_of(server)
    await other.mx("last.example.com")
    assert len(server.questions) == 3  # the three that wait would have come before the last
    await other.close()
    await resolver.close()
    assert len(await asyncio.gather(*askers)) == 5


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", f"{'x' * 64}.com", "x." * 128, "bücher.example"])
async def test_names_that_cannot_be(server: NameServer, resolver: Resolver, name: str) -> None:
    answer = await resolver.txt(name)
    assert isinstance(answer, Absent)
    assert not answer.name_exists
    assert not server.questions


async def test_a_backslash_is_a_character(server: NameServer, resolver: Resolver) -> None:
    server.publish(r'a\\\046b.example.com. IN TXT "that"')
    answer = await resolver.txt(r"a\.b.example.com")
    assert isinstance(answer, Absent)
    assert server.questions[0].name == r"a\\.b.example.com"


async def test_no_address_has_no_name(resolver: Resolver) -> None:
    assert isinstance(await resolver.ptr("192.0.2"), Absent)


@settings(max_examples=50)
@given(st.text())
def test_no_name_raises(name: str) -> None:
    async def ask() -> Answer[TXT]:
        return await Resolver(clock=clock, resolv_conf=Path("/nowhere")).txt(name)

    assert isinstance(asyncio.run(ask()), Absent | Failed)


@pytest.mark.parametrize("content", [None, b"", b"# none\n", b"nameserver \xff\n", b"nameserver none\n"])
async def test_no_name_server_is_known(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "resolv.conf"
    if content is not None:
        path.write_bytes(content)
    answer = await Resolver(clock=clock, resolv_conf=path).mx("example.com")
    assert isinstance(answer, Failed)
    assert answer.reason.startswith("no name server is known (")
    assert str(path) in answer.reason


async def test_the_systems_name_servers(server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read when DNS is asked: a machine may get them after we have started."""
    monkeypatch.setattr(stub, "PORT", server.port)
    path = tmp_path / "resolv.conf"
    resolver = Resolver(clock=clock, resolv_conf=path)
    assert isinstance(await resolver.mx("example.com"), Failed)
    path.write_text("search example.com\noptions rotate timeout:1\nnameserver 127.0.0.1\n")
    assert isinstance(await resolver.fresh().mx("example.com"), Found)
    assert isinstance(await resolver.txt("long"), Absent)  # names are absolute
    await resolver.close()


async def test_close_ends_a_dialogue(server: NameServer, resolver: Resolver) -> None:
    server.fault = Fault.SILENCE
    asker = asyncio.create_task(resolver.mx("example.com"))
    await server.wait_for(1)
    await resolver.close()
    assert isinstance(await asker, Failed)


def test_the_daemons_loop() -> None:
    async def dialogue() -> None:
        async with NameServer(*ZONE) as server:
            resolver = resolver_of(server)
            assert isinstance(await resolver.mx("example.com"), Found)
            assert isinstance(await resolver.txt("long.example.com"), Found)
            await resolver.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(dialogue())


def heard(authority: str, rcode: str = "NOERROR", answer: str = "") -> Answer[TXT]:
    text = (
        f"id 1\nopcode QUERY\nrcode {rcode}\nflags QR RD RA\n;QUESTION\nexample.com. IN TXT\n"
        f";ANSWER\n{answer};AUTHORITY\n{authority}\n"
    )
    response = dns.message.from_text(text)
    assert isinstance(response, dns.message.QueryMessage)
    return stub.read(response, Question("example.com", "TXT"), START)


def test_the_order_of_records_does_not_change() -> None:
    """Name servers rotate it, and every turn would be taken for news."""
    a, b = (f'example.com. 60 IN TXT "{text}"\n' for text in "ab")
    assert heard("", answer=a + b) == heard("", answer=b + a)


def test_absence_without_an_soa() -> None:
    assert heard("") == Absent(name_exists=True, expires_at=START + MINUTE)
    assert heard("", "NXDOMAIN") == Absent(name_exists=False, expires_at=START + MINUTE)


def test_the_soa_says_for_how_long() -> None:
    """RFC 2308 §5: the lesser of its TTL and its MINIMUM."""
    assert heard("com. 50 IN SOA a. b. 1 2 3 4 30") == Absent(name_exists=True, expires_at=START + 30 * SECOND)
    assert heard("com. 20 IN SOA a. b. 1 2 3 4 30") == Absent(name_exists=True, expires_at=START + 20 * SECOND)


@pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN"])
@pytest.mark.parametrize("record", ['example.net. 60 IN TXT "x"', "example.com. 60 IN A 192.0.2.1"])
def test_what_nobody_asked_is_no_answer(record: str, rcode: str) -> None:
    assert isinstance(heard("", rcode, f"{record}\n"), Failed)
    assert isinstance(heard("", rcode, f"example.com. 60 IN CNAME example.org.\n{record}\n"), Failed)


def test_how_an_alias_was_made_may_stand_beside_it() -> None:
    answer = heard("", answer="com. 60 IN DNAME test.\nexample.com. 60 IN CNAME example.test.\n")
    assert answer == Absent(name_exists=True, expires_at=START + MINUTE, alias_of="example.test")


def test_a_referral_says_nothing() -> None:
    assert isinstance(heard("example.com. 60 IN NS ns.example.net."), Failed)


def test_a_listen_address_of_ipv6() -> None:
    [server] = Resolver([Listen("::1", 53)], clock=clock)._configured().nameservers
    assert str(server) == "[::1]:53"

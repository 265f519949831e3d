"""The resolver: what it keeps, without sockets; and its dialogue with a name server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.message
import pytest
import pytest_asyncio
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from smtprelay.domains.verdict import Record
from smtprelay.resolver import MX, TXT, Absent, Answer, Failed, Found, Lookup, Resolver, cache, stub
from smtprelay.resolver.answers import Question
from smtprelay.resolver.cache import Cache
from smtprelay.sandbox.nameserver import Fault, NameServer
from smtprelay.values import Listen, parse_nameserver

START = 1_700_000_000_000
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EXAMPLE = Question("example.com", "TXT")
SERVFAIL = Failed("SERVFAIL")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class World:
    """DNS without sockets.

    :ivar answer: to every question.
    :ivar gate: which answers wait for.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.answer: Answer[Any] = found()
        self.asked: list[Question] = []
        self.gate: asyncio.Event | None = None
        self.cache = Cache(self.ask, self.clock)

    async def ask(self, question: Question) -> Answer[Any]:
        self.asked.append(question)
        answer = self.answer
        if self.gate:
            await self.gate.wait()
        return answer


def found(text: bytes = b"v=spf1 -all", ttl: int = MINUTE) -> Found[TXT]:
    return Found(((text,),), "example.com", START + ttl)


async def settle() -> None:
    """Let all tasks go on until each waits."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def world() -> World:
    return World()


async def test_an_answer_is_kept_for_its_ttl(world: World) -> None:
    assert await world.cache.txt("example.com") == found()
    world.clock.now += MINUTE - 1
    assert await world.cache.txt("example.com") == found()
    assert len(world.asked) == 1
    world.clock.now += 1
    world.answer = found(b"new", 2 * MINUTE)
    assert await world.cache.txt("example.com") == world.answer
    assert world.asked == [EXAMPLE, EXAMPLE]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (found(ttl=0), 5 * SECOND),
        (found(ttl=DAY), HOUR),
        (Absent(name_exists=True, expires_at=START), 5 * SECOND),
        (Absent(name_exists=False, expires_at=START + DAY), 5 * MINUTE),
        (Failed("SERVFAIL"), 5 * SECOND),
    ],
)
async def test_how_long_answers_are_kept_is_bounded(world: World, answer: Answer[TXT], kept: int) -> None:
    world.answer = answer
    first = await world.cache.txt("example.com")
    assert isinstance(first, Failed) or first.expires_at == START + kept
    world.clock.now += kept - 1
    assert await world.cache.txt("example.com") == first
    assert len(world.asked) == 1
    world.clock.now += 1
    await world.cache.txt("example.com")
    assert len(world.asked) == 2


async def test_what_is_one_question(world: World) -> None:
    await world.cache.txt("example.com")
    await world.cache.txt("Example.COM.")
    assert world.asked == [EXAMPLE]
    await world.cache.mx("example.com")
    await world.cache.addresses("example.com", 4)
    await world.cache.addresses("example.com", 6)
    await world.cache.ptr("192.0.2.1")
    assert [question.type for question in world.asked] == ["TXT", "MX", "A", "AAAA", "PTR"]
    assert world.asked[-1].name == "1.2.0.192.in-addr.arpa"


async def test_the_least_recently_used_go_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_ANSWERS", 2)
    for name in ("a", "b", "a", "c"):
        await world.cache.txt(name)
    world.asked.clear()
    for name in ("a", "c", "b"):
        await world.cache.txt(name)
    assert [question.name for question in world.asked] == ["b"]


async def test_a_clock_that_was_set_back_keeps_nothing_longer(world: World) -> None:
    await world.cache.txt("example.com")
    world.clock.now -= DAY
    await world.cache.txt("example.com")
    assert len(world.asked) == 2


async def test_equal_questions_are_asked_once(world: World) -> None:
    world.gate = asyncio.Event()
    askers = [asyncio.create_task(world.cache.txt("example.com")) for _ in range(50)]
    other = asyncio.create_task(world.cache.mx("example.com"))
    await settle()
    assert world.asked == [EXAMPLE, Question("example.com", "MX")]
    world.gate.set()
    assert set(await asyncio.gather(*askers)) == {found()}
    await other


async def test_who_gives_up_takes_the_answer_from_nobody(world: World) -> None:
    world.gate = asyncio.Event()
    first, second = (asyncio.create_task(world.cache.txt("example.com")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    second.cancel()
    await settle()
    third = asyncio.create_task(world.cache.txt("example.com"))
    world.gate.set()
    assert await third == found()
    assert len(world.asked) == 1


@pytest.mark.parametrize("last", [found(), Absent(name_exists=False, expires_at=START + MINUTE)])
async def test_while_dns_fails_the_last_answer_serves_for_a_day(world: World, last: Found[TXT] | Absent) -> None:
    world.answer = last
    assert await world.cache.txt("example.com") == last
    world.answer = SERVFAIL
    world.clock.now += DAY - SECOND
    for _ in range(2):  # DNS is asked, and is not
        stale = await world.cache.txt("example.com")
        again_at = world.clock.now + 5 * SECOND
        assert stale == replace(last, stale=True, expires_at=again_at)
    assert len(world.asked) == 2
    world.clock.now += SECOND
    assert await world.cache.txt("example.com") == SERVFAIL


async def test_dns_that_is_back_is_believed(world: World) -> None:
    await world.cache.txt("example.com")
    world.answer = SERVFAIL
    world.clock.now += HOUR
    assert (await world.cache.txt("example.com")) != SERVFAIL
    world.clock.now += 5 * SECOND
    world.answer = Absent(name_exists=True, expires_at=world.clock.now + MINUTE)
    assert await world.cache.txt("example.com") == world.answer


async def test_a_fresh_view_takes_nothing_from_before(world: World) -> None:
    await world.cache.txt("example.com")
    fresh = world.cache.fresh()
    world.answer = found(b"new")
    assert await fresh.txt("example.com") == found(b"new")
    assert await world.cache.txt("example.com") == found(b"new")
    assert await fresh.txt("example.com") == found(b"new")
    assert len(world.asked) == 2


async def test_a_fresh_view_has_no_stale_answers(world: World) -> None:
    await world.cache.txt("example.com")
    world.answer = SERVFAIL
    fresh = world.cache.fresh()
    assert await fresh.txt("example.com") == SERVFAIL
    stale = await world.cache.txt("example.com")
    assert isinstance(stale, Found)
    assert stale.stale
    assert await fresh.txt("example.com") == SERVFAIL
    assert len(world.asked) == 2


async def test_a_fresh_view_shares_questions_that_began_after_it(world: World) -> None:
    world.gate = asyncio.Event()
    fresh = world.cache.fresh()
    askers = [asyncio.create_task(view.txt("example.com")) for view in (world.cache, fresh, world.cache)]
    await settle()
    world.gate.set()
    assert set(await asyncio.gather(*askers)) == {found()}
    assert len(world.asked) == 1


async def test_a_fresh_view_does_not_join_a_question_that_began_before_it(world: World) -> None:
    world.gate = late = asyncio.Event()
    old = asyncio.create_task(world.cache.txt("example.com"))
    await settle()
    world.gate, world.answer = None, found(b"new")
    assert await world.cache.fresh().txt("example.com") == found(b"new")
    late.set()
    assert await old == found()
    assert await world.cache.txt("example.com") == found(b"new")  # the old answer came last, and is not kept
    assert len(world.asked) == 2


async def test_close_ends_what_is_under_way(world: World) -> None:
    await world.cache.mx("example.com")
    world.gate = asyncio.Event()
    asker = asyncio.create_task(world.cache.txt("example.com"))
    await settle()
    await world.cache.close()
    assert await asker == Failed("the resolver is closed")
    assert await world.cache.txt("example.org") == Failed("the resolver is closed")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(world.asked) == 2


# From here on with a name server on loopback.

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


def resolver_of(*servers: NameServer, timeout: float = stub.TIMEOUT) -> Resolver:
    return Resolver([parse_nameserver(server.address) for server in servers], clock=Clock(), timeout=timeout)


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
    assert sorted(txt.records) == [(b"another",), (b"v=spf1 ", b"-all")]
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
        (lambda lookup: lookup.addresses("alias.example.com", 6), True),
        (lambda lookup: lookup.txt("com"), True),  # an empty non-terminal
    ],
)
async def test_absent(
    resolver: Resolver, ask: Callable[[Lookup], Coroutine[Any, Any, Answer[Any]]], name_exists: bool
) -> None:
    assert await ask(resolver) == Absent(name_exists, FAR)


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


async def test_one_of_two_name_servers_is_dead(server: NameServer) -> None:
    async with NameServer(*ZONE) as dead:
        dead.fault = Fault.SILENCE
        resolver = resolver_of(dead, server, timeout=0.5)
        assert isinstance(await resolver.mx("example.com"), Found)
        assert isinstance(await resolver.txt("example.com"), Found)
        assert len(dead.questions) == 1  # it is not waited for again
        server.fault, dead.fault = Fault.REFUSED, None
        assert isinstance(await resolver.mx("null.example.com"), Found)
        assert len(dead.questions) == 2
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
    await settle()
    assert len(server.questions) == 2
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
        return await Resolver(clock=Clock(), resolv_conf=Path("/nowhere")).txt(name)

    assert isinstance(asyncio.run(ask()), Absent | Failed)


@pytest.mark.parametrize("content", [None, b"", b"# none\n", b"nameserver \xff\n", b"nameserver none\n"])
async def test_no_name_server_is_known(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "resolv.conf"
    if content is not None:
        path.write_bytes(content)
    answer = await Resolver(clock=Clock(), resolv_conf=path).mx("example.com")
    assert isinstance(answer, Failed)
    assert answer.reason.startswith("no name server is known (")
    assert str(path) in answer.reason


async def test_the_systems_name_servers(server: NameServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read when DNS is asked: a machine may get them after we have started."""
    monkeypatch.setattr(stub, "PORT", server.port)
    path = tmp_path / "resolv.conf"
    resolver = Resolver(clock=Clock(), resolv_conf=path)
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


def heard(authority: str, rcode: str = "NOERROR") -> Answer[TXT]:
    text = (
        f"id 1\nopcode QUERY\nrcode {rcode}\nflags QR RD RA\n;QUESTION\nexample.com. IN TXT\n;AUTHORITY\n{authority}\n"
    )
    response = dns.message.from_text(text)
    assert isinstance(response, dns.message.QueryMessage)
    return stub.read(response, EXAMPLE, START)


def test_absence_without_an_soa() -> None:
    assert heard("") == Absent(name_exists=True, expires_at=START + MINUTE)
    assert heard("", "NXDOMAIN") == Absent(name_exists=False, expires_at=START + MINUTE)


def test_the_soa_says_for_how_long() -> None:
    """RFC 2308 §5: the lesser of its TTL and its MINIMUM."""
    assert heard("com. 50 IN SOA a. b. 1 2 3 4 30") == Absent(name_exists=True, expires_at=START + 30 * SECOND)
    assert heard("com. 20 IN SOA a. b. 1 2 3 4 30") == Absent(name_exists=True, expires_at=START + 20 * SECOND)


def test_a_referral_says_nothing() -> None:
    assert isinstance(heard("example.com. 60 IN NS ns.example.net."), Failed)


def test_a_listen_address_of_ipv6() -> None:
    [server] = Resolver([Listen("::1", 53)], clock=Clock())._configured().nameservers
    assert str(server) == "[::1]:53"

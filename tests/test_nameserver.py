"""The sandbox's name server, asked by dnspython."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
import pytest_asyncio

from smtprelay.domains.verdict import Record
from smtprelay.sandbox.nameserver import Fault, NameServer

LONG = "x" * 700  # octets that fit into an answer with EDNS only
PATIENCE = 10.0  # seconds
SHORT = 0.05  # seconds, where nothing comes


@pytest_asyncio.fixture
async def server() -> AsyncIterator[NameServer]:
    async with NameServer(
        'example.com. IN TXT "v=spf1 -all"',
        "example.com. IN MX 10 mail.example.com.",
        "alias.example.com. IN CNAME next.example.com.",
        "next.example.com. IN CNAME example.com.",
        "dangling.example.com. IN CNAME nowhere.example.net.",
        "deep.below.example.com. IN A 192.0.2.1",
        ttl=7,
    ) as running:
        yield running


def question(name: str, type_: str = "TXT", *, edns: int | None = 1232) -> dns.message.Message:
    return dns.message.make_query(name, type_, use_edns=0 if edns else False, payload=edns or 0)


async def udp(server: NameServer, query: dns.message.Message, timeout: float = PATIENCE) -> dns.message.Message:
    return await dns.asyncquery.udp(query, "127.0.0.1", port=server.port, timeout=timeout)


async def tcp(server: NameServer, query: dns.message.Message, timeout: float = PATIENCE) -> dns.message.Message:
    return await dns.asyncquery.tcp(query, "127.0.0.1", port=server.port, timeout=timeout)


def answers(response: dns.message.Message) -> list[str]:
    return [str(rrset) for rrset in response.answer]


async def test_answers_over_udp_and_tcp_whatever_the_case(server: NameServer) -> None:
    for ask in (udp, tcp):
        response = await ask(server, question("EXAMPLE.com"))
        assert answers(response) == ['EXAMPLE.com. 7 IN TXT "v=spf1 -all"']
        assert response.flags & dns.flags.AA
    assert server.questions == [("example.com", "TXT", "udp"), ("example.com", "TXT", "tcp")]
    assert server.address == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    ("name", "type_", "rcode"),
    [
        ("nobody.example.com", "TXT", dns.rcode.NXDOMAIN),
        ("example.com", "AAAA", dns.rcode.NOERROR),
        ("below.example.com", "TXT", dns.rcode.NOERROR),  # an empty non-terminal exists
        ("dangling.example.com", "TXT", dns.rcode.NXDOMAIN),  # RFC 2308 §2.1: of the last name
        ("alias.example.com", "AAAA", dns.rcode.NOERROR),
    ],
)
async def test_absence_has_an_soa_with_its_ttl(server: NameServer, name: str, type_: str, rcode: int) -> None:
    response = await udp(server, question(name, type_))
    assert response.rcode() == rcode
    [soa] = response.authority
    assert (soa.rdtype, soa.ttl, soa[0].minimum) == (dns.rdatatype.SOA, 7, 7)


async def test_follows_aliases(server: NameServer) -> None:
    assert answers(await udp(server, question("alias.example.com"))) == [
        "alias.example.com. 7 IN CNAME next.example.com.",
        "next.example.com. 7 IN CNAME example.com.",
        'example.com. 7 IN TXT "v=spf1 -all"',
    ]
    assert answers(await udp(server, question("alias.example.com", "CNAME"))) == [
        "alias.example.com. 7 IN CNAME next.example.com."
    ]


async def test_loop_of_aliases(server: NameServer) -> None:
    server.withdraw("next.example.com", "CNAME")
    server.publish("next.example.com. IN CNAME alias.example.com.")
    assert (await udp(server, question("alias.example.com"))).rcode() == dns.rcode.SERVFAIL


async def test_records_as_they_are_to_be_published(server: NameServer) -> None:
    long = Record("new.example.com", "TXT", 'a "quoted" \\ ' + LONG)
    server.publish(long.zone_line, ttl=60)
    server.publish(Record("new.example.com", "MX", "10 mail.example.com").zone_line)
    [found] = (await udp(server, question("new.example.com"))).answer
    assert found.ttl == 60
    assert found[0].strings == tuple(string.encode() for string in long.strings)
    assert answers(await udp(server, question("new.example.com", "MX"))) == [
        "new.example.com. 7 IN MX 10 mail.example.com."
    ]


async def test_published_beside_and_withdrawn(server: NameServer) -> None:
    server.publish('example.com. IN TXT "another"')
    assert len((await udp(server, question("example.com"))).answer[0]) == 2
    server.withdraw("example.com", "TXT")
    assert answers(await udp(server, question("example.com"))) == []
    server.withdraw("deep.below.example.com", "A")
    assert (await udp(server, question("below.example.com"))).rcode() == dns.rcode.NXDOMAIN
    with pytest.raises(KeyError):
        server.withdraw("deep.below.example.com", "A")


def test_no_zone_line() -> None:
    with pytest.raises(dns.exception.DNSException):
        NameServer("example.com. IN")


@pytest.mark.parametrize(("edns", "truncated"), [(None, True), (600, True), (1232, False)])
async def test_truncates_what_the_client_cannot_take(server: NameServer, edns: int | None, truncated: bool) -> None:
    server.publish(Record("long.example.com", "TXT", LONG).zone_line)
    response = await udp(server, question("long.example.com", edns=edns))
    assert bool(response.flags & dns.flags.TC) is truncated
    assert bool(response.answer) is not truncated
    assert (await tcp(server, question("long.example.com", edns=edns))).answer


async def test_several_questions_on_one_connection(server: NameServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    queries = [question("example.com"), question("example.com", "MX")]
    packet = b"".join(query.to_wire(prepend_length=True) for query in queries)
    writer.write(packet[:-5])
    await server.wait_for(1)
    writer.write(packet[-5:])
    got = {}
    for _ in queries:
        length = int.from_bytes(await reader.readexactly(2), "big")
        response = dns.message.from_wire(await reader.readexactly(length))
        got[response.id] = response
    assert all(query.is_response(got[query.id]) for query in queries)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED])
async def test_error_codes(server: NameServer, fault: Fault) -> None:
    server.fault = fault
    for ask in (udp, tcp):
        assert (await ask(server, question("example.com"))).rcode() == dns.rcode.from_text(fault.name)


async def test_silence(server: NameServer) -> None:
    server.fault = Fault.SILENCE
    for ask in (udp, tcp):
        with pytest.raises(dns.exception.Timeout):
            await ask(server, question("example.com"), SHORT)
    assert len(server.questions) == 2


async def test_garbage(server: NameServer) -> None:
    server.fault = Fault.GARBAGE
    for ask in (udp, tcp):
        with pytest.raises(dns.exception.FormError):
            await ask(server, question("example.com"))


async def test_wrong_id(server: NameServer) -> None:
    server.fault = Fault.WRONG_ID
    for ask in (udp, tcp):
        with pytest.raises(dns.query.BadResponse):
            await ask(server, question("example.com"))


async def test_always_truncated(server: NameServer) -> None:
    server.fault = Fault.TRUNCATED
    response = await udp(server, question("example.com"))
    assert response.flags & dns.flags.TC
    assert not response.answer
    assert (await tcp(server, question("example.com"))).answer


async def test_fault_of_one_name(server: NameServer) -> None:
    server.faults["example.com"] = Fault.SERVFAIL
    assert (await udp(server, question("Example.Com"))).rcode() == dns.rcode.SERVFAIL
    assert (await udp(server, question("alias.example.com"))).rcode() == dns.rcode.NOERROR


async def test_late_answers(server: NameServer) -> None:
    server.fault = 0.05
    assert (await udp(server, question("example.com"))).time > 0.04


async def test_late_answers_hold_nobody_else_up(server: NameServer) -> None:
    server.faults["example.com"] = 3600.0
    late = asyncio.create_task(udp(server, question("example.com"), 3600.0))
    await server.wait_for(1)
    assert (await udp(server, question("next.example.com"))).answer
    assert not late.done()
    late.cancel()
    await asyncio.wait([late])


async def test_what_is_no_question_gets_no_answer(server: NameServer) -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", server.port)
    )
    transport.sendto(b"garbage")
    transport.sendto(dns.message.Message().to_wire())  # it asks nothing
    transport.close()
    assert (await udp(server, question("example.com"))).answer
    assert len(server.questions) == 1


async def test_closes_with_answers_and_connections_open() -> None:
    async with NameServer() as server:
        server.fault = 3600.0
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(question("example.com").to_wire(prepend_length=True))
        await server.wait_for(1)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    gc.collect()  # what was not closed would warn


def test_what_is_published_can_be_looked_up_without_a_question() -> None:
    server = NameServer("example.com. IN MX 10 mail.example.com.", 'example.com. IN TXT "v=spf1 " "-all"')
    assert server.records("EXAMPLE.com", "MX") == ["10 mail.example.com."]
    assert server.records("example.com", "TXT") == ['"v=spf1 " "-all"']
    assert server.records("example.com", "AAAA") == server.records("example.org", "MX") == []

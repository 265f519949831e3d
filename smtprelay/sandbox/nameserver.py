"""A stand-in for the world's DNS: an authoritative name server for every name, which fails as it is told to.

async with NameServer('example.com. IN TXT "v=spf1 -all"') as dns:
    dns.publish("example.com. IN MX 10 mail.example.com.")
    dns.faults["slow.example.com"] = 3.0
    ...  # ask dns.address
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Literal, NamedTuple, Self, TypeAlias, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rrset
import dns.zonefile

PLAIN_UDP = 512  # octets of an answer over UDP to who does not speak EDNS; RFC 1035 §4.2.1

Via: TypeAlias = Literal["udp", "tcp"]


class Fault(Enum):
    """What goes wrong with an answer."""

    SERVFAIL = auto()
    REFUSED = auto()
    SILENCE = auto()
    GARBAGE = auto()  # octets that are no DNS message
    WRONG_ID = auto()  # of another question, as a forged answer has
    TRUNCATED = auto()  # over UDP, whatever its size
    NO_EDNS = auto()  # it cannot read questions with EDNS, as the oldest name servers cannot; RFC 6891 §7


Trouble: TypeAlias = Fault | float  # or the seconds by which the answer is late


class Question(NamedTuple):
    """What was asked: the name in lower case, without a trailing dot."""

    name: str
    type: str
    via: Via


class NameServer:
    """A DNS server on loopback, over UDP and TCP on one port.

    :param zone_lines: as `publish` takes them.
    :param ttl: of records, and of the answer that there are none; seconds.
    :ivar fault: of every answer; may be changed at any time.
    :ivar faults: name in lower case without a trailing dot → the fault of answers about it, instead of `fault`.
    :ivar questions: all that were asked so far.
    """

    def __init__(self, *zone_lines: str, ttl: int = 1) -> None:
        self.ttl = ttl
        self.fault: Trouble | None = None
        self.faults: dict[str, Trouble] = {}
        self.questions: list[Question] = []
        self.port = 0
        self._host = ""
        self._records: dict[dns.name.Name, dict[dns.rdatatype.RdataType, dns.rrset.RRset]] = {}
        self._asked = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.Transport] = set()
        for line in zone_lines:
            self.publish(line)

    @property
    def address(self) -> str:
        """Where it listens, as ``nameservers`` in the configuration has it."""
        return f"{self._host}:{self.port}"

    def publish(self, zone_line: str, *, ttl: int | None = None) -> None:
        """Add a record.

        :param zone_line: as in a zone file (RFC 1035 §5.1): ``example.com. IN TXT ( "v=spf1 " "-all" )``.
        :raises dns.exception.DNSException: it is none.
        """
        for new in dns.zonefile.read_rrsets(zone_line, rdclass=None, default_ttl=self.ttl if ttl is None else ttl):
            records = self._records.setdefault(new.name, {})
            rrset = records.setdefault(new.rdtype, dns.rrset.RRset(new.name, new.rdclass, new.rdtype))
            for record in new:
                rrset.add(record, new.ttl)

    def withdraw(self, name: str, type: str) -> None:  # noqa: A002 - the field's word
        """Remove a name's records of one type. :raises KeyError: there are none."""
        owner = dns.name.from_text(name)
        del self._records[owner][dns.rdatatype.from_text(type)]
        if not self._records[owner]:
            del self._records[owner]

    def records(self, name: str, type: str) -> list[str]:  # noqa: A002 - the field's word
        """A name's records of one type, as a zone file has them; aliases are not followed."""
        found = self._records.get(dns.name.from_text(name), {}).get(dns.rdatatype.from_text(type))
        return [record.to_text() for record in found or ()]

    async def wait_for(self, count: int, timeout: float = 10.0) -> list[Question]:
        """The first questions, as soon as there are so many. :raises TimeoutError: after so many seconds."""
        async with asyncio.timeout(timeout):
            while len(self.questions) < count:
                self._asked.clear()
                await self._asked.wait()
        return self.questions[:count]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; with port 0 the system chooses one, which is then `port`.

        :raises OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        while True:
            self._server = await loop.create_server(lambda: _Stream(self), host, port)
            self._host, self.port = self._server.sockets[0].getsockname()[:2]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(host, self.port)
                )
                return
            except OSError:
                self._server.close()
                if port:
                    raise  # otherwise the number was free for TCP only, and the next may be free for both

    async def stop(self) -> None:
        """Close everything, and wait until it is."""
        self._udp.close()
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        for task in list(self._answering):
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._server.wait_closed()

    def receive(self, wire: bytes, via: Via, send: Callable[[bytes], None]) -> None:
        """A question has come."""
        task = asyncio.get_running_loop().create_task(self._serve(wire, via, send))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _serve(self, wire: bytes, via: Via, send: Callable[[bytes], None]) -> None:
        try:
            query = dns.message.from_wire(wire)
            [question] = query.question
        except (dns.exception.DNSException, ValueError):
            return  # nothing that could be answered
        name = question.name.to_text(omit_final_dot=True).lower()
        self.questions.append(Question(name, dns.rdatatype.to_text(question.rdtype), via))
        self._asked.set()
        fault = self.faults.get(name, self.fault)
        if isinstance(fault, int | float):
            await asyncio.sleep(fault)
        if fault is Fault.GARBAGE:
            send(b"\x00garbage")
        elif fault is not Fault.SILENCE:
            send(self._reply(query, fault, via))

    def _reply(self, query: dns.message.Message, fault: Trouble | None, via: Via) -> bytes:
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        if fault in (Fault.SERVFAIL, Fault.REFUSED):
            response.set_rcode(dns.rcode.from_text(cast("Fault", fault).name))
        elif fault is Fault.NO_EDNS and query.edns >= 0:
            response.use_edns(False)
            response.set_rcode(dns.rcode.FORMERR)
        elif fault is Fault.TRUNCATED and via == "udp":
            response.flags |= dns.flags.TC
        else:
            self._answer(response)
        if fault is Fault.WRONG_ID:
            response.id ^= 0xFFFF
        size = max(query.payload, PLAIN_UDP) if via == "udp" else 65535
        return response.to_wire(max_size=size, prefer_truncation=True)

    def _answer(self, response: dns.message.Message) -> None:
        """Follow the aliases to the records, or to their absence (RFC 1034 §4.3.2, RFC 2308 §2)."""
        [question] = response.question
        name = question.name
        passed = set()
        while name not in passed:
            passed.add(name)
            records = self._records.get(name, {})
            if found := records.get(question.rdtype):
                response.answer.append(found)
                return
            if not (alias := records.get(dns.rdatatype.CNAME)):
                response.set_rcode(dns.rcode.NOERROR if self._exists(name) else dns.rcode.NXDOMAIN)
                soa = f"a.test. root.test. 1 3600 600 86400 {self.ttl}"
                response.authority.append(dns.rrset.from_text(".", self.ttl, "IN", "SOA", soa))
                return
            response.answer.append(alias)
            name = cast("dns.rdtypes.ANY.CNAME.CNAME", alias[0]).target
        response.set_rcode(dns.rcode.SERVFAIL)  # a loop

    def _exists(self, name: dns.name.Name) -> bool:
        """Whether it has records, or names below it have (RFC 8020)."""
        return any(owner.is_subdomain(name) for owner in self._records)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.receive(data, "udp", lambda wire: self._transport.sendto(wire, addr))


class _Stream(asyncio.Protocol):
    """Messages with their length before them (RFC 1035 §4.2.2)."""

    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server._connections.add(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 2 and len(self._buffer) >= (end := 2 + int.from_bytes(self._buffer[:2], "big")):
            self._server.receive(bytes(self._buffer[2:end]), "tcp", self._send)
            del self._buffer[:end]

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._connections.discard(self._transport)

    def _send(self, wire: bytes) -> None:
        self._transport.write(len(wire).to_bytes(2, "big") + wire)

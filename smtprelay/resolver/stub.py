"""The stub resolver (RFC 1034 §5.3.1): all that touches dnspython."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver

from smtprelay.resolver.answers import MX, Absent, Answer, Failed, Found, Question, RecordType, normal
from smtprelay.resolver.cache import MAX_NEGATIVE_TTL, Cache
from smtprelay.values import Listen

PORT = 53
NEGATIVE_TTL = 60_000  # milliseconds, where there is no SOA to tell, RFC 2308 §5
MAX_QUESTIONS = 100  # under way: each has a socket
TIMEOUT = 5.0  # seconds that a name server has for one answer, as in resolv.conf(5)
TRIES = 2  # where there is one name server; otherwise as many as there are
EDNS_SIZE = 1232  # octets over UDP that no network fragments; DNS Flag Day 2020
_BESIDE = {dns.rdatatype.DNAME, dns.rdatatype.RRSIG}  # what may stand beside the aliases in an answer
_WITHOUT_EDNS = {dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS}
RESOLV_CONF = Path("/etc/resolv.conf")


class Resolver(Cache):
    """`Lookup` by DNS.

    :param nameservers: IP addresses and ports; without any, those of the system, as /etc/resolv.conf has them whenever
        DNS is asked.
    :param clock: Unix time in milliseconds.
    :param timeout: seconds that a name server has for one answer.
    """

    def __init__(
        self,
        nameservers: Sequence[Listen] = (),
        *,
        clock: Callable[[], int],
        timeout: float = TIMEOUT,
        resolv_conf: Path = RESOLV_CONF,
    ) -> None:
        super().__init__(self._resolve, clock)
        self._nameservers = nameservers
        self._timeout = timeout
        self._resolv_conf = resolv_conf
        self._silent: set[Listen] = set()
        self._slots = asyncio.Semaphore(MAX_QUESTIONS)

    def use(self, nameservers: Sequence[Listen]) -> None:
        """Ask others from now on."""
        if nameservers != self._nameservers:
            self._nameservers = nameservers
            self._silent.clear()
            self.forget()

    async def _resolve(self, question: Question) -> Answer[Any]:
        try:
            # Not from_text(), to which a backslash means something (RFC 1035 §5.1).
            name = dns.name.Name([*question.name.encode("ascii").split(b"."), b""])
        except (dns.exception.DNSException, UnicodeEncodeError):
            return Absent(name_exists=False, expires_at=self._clock() + MAX_NEGATIVE_TTL)
        async with self._slots:
            try:
                resolver = self._configured()
            except (dns.exception.DNSException, ValueError) as error:
                advice = f"list yours in {self._resolv_conf}, or in domain_rules.nameservers"
                return Failed(f"no name server is known ({error}): {advice}")
            try:
                return read(await _response(resolver, name, question.type), question, self._clock())
            except dns.exception.DNSException as error:
                return Failed(_reason(error, question, resolver))

    def _configured(self) -> dns.asyncresolver.Resolver:
        """:raises dns.exception.DNSException, ValueError: the system's configuration is absent or wrong."""
        addresses = self._nameservers or _system_nameservers(self._resolv_conf)
        # Who did not answer the last time comes last, so that a dead name server costs its timeout once.
        servers = [_NameServer(address, self._silent) for address in addresses]
        servers.sort(key=lambda server: server.listen in self._silent)
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = servers
        resolver.timeout = self._timeout
        resolver.lifetime = self._timeout * max(TRIES, len(servers))
        resolver.use_edns(0, payload=EDNS_SIZE)
        return resolver


def _system_nameservers(resolv_conf: Path) -> list[Listen]:
    """:raises dns.exception.DNSException, ValueError: there are none."""
    return [Listen(str(address), PORT) for address in dns.resolver.BaseResolver(resolv_conf).nameservers]


class _NameServer(dns.nameserver.Do53Nameserver):
    """Remembers whether it answers.

    :param silent: those that do not.
    """

    def __init__(self, listen: Listen, silent: set[Listen]) -> None:
        super().__init__(listen.host, listen.port)
        self.listen = listen
        self._silent = silent

    def __str__(self) -> str:
        return str(self.listen)

    async def async_query(self, request: Any, *args: Any, **kwargs: Any) -> dns.message.Message:
        try:
            response = await super().async_query(request, *args, **kwargs)
            if response.rcode() in _WITHOUT_EDNS:  # it does not speak EDNS, RFC 6891 §7
                request = copy.copy(request)
                request.use_edns(False)
                response = await super().async_query(request, *args, **kwargs)
        except (dns.exception.DNSException, OSError, EOFError):
            self._silent.add(self.listen)
            raise
        self._silent.discard(self.listen)
        return response


async def _response(
    resolver: dns.asyncresolver.Resolver, name: dns.name.Name, record_type: RecordType
) -> dns.message.QueryMessage:
    """Records, or that there are none. :raises dns.exception.DNSException: neither."""
    try:
        return (await resolver.resolve(name, record_type, raise_on_no_answer=False)).response
    except dns.resolver.NXDOMAIN as none:
        return cast("dns.message.QueryMessage", none.kwargs["responses"][name])


def read(response: dns.message.QueryMessage, question: Question, now: int) -> Answer[Any]:
    """What a name server's NOERROR or NXDOMAIN says.

    :param now: Unix time in milliseconds.
    :raises dns.exception.DNSException: nothing that makes sense.
    """
    chain = response.resolve_chaining()
    if chain.answer is not None:
        # Name servers change the order from answer to answer (RFC 1794), and what we say of the records must not.
        records = sorted(_READ[question.type](record) for record in chain.answer)
        name = _text(chain.canonical_name) if chain.cnames else question.name
        return Found(tuple(records), name, now + chain.minimum_ttl * 1000)
    others = [rrset for rrset in response.answer if rrset not in chain.cnames and rrset.rdtype not in _BESIDE]
    if others:
        return Failed(f"the name server answers what nobody asked: {others[0].name} {others[0].rdtype.name}")
    authority = {rrset.rdtype for rrset in response.authority}
    if dns.rdatatype.SOA in authority:
        ttl = chain.minimum_ttl * 1000
    elif dns.rdatatype.NS in authority and response.rcode() == dns.rcode.NOERROR:
        # RFC 2308 §2.2: it refers to others, and says nothing.
        return Failed("the name server knows its own zones only: name a resolver in its place")
    else:
        ttl = NEGATIVE_TTL
    alias_of = _text(chain.canonical_name) if chain.cnames else ""
    # NXDOMAIN is said of the last name of a chain, RFC 6604 §3.
    exists = response.rcode() == dns.rcode.NOERROR or bool(alias_of)
    return Absent(name_exists=exists, expires_at=now + ttl, alias_of=alias_of)


def _text(name: dns.name.Name) -> str:
    return normal(name.to_text())


_READ: dict[RecordType, Callable[[Any], Any]] = {
    "TXT": lambda record: record.strings,
    "MX": lambda record: MX(record.preference, _text(record.exchange)),
    "A": lambda record: record.address,
    "AAAA": lambda record: record.address,
    "PTR": lambda record: _text(record.target),
}


def _reason(error: dns.exception.DNSException, question: Question, resolver: dns.asyncresolver.Resolver) -> str:
    """For a person; dnspython's own sentences are for programmers."""
    asked = f"{question.type} of {question.name}"
    if isinstance(error, dns.resolver.LifetimeTimeout):
        servers = ", ".join(map(str, resolver.nameservers))
        return f"{asked}: no usable answer from {servers} within {resolver.lifetime:g} s"
    if isinstance(error, dns.resolver.NoNameservers):
        # Of each the name server, and the exception or the answer's code.
        errors = (f"{error[0]}: {error[3] or type(error[3]).__name__}" for error in error.kwargs["errors"])
        return f"{asked}: {', '.join(errors)}"
    return f"{asked}: {error}"

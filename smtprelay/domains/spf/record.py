"""The syntax of an SPF record (RFC 7208 §4.5, §4.6.1, §12)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from smtprelay.domains.spf.macros import MacroString, parse_domain_spec, parse_macro_string
from smtprelay.domains.txt import readable, shorten
from smtprelay.values import is_address

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

VERSION = "v=spf1"
MAX_RECORD = 8192  # octets that are read; RFC 7208 §3.4 advises against more than 450

# RFC 7208 §5: the terms that make a receiver ask DNS, beside the modifier `redirect`.
_QUERYING = frozenset({"include", "a", "mx", "ptr", "exists"})
# RFC 7208 §4.6.1: a modifier has "=" behind its name, a mechanism ":" or "/" or nothing.
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_MECHANISM = re.compile(r"([-+?~]?)([a-z][a-z0-9_.-]*)((?:[:/].*)?)", re.IGNORECASE)
_PREFIX = r"/(0|[1-9][0-9]{0,2})"
_DUAL_PREFIX = re.compile(f"(.*?)(?:{_PREFIX})?(?:/{_PREFIX})?")
_ADDRESS = re.compile(f":([^/%]*)(?:{_PREFIX})?")
_VISIBLE = re.compile(r"[!-~]+")
_MEANT = {
    "ip": "ip4",
    "ipv4": "ip4",
    "ipv6": "ip6",
    "prt": "ptr",
    "includes": "include",
    "inlcude": "include",
    "all.": "all",
}


class Qualifier(StrEnum):
    """RFC 7208 §4.6.2."""

    PASS = "+"
    FAIL = "-"
    SOFTFAIL = "~"
    NEUTRAL = "?"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism that is well-formed.

    :param text: as published, of this and the other terms.
    :param name: in lower case.
    :param target: ``()`` where the record's own domain is meant.
    :param network: of ip4 and ip6.
    :param prefix4: bits that are compared of IPv4 addresses, by a and mx; `prefix6` of IPv6.
    """

    text: str
    qualifier: Qualifier
    name: str
    target: MacroString = ()
    network: Network | None = None
    prefix4: int = 32
    prefix6: int = 128

    @property
    def queries(self) -> bool:
        """It counts as a look-up (RFC 7208 §4.6.4)."""
        return self.name in _QUERYING


@dataclass(frozen=True, slots=True)
class Modifier:
    """A modifier that is well-formed."""

    text: str
    name: str
    target: MacroString


@dataclass(frozen=True, slots=True)
class BadTerm:
    """What receivers cannot read.

    :param problem: for a person; a part of a sentence.
    """

    text: str
    problem: str


Term: TypeAlias = Mechanism | Modifier | BadTerm


@dataclass(frozen=True, slots=True)
class SPFRecord:
    """A record's terms, in order."""

    terms: tuple[Term, ...]

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        return tuple(term for term in self.terms if isinstance(term, Mechanism))

    @property
    def bad(self) -> tuple[BadTerm, ...]:
        return tuple(term for term in self.terms if isinstance(term, BadTerm))

    @property
    def all(self) -> Mechanism | None:
        """The first `all`."""
        return next((m for m in self.mechanisms if m.name == "all"), None)

    @property
    def read(self) -> tuple[Mechanism, ...]:
        """The mechanisms that a receiver may come to: `all` and those before it (RFC 7208 §5.1)."""
        end = next((i for i, m in enumerate(self.mechanisms) if m.name == "all"), len(self.mechanisms))
        return self.mechanisms[: end + 1]

    @property
    def redirect(self) -> Modifier | None:
        """Where it is heeded: it is ignored beside `all` (RFC 7208 §6.1)."""
        return None if self.all else self.modifier("redirect")

    def modifier(self, name: str) -> Modifier | None:
        return next((t for t in self.terms if isinstance(t, Modifier) and t.name == name), None)


def select(records: Iterable[tuple[bytes, ...]]) -> list[tuple[bytes, ...]]:
    """The SPF records among TXT records, each as its strings (RFC 7208 §3.3, §4.5)."""
    return [strings for strings in records if is_spf(b"".join(strings))]


def is_spf(octets: bytes) -> bool:
    """Whether a TXT record is an SPF record at all (RFC 7208 §4.5)."""
    return octets.partition(b" ")[0].lower() == VERSION.encode("ascii")


def parse_record(octets: bytes) -> SPFRecord:
    """The terms of a record for which `is_spf` holds; terms are separated by spaces only (RFC 7208 §4.6.1)."""
    return parse_terms(octets[len(VERSION) :].split(b" "))


def parse_terms(texts: Iterable[bytes]) -> SPFRecord:
    """:param texts: empty ones do no harm."""
    terms: list[Term] = []
    once: set[str] = set()
    room = MAX_RECORD
    for octets in filter(None, texts):
        room -= len(octets) + 1
        if room < 0:
            terms.append(BadTerm(readable(octets), f"the record is longer than {MAX_RECORD} octets"))
            break
        term = _parse_term(octets)
        # RFC 7208 §6: these two may be there only once, others as often as they like.
        if isinstance(term, Modifier) and term.name in ("redirect", "exp"):
            if term.name in once:
                term = BadTerm(term.text, f"{term.name}= may be there only once")
            else:
                once.add(term.name)
        terms.append(term)
    return SPFRecord(tuple(terms))


def _parse_term(octets: bytes) -> Mechanism | Modifier | BadTerm:
    text = readable(octets)
    if not _VISIBLE.fullmatch(text) or text.encode("ascii") != octets:
        return BadTerm(text, "it holds characters that are not plain ASCII")
    try:
        modifier = _MODIFIER.fullmatch(text)
        if modifier:
            return _modifier(text, modifier[1].lower(), modifier[2])
        mechanism = _MECHANISM.fullmatch(text)
        if mechanism:
            qualifier = Qualifier(mechanism[1] or "+")
            return _mechanism(text, qualifier, mechanism[2].lower(), mechanism[3])
        raise ValueError("there is nothing of the kind")
    except ValueError as error:
        return BadTerm(text, str(error))


def _modifier(text: str, name: str, value: str) -> Modifier:
    # Not even with a syntax error is a known modifier an unknown one: the suite's redirect-syntax-error.
    known = name in ("redirect", "exp")
    return Modifier(text, name, parse_domain_spec(value) if known else parse_macro_string(value))


def _mechanism(text: str, qualifier: Qualifier, name: str, argument: str) -> Mechanism:
    """RFC 7208 §5.

    :param argument: with the ``:`` or ``/`` that it begins with.
    """
    if name == "all":
        if argument:
            raise ValueError("nothing may follow 'all'")
        return Mechanism(text, qualifier, name)
    if name in ("ip4", "ip6"):
        return Mechanism(text, qualifier, name, network=_network(name, argument))
    if name in ("include", "exists") or (name == "ptr" and argument):
        return Mechanism(text, qualifier, name, _domain(argument))
    if name == "ptr":
        return Mechanism(text, qualifier, name)
    if name in ("a", "mx"):
        return _address_mechanism(text, qualifier, name, argument)
    if name in ("redirect", "exp"):
        raise ValueError(f"write {name}= instead of {name}:")
    if name in _MEANT:
        raise ValueError(f"write {_MEANT[name]} instead of {name}")
    raise ValueError(f"there is no mechanism '{shorten(name)}'")


def _address_mechanism(text: str, qualifier: Qualifier, name: str, argument: str) -> Mechanism:
    """``a`` and ``mx`` with their ``dual-cidr-length`` (RFC 7208 §5.3, §5.4)."""
    match = _DUAL_PREFIX.fullmatch(argument)
    assert match  # whatever is no prefix length belongs to the domain
    domain, prefix4, prefix6 = match.groups()
    return Mechanism(
        text,
        qualifier,
        name,
        _domain(domain) if domain else (),
        prefix4=_prefix(prefix4, 32),
        prefix6=_prefix(prefix6, 128),
    )


def _domain(argument: str) -> MacroString:
    if not argument.startswith(":"):
        raise ValueError("a ':' and a domain name must follow")
    domain = argument[1:]
    if "%" not in domain and is_address(domain):
        raise ValueError(f"{domain} is an IP address: write ip{'6' if ':' in domain else '4'}:{domain}")
    return parse_domain_spec(domain)


def _network(name: str, argument: str) -> Network:
    """RFC 7208 §5.6."""
    match = _ADDRESS.fullmatch(argument)
    address, digits = match.groups() if match else ("", None)
    try:
        if name == "ip4":
            return ipaddress.IPv4Network((int(ipaddress.IPv4Address(address)), _prefix(digits, 32)), strict=False)
        return ipaddress.IPv6Network((int(ipaddress.IPv6Address(address)), _prefix(digits, 128)), strict=False)
    except ipaddress.AddressValueError as error:
        raise ValueError(f"an IPv{name[-1]} address or network must follow {name}:") from error


def _prefix(digits: str | None, bits: int) -> int:
    """:param digits: None for all bits."""
    length = bits if digits is None else int(digits)
    if length > bits:
        raise ValueError(f"the prefix length {length} is more than the {bits} bits of an address")
    return length

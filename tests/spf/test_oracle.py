"""check_host beside pyspf, over small worlds of records; and over records that nobody would publish.

What pyspf does otherwise than RFC 7208 wants is left out of the worlds: it looks up all hosts of an mx before it
compares the first; takes a failing PTR look-up for an error (§5.5 does not); counts an alias that leads nowhere twice;
calls an include of itself a syntax error; takes ``Redirect=`` for an unknown modifier. It counts a redirect when it
reads the record, not when it follows it: both are right, and where that decides the case proves nothing.
"""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from smtprelay.domains.spf.check_host import check_host
from smtprelay.domains.spf.questions import MAX_LOOKUPS, Result
from tests.domains.support import Entry, Zone

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its source's age
    import spf

DOMAINS = [f"d{n}.example.com" for n in range(5)]
HOSTS = ["h0.example.com", "h1.example.com", "h2.example.com"]
NOWHERE = ["gone.example.com", "gone.example.net", "a..example.com", "x" * 64 + ".example.com"]
FAILING = "failing.example.com"
CLIENTS = ["192.0.2.1", "192.0.2.130", "198.51.100.7", "2001:db8::1", "2001:db8:ffff::2", "::ffff:192.0.2.1"]
MACROS = [
    "%{d}",
    "%{o}",
    "%{d2}",
    "%{h}",
    "%{v}.example.com",
    "%{l}.example.com",
    "%{i}.example.com",
    "%{ir}.x.%{d3}",
    "h%%.example.com",
    "%{l1r-}.example.com",
    "%{L}.example.com",
]
BROKEN = [
    *("a:%{x}.example.com", "a:%{c}.example.com", "all:x", "all/8", "ip4:192.0.2", "ip4:192.0.2.1/33", "moo", "a:"),
    *("a/33", "a//129", "mx:example.-com", "exists", "include", "ip6:::1/129", "redirect:x.example.com", "a:b%.c", "+"),
]

targets = st.sampled_from([*HOSTS * 5, *DOMAINS * 2, *NOWHERE, FAILING, *MACROS])
networks = st.sampled_from(
    [
        "ip4:192.0.2.1",
        "ip4:192.0.2.0/25",
        "ip4:198.51.100.0/24",
        "ip6:2001:db8::/48",
        "ip6:2001:db8::1",
        "ip4:0.0.0.0/0",
    ]
)
prefixes = st.sampled_from(["", "", "/24", "/0", "//48", "/25//0"])
mechanisms = st.one_of(
    networks,
    st.sampled_from(["a", "mx", "ptr", "A", "Mx//64"]),
    st.builds("a:{}{}".format, targets, prefixes),
    st.builds("mx:{}{}".format, targets, prefixes),
    st.builds("include:{}".format, st.sampled_from([*DOMAINS, *DOMAINS, "gone.example.com", FAILING, "d1.%{d2}"])),
    st.builds("exists:{}".format, targets),
    st.builds("ptr:{}".format, st.sampled_from(["example.com", "h0.example.com", "%{d2}"])),
)
directives = st.builds("{}{}".format, st.sampled_from(["", "", "", "+", "-", "~", "?"]), mechanisms)


def rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 15)) == 11


@st.composite
def records(draw: st.DrawFn, domain: str) -> str:
    itself = (f"include:{domain}", f"include:{domain[:2]}.%{{d2}}")
    terms = [t for t in draw(st.lists(directives, min_size=1, max_size=6)) if not t.endswith(itself)]
    if rarely(draw):
        terms.insert(draw(st.integers(0, len(terms))), draw(st.sampled_from(BROKEN)))
    if rarely(draw):
        terms.insert(0, "x-note=%{d}")
    others = [d for d in [*DOMAINS, "gone.example.com", FAILING] if d != domain]
    ends = ["", "", "-all", "~all", "?all", *(f"redirect={other}" for other in others)]
    return " ".join(["v=spf1", *terms, draw(st.sampled_from(ends))])


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, list[Entry]]:
    world: dict[str, list[Entry]] = {FAILING: ["FAIL"]}
    for host in HOSTS:
        world[host] = draw(st.lists(st.sampled_from(["A 192.0.2.1", "A 192.0.2.129", "AAAA 2001:db8::1"]), max_size=2))
    for domain in DOMAINS:
        found = [] if rarely(draw) else [draw(records(domain))]
        if rarely(draw):
            found.append("v=spf1 -all")
        exchange = st.sampled_from(["MX 10 h0.example.com", "MX 5 gone.example.com", "MX 0 ", f"MX 1 {FAILING}"])
        mx = draw(st.lists(exchange, max_size=1))
        address = draw(st.lists(st.sampled_from(["A 198.51.100.7", "AAAA 2001:db8:ffff::2"]), max_size=1))
        world[domain] = [*(f"TXT {text}" for text in found), "TXT another", *mx, *address]
    for client in ("192.0.2.1", "2001:db8::1"):
        name = draw(st.sampled_from([[], ["PTR h0.example.com"], ["PTR d1.example.com"]]))
        world[ipaddress.ip_address(client).reverse_pointer] = list(name)
    return world


def answers(world: dict[str, list[Entry]], name: str, kind: str) -> Iterator[tuple[tuple[str, str], Any]]:
    """`spf.DNSLookup` over a world."""
    entries = [e for e in world.get(name.lower().rstrip("."), []) if isinstance(e, str)]
    values = [e.removeprefix(f"{kind} ") for e in entries if e.startswith(f"{kind} ")]
    if not values and "FAIL" in entries:
        raise spf.TempError("DNS fails")
    for value in values:
        if kind == "TXT":
            yield (name, kind), (value.encode("utf-8"),)
        elif kind == "MX":
            preference, exchange = value.split(" ")
            yield (name, kind), (int(preference), exchange)
        else:
            yield (name, kind), value


@given(worlds(), st.sampled_from(CLIENTS), st.sampled_from(["h0.example.com", "gone.example.com", "not a name"]))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_pyspf_comes_to_the_same_result(
    monkeypatch: pytest.MonkeyPatch, world: dict[str, list[Entry]], client: str, helo: str
) -> None:
    monkeypatch.setattr(spf, "DNSLookup", lambda name, kind, *_: answers(world, name, kind))
    sender = f"h-0@{DOMAINS[0]}"
    expected, _, problem = spf.query(i=client, s=sender, h=helo, strict=True).check()
    zone = Zone(world)
    ours = await check_host(zone, DOMAINS[0], ipaddress.ip_address(client), sender, helo)
    read = sum(kind == "TXT" for kind, _ in zone.questions)
    assume(not ours.lookups <= MAX_LOOKUPS < ours.lookups + read)  # a redirect, counted or not, decides
    assert ours.result == expected, (problem, ours)


PIECES = [
    *(b"v=spf1 ", b"v=spf1", b"include:", b"a", b"mx", b"ip4:", b"ip6:", b"exists:", b"redirect=", b"exp=", b"ptr"),
    *(b"%{", b"}", b"%", b"%%", b"%{d}", b"%{p}", b"%{l9r+}", b"0", b"9" * 5000, b"/", b"//", b":", b"::", b"."),
    *(b"all", b"-", b"+", b"?", b"~", b" ", b"d0.example.com", b"192.0.2.1", b"x" * 300, b"\xff", b"\0", b"\\"),
]
octets = st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))


@given(st.lists(octets.map(lambda text: b"v=spf1 " + text), min_size=1, max_size=2), st.sampled_from(CLIENTS), octets)
@settings(max_examples=300)
async def test_arbitrary_octets_have_a_result(texts: list[bytes], client: str, other: bytes) -> None:
    zone = Zone({"d0.example.com": [(texts[0],)], "d1.example.com": [(other, texts[-1])]})
    for ip in (ipaddress.ip_address(client), None):
        evaluation = await check_host(zone, "d0.example.com", ip, "l-0+x@d1.example.com", authorised="d1.example.com")
        assert evaluation.result in Result

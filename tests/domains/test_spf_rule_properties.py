"""Whatever stands in DNS: what the rule says to publish makes the domain pass, and keeps what the record said."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from smtprelay.domains.spf.record import is_spf, parse_record
from smtprelay.domains.spf.rule import check_spf
from smtprelay.domains.txt import readable
from smtprelay.domains.verdict import Status
from smtprelay.resolver import TXT
from tests.domains.support import Zone

DOMAIN = "example.com"
INCLUDE = "spf.bestedm.org"

VERSIONS = [
    b"v=spf1 ",
    b"v=spf1 ",
    b"v=spf1 ",
    b"V=SPF1 ",
    b"v=spf1",
    b"v=spf1;",
    b" v=spf1 ",
    b'"v=spf1 ',
    b"spf1 ",
    b"",
]
TERMS = [
    *(b"a", b"mx", b"+mx", b"ptr", b"-all", b"~all", b"?all", b"+all", b"all", b"ip4:192.0.2.1", b"ip6:2001:db8::/32"),
    *(b"include:spf.bestedm.org", b"?include:spf.bestedm.org", b"-INCLUDE:spf.bestedm.org.", b"include:spf.%{d}"),
    *(
        b"include:other.example.net",
        b"~include:other.example.net",
        b"include:example.com",
        b"include:failing.example.net",
    ),
    *(
        b"redirect=other.example.net",
        b"redirect=spf.bestedm.org",
        b"redirect=example.com",
        b"exp=why.example.net",
        b"n=1",
    ),
    *(b"moo", b"ip4:192.0.2", b"a:192.0.2.1", b"exists:%{i}.example.net", b"a:%{x}", b"a:gone.example.net", b"exp="),
    *(b"a:\xff", b"mx,", b"%", b"=", b"a:" + b"x" * 300 + b".example.net"),
]
SEPARATORS = [b" ", b" ", b" ", b"  ", b"\t", b""]
texts = st.one_of(
    st.builds(
        lambda version, terms, separators: version + b"".join(t + s for t, s in zip(terms, separators, strict=True)),
        st.sampled_from(VERSIONS),
        st.lists(st.sampled_from(TERMS), min_size=12, max_size=12),
        st.lists(st.sampled_from(SEPARATORS), min_size=12, max_size=12),
    ),
    st.lists(st.sampled_from(TERMS), max_size=5).map(lambda terms: b" ".join([b"v=spf1", *terms])),
    st.binary(max_size=30).map(lambda octets: b"v=spf1 " + octets),
    st.binary(max_size=30),
)


@st.composite
def records(draw: st.DrawFn) -> TXT:
    """One TXT record, cut somewhere."""
    text = draw(texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=2)))
    return tuple(text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True))


def world(published: list[TXT]) -> Zone:
    return Zone(
        {
            DOMAIN: [*published, "MX 10 mail.example.com"],
            INCLUDE: ["TXT v=spf1 ip4:192.0.2.0/24 a:spf.bestedm.org -all", "A 192.0.2.1"],
            "other.example.net": ["TXT v=spf1 ip4:198.51.100.0/24 include:example.com ~all"],
            "failing.example.net": ["FAIL"],
        }
    )


@given(st.lists(records(), max_size=3))
@settings(max_examples=400)
@example([(b"v=spf1 " + b" ".join([b"include:other.example.net"] * 400) + b" -all",)])
async def test_what_is_to_be_published_makes_the_domain_pass(published: list[TXT]) -> None:
    finding = await check_spf(world(published), DOMAIN, INCLUDE)
    if finding.status is not Status.FAIL:
        assert finding.publish == finding.remove == ()
        return
    assert finding.problem
    gone = [record.value for record in finding.remove]
    left = [strings for strings in published if readable(b"".join(strings)) not in gone]
    added = tuple(string.encode("ascii") for record in finding.publish for string in record.strings)
    after = await check_spf(world([*left, added]), DOMAIN, INCLUDE)
    assert (after.status, after.publish, after.remove) == (Status.PASS, (), ())


@given(records().filter(lambda strings: is_spf(b"".join(strings)) and len(strings) == 1))
@settings(max_examples=200)
async def test_a_record_keeps_its_terms_in_their_order(strings: TXT) -> None:
    finding = await check_spf(world([strings]), DOMAIN, INCLUDE)
    before = [t.text for t in parse_record(strings[0]).terms if t not in parse_record(strings[0]).bad]
    for record in finding.publish:
        kept = [t for t in before if t.lower().lstrip("+-~?").removesuffix(".") != f"include:{INCLUDE}"]
        # An include that leads nowhere goes too.
        gone = {t for t in kept if t not in record.value.split(" ") and "include:" in t.lower()}
        assert record.value == " ".join(["v=spf1", f"include:{INCLUDE}", *(t for t in kept if t not in gone)])

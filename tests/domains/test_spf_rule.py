"""The rule "spf": what is wrong is named as what it is, and what is to be published makes the domain pass."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smtprelay.domains.spf import check_host, tree
from smtprelay.domains.spf.record import MAX_RECORD
from smtprelay.domains.spf.rule import check_spf
from smtprelay.domains.verdict import Finding, Record, Status
from smtprelay.resolver import Answer
from tests.domains.support import Entry, Zone

DOMAIN = "example.com"
INCLUDE = "spf.bestedm.org"
OURS = f"include:{INCLUDE}"
OTHERS: dict[str, list[Entry]] = {
    INCLUDE: ["TXT v=spf1 ip4:192.0.2.0/24 -all"],
    "one.example.net": ["TXT v=spf1 a:h.example.net mx -all", "MX 10 h.example.net"],
    "ours.example.net": [f"TXT v=spf1 {OURS} -all"],
    "neutral.example.net": [f"TXT v=spf1 ?{OURS} -all"],
    "open.example.net": ["TXT v=spf1 +all"],
    "none.example.net": ["TXT no policy"],
    "two.example.net": ["TXT v=spf1 -all", "TXT v=spf1 ~all"],
    "bad.example.net": ["TXT v=spf1 ipv4:192.0.2.1 -all"],
    "five.example.net": ["TXT v=spf1 " + "a:h.example.net " * 5 + "-all"],
    "nine.example.net": ["TXT v=spf1 " + "a:h.example.net " * 9 + "-all"],
    "loop.example.net": [f"TXT v=spf1 include:{DOMAIN} -all"],
    "failing.example.net": ["FAIL"],
    "h.example.net": ["A 192.0.2.1", "AAAA 2001:db8::1"],
    "h6.example.net": ["AAAA 2001:db8::1"],
}


def zone(*entries: Entry, **changed: list[Entry]) -> Zone:
    made = Zone(OTHERS | changed)
    if entries:
        made.add(DOMAIN, *entries)
    return made


def text(entry: Entry) -> str:
    """As a finding shows it."""
    return entry.removeprefix("TXT ") if isinstance(entry, str) else b"".join(entry).decode("utf-8", "backslashreplace")


async def check(*entries: Entry) -> Finding:
    """The finding; where it fails, what it says to publish is published, and must make the domain pass."""
    world = zone(*entries)
    finding = await check_spf(world, DOMAIN, INCLUDE)
    assert finding.rule == "spf"
    assert finding.code == "7.23"
    assert not finding.problem.endswith(".")
    if finding.status is Status.FAIL:
        await assert_remedy(world, finding)
    else:
        assert finding.publish == finding.remove == ()
    return finding


async def assert_remedy(world: Zone, finding: Finding) -> None:
    gone = [record.value for record in finding.remove]
    (record,) = finding.publish
    assert (record.name, record.type) == (DOMAIN, "TXT")
    left = [entry for entry in world.records.get(DOMAIN, []) if text(entry) not in gone]
    world.records[DOMAIN] = [*left, tuple(s.encode("ascii") for s in record.strings)]
    after = await check_spf(world, DOMAIN, INCLUDE)
    assert (after.status, after.problem) == (Status.PASS, "")
    assert after.publish == after.remove == ()


def published(finding: Finding) -> str:
    return finding.publish[0].value


@pytest.mark.parametrize(
    "record",
    [
        f"v=spf1 {OURS} -all",
        f"V=SPF1 +INCLUDE:{INCLUDE.upper()}. ~all",
        f"v=spf1 mx {OURS}",
        f"v=spf1 {OURS} {OURS} -all",
        f"v=spf1 -mx ?a:h.example.net {OURS} redirect=none.example.net",
        "v=spf1 include:ours.example.net -all",
        "v=spf1 redirect=ours.example.net",
        "v=spf1 include:one.example.net redirect=ours.example.net",
        f"v=spf1 exists:%{{i}}.%{{l}}.example.net include:%{{h}}.example.net {OURS} -all",
        f"v=spf1 a:h.example.net a:h6.example.net a:h.example.net ptr {OURS} -all",
        f"v=spf1 {OURS} include:none.example.net include:failing.example.net -all",
        f"v=spf1 ip4:192.0.2.1 {OURS} x-other=%{{d}} exp=why.example.com",
    ],
)
async def test_passes(record: str) -> None:
    finding = await check(f"TXT {record}", "TXT verification=1")
    assert (finding.status, finding.problem) == (Status.PASS, "")
    assert finding.found.startswith(f"{record} (")


async def test_macros_of_the_domain_are_expanded() -> None:
    world = Zone({**OTHERS, "bestedm.org": ["TXT v=spf1 include:spf.%{d} include:spf.%{o2} -all"]})
    assert (await check_spf(world, "bestedm.org", INCLUDE)).status is Status.PASS


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("v=spf1 -all", f"the SPF record lacks {OURS}"),
        ("v=spf1", f"the SPF record lacks {OURS}"),
        ("v=spf1 +all", f"the SPF record lacks {OURS}"),
        ("v=spf1 include:open.example.net -all", f"the SPF record lacks {OURS}"),
        (f"v=spf1 include={INCLUDE} -all", f"the SPF record has 'include={INCLUDE}' where it needs {OURS}"),
        (f"v=spf1 mx redirect={INCLUDE}", f"the SPF record has 'redirect={INCLUDE}' where it needs {OURS}"),
        (f"v=spf1 ?{OURS} -all", f"'?{OURS}' begins with '?' and so allows nothing"),
        (f"v=spf1 -{OURS} -all", f"'-{OURS}' begins with '-' and so forbids what it should allow"),
        (f"v=spf1 ~{OURS} -all", f"'~{OURS}' begins with '~' and so marks as suspicious what it should allow"),
        (f"v=spf1 mx -all {OURS}", f"'{OURS}' stands after '-all', where receivers read no further"),
        (f"v=spf1 +all {OURS}", f"'{OURS}' stands after '+all', where receivers read no further"),
        (
            "v=spf1 -include:ours.example.net ~all",
            f"'-include:ours.example.net' leads to '{OURS}', but begins with '-' and so forbids what it should allow",
        ),
        (
            "v=spf1 include:neutral.example.net ~all",
            f"'?{OURS}' in the SPF record of neutral.example.net begins with '?' and so allows nothing",
        ),
        (
            "v=spf1 redirect=ours.example.net ~all",
            (
                f"'{OURS}' does not count: receivers ignore 'redirect=ours.example.net' "
                "because of '~all' in the same record"
            ),
        ),
        (
            f"v=spf1 include:open.example.net {OURS} -all",
            f"'include:open.example.net' decides before receivers come to {OURS}",
        ),
        (
            f"v=spf1 {OURS} ipv4:192.0.2.1 -all",
            "receivers cannot read 'ipv4:192.0.2.1' in the SPF record of example.com: write ip4 instead of ipv4",
        ),
        (
            f"v=spf1 {OURS} a:192.0.2.1 -all",
            (
                "receivers cannot read 'a:192.0.2.1' in the SPF record of example.com: "
                "192.0.2.1 is an IP address: write ip4:192.0.2.1"
            ),
        ),
        (
            f"v=spf1 {OURS} a:fe80::1%eth0 -all",
            (
                "receivers cannot read 'a:fe80::1%eth0' in the SPF record of example.com: "
                "a % must be written %%, unless it begins a macro"
            ),
        ),
        (
            f"v=spf1 include:loop.example.net {OURS} moo",
            "receivers cannot read 'moo' in the SPF record of example.com: there is no mechanism 'moo'",
        ),
        (
            f"v=spf1 {OURS}, mx -all",
            f"receivers cannot read '{OURS},' in the SPF record of example.com: the domain name is not a full one",
        ),
        (
            f"v=spf1 {OURS} redirect=a.example.net redirect=b.example.net",
            (
                "receivers cannot read 'redirect=b.example.net' in the SPF record of example.com: "
                "redirect= may be there only once"
            ),
        ),
        (
            f"v=spf1 include:bad.example.net {OURS} -all",
            "receivers cannot read 'ipv4:192.0.2.1' in the SPF record of bad.example.net: write ip4 instead of ipv4",
        ),
        (
            f"v=spf1 include:none.example.net {OURS} -all",
            (
                "'include:none.example.net' in the SPF record of example.com leads to a name without SPF record, "
                "and receivers give up there"
            ),
        ),
        (
            f"v=spf1 include:two.example.net {OURS} -all",
            "two.example.net has 2 SPF records, and receivers heed none: there may be only one",
        ),
        (
            f"v=spf1 include:five.example.net include:five.example.net {OURS} -all",
            "the SPF record needs more than 10 DNS look-ups, and receivers give up at 'a:h.example.net'",
        ),
        (
            f"v=spf1 {'a:h.example.net ' * 10}{OURS} -all",
            f"the SPF record needs more than 10 DNS look-ups, and receivers give up at '{OURS}'",
        ),
        (
            f"v=spf1 a:x.example.net mx:y.example.net exists:z.example.net {OURS} -all",
            "more than 2 of the names in the SPF record do not exist, and receivers give up at z.example.net",
        ),
        (
            f"v=spf1 include:loop.example.net {OURS} -all",
            "the SPF record leads back to itself (example.com → loop.example.net → example.com), and receivers give up",
        ),
        (
            "v=spf1 redirect=EXAMPLE.com.",
            "the SPF record leads back to itself (example.com → example.com), and receivers give up",
        ),
    ],
)
async def test_one_record_fails(record: str, problem: str) -> None:
    finding = await check(f"TXT {record}", "TXT verification=1")
    assert (finding.status, finding.problem) == (Status.FAIL, problem)
    assert finding.remove == (Record(DOMAIN, "TXT", record),)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ((), "there is no such name in DNS: example.com"),
        (("MX 10 mail.example.com",), "example.com has no SPF record"),
        (("TXT verification=1", "TXT spf2.0/pra -all", "TXT v=DKIM1"), "example.com has no SPF record"),
    ],
)
async def test_no_record(entries: tuple[Entry, ...], problem: str) -> None:
    finding = await check(*entries)
    assert (finding.status, finding.found, finding.problem) == (Status.FAIL, "", problem)
    assert finding.publish == (Record(DOMAIN, "TXT", f"v=spf1 {OURS} -all"),)
    assert finding.remove == ()


@pytest.mark.parametrize(
    ("entry", "problem", "publish"),
    [
        (f"TXT v=spf1{OURS}", "there must be a space after v=spf1", f"v=spf1 {OURS} -all"),
        (f"TXT v=spf1;{OURS}; mx ;-all", "there must be a space after v=spf1", f"v=spf1 {OURS} mx -all"),
        ((b"v=spf1", b"mx -all"), "there must be a space after v=spf1", f"v=spf1 {OURS} mx -all"),
        ("TXT v=spf1\tmx -all", "there must be a space after v=spf1", f"v=spf1 {OURS} mx -all"),
        ("TXT  v=spf1 mx ~all", "it begins with white space", f"v=spf1 {OURS} mx ~all"),
        (f'TXT "v=spf1 mx {OURS} -all"', "it begins with a quotation mark", f"v=spf1 {OURS} mx -all"),
        (f"TXT spf1 {OURS} -all", "it must begin with v=spf1 and a space", f"v=spf1 {OURS} -all"),
        ("TXT v=spf2.0/mfrom,pra mx -all", "it must begin with v=spf1 and a space", f"v=spf1 {OURS} mx -all"),
        ("TXT v = spf1 mx moo -all", "it must begin with v=spf1 and a space", f"v=spf1 {OURS} mx -all"),
        ("TXT v=spf mx -all", "it must begin with v=spf1 and a space", f"v=spf1 {OURS} mx -all"),
    ],
)
async def test_what_was_meant_to_be_a_record(entry: Entry, problem: str, publish: str) -> None:
    finding = await check(entry)
    shown = text(entry).replace("\t", "\\t")
    assert finding.problem == f"'{shown}' is no SPF record: {problem}"
    assert published(finding) == publish
    assert [record.value for record in finding.remove] == [shown]


@pytest.mark.parametrize(
    ("records", "publish"),
    [
        (["v=spf1 mx -all", "v=spf1 mx a ~all"], f"v=spf1 {OURS} mx a -all"),
        (["v=spf1 a ?all", f"v=spf1 ?{OURS} +A ~all"], f"v=spf1 {OURS} a ~all"),
        (
            [f"v=spf1 {OURS} -all", "v=spf1 include:_spf.example.net ~all"],
            f"v=spf1 {OURS} include:_spf.example.net -all",
        ),
        (["v=spf1 mx", "v=spf1 a redirect=x.example.net"], f"v=spf1 {OURS} mx a redirect=x.example.net"),
        (["v=spf1 redirect=x.example.net", "v=spf1 a -all"], f"v=spf1 {OURS} a include:x.example.net -all"),
        (
            ["v=spf1 redirect=x.example.net", "v=spf1 redirect=y.example.net"],
            f"v=spf1 {OURS} include:y.example.net redirect=x.example.net",
        ),
        (
            ["v=spf1 a exp=x.example.net n=1 -all mx", "v=spf1 n=1 moo exp=y.example.net -all"],
            f"v=spf1 {OURS} a exp=x.example.net n=1 -all",
        ),
        (["v=spf1 -all", "v=spf1 -all", "v=spf1 mx"], f"v=spf1 {OURS} mx -all"),
    ],
)
async def test_several_records_become_one(records: list[str], publish: str) -> None:
    finding = await check(*(f"TXT {record}" for record in records))
    count = len(records)
    assert finding.problem == f"example.com has {count} SPF records, and receivers heed none: there may be only one"
    assert published(finding) == publish
    assert [record.value for record in finding.remove] == records


@pytest.mark.parametrize(
    ("record", "publish"),
    [
        ("v=spf1 mx  A:h.example.net ~ALL ", f"v=spf1 {OURS} mx A:h.example.net ~ALL"),
        (f"v=spf1 mx ~{OURS} -{OURS}. -all", f"v=spf1 {OURS} mx -all"),
        ("v=spf1 mx moo ip4:192.0.2 -all", f"v=spf1 {OURS} mx -all"),
        (
            "v=spf1 exp=x.example.net mx redirect=y.example.net",
            f"v=spf1 {OURS} exp=x.example.net mx redirect=y.example.net",
        ),
        ("v=spf1 redirect=a.example.net redirect=b.example.net", f"v=spf1 {OURS} redirect=a.example.net"),
    ],
)
async def test_a_record_keeps_what_it_says(record: str, publish: str) -> None:
    assert published(await check(f"TXT {record}")) == publish


async def test_octets_that_are_not_ascii_go() -> None:
    finding = await check((b"v=spf1 mx a:\xff.example.net \xc3\xbc -all",))
    assert "'a:\\xff.example.net'" in finding.problem
    assert published(finding) == f"v=spf1 {OURS} mx -all"
    assert finding.remove[0].value == "v=spf1 mx a:\\xff.example.net ü -all"


@pytest.mark.parametrize(
    ("records", "warning"),
    [
        (["v=spf1 ip:192.0.2.9 mx ipv4:192.0.2.8 -all"], "is without 'ip:192.0.2.9', 'ipv4:192.0.2.8': what of it"),
        (["v=spf1 mx -all", "v=spf1 moo -all"], "is without 'moo': what of it"),
        (["spf1 mx moo -all"], "is without 'moo': what of it"),
        ([f"v=spf1 ip4:192.0.2.{n} -all" for n in range(5)], "is without 'ip4:192.0.2.4': what of it"),
        ([f"v=spf1 {' '.join('abcdefg')} -all"], "is without 'b', 'c', 'd', 'e', 'f' and 1 more: what of it"),
        (["v=spf1 " + "a " * 10], "needs 11 DNS look-ups, and receivers make no more than 10: who stands last"),
        (["v=spf1 " + "a " * 9, "v=spf1 mx"], None),
        ([f"v=spf1 mx ?{OURS} +A a ?all", "v=spf1 redirect=x.example.net"], None),
        (["v=spf1 mx -all ip4:192.0.2.1"], None),
    ],
)
async def test_what_the_record_to_publish_loses_is_told(records: list[str], warning: str | None) -> None:
    finding = await check(*(f"TXT {record}" for record in records))
    losses = [w.removeprefix("the record to publish ") for w in finding.warnings if "record to publish" in w]
    assert len(losses) == bool(warning)
    assert not warning or losses[0].startswith(warning)


async def test_a_record_too_long_to_be_read_is_cut_before_its_end() -> None:
    terms = " ".join(f"ip4:192.0.2.{n % 250}" for n in range(700))
    finding = await check((b"v=spf1 " + terms.encode("ascii"),))
    assert f"the record is longer than {MAX_RECORD} octets" in finding.problem
    assert len(published(finding)) <= MAX_RECORD
    long = f"TXT v=spf1 {terms[:8160].rpartition(' ')[0]} ~all"
    finding = await check(long, "TXT v=spf1 mx:mail.example.net")
    assert len(published(finding)) <= MAX_RECORD
    assert published(finding).startswith(f"v=spf1 {OURS} ip4:192.0.2.0 ")
    assert published(finding).endswith(" ~all")


@pytest.mark.parametrize(
    ("terms", "count"),
    [
        (f"{OURS} -all", "1 of 10"),
        (f"{OURS} a:h.example.net mx -all", "3 of 10"),
        (f"{OURS} include:one.example.net ip4:192.0.2.1 ptr exists:h.example.net ~all", "6 of 10"),
        (f"{OURS} include:one.example.net include:one.example.net redirect=one.example.net", "10 of 10"),
        (f"{OURS} -all a mx redirect=five.example.net", "1 of 10"),
        (f"{OURS} include:nine.example.net include:nine.example.net -all", "21 of 10"),
        (f"{OURS} include:loop.example.net -all", "3 or more of 10"),
    ],
)
async def test_lookups_of_the_whole_tree_are_counted(terms: str, count: str) -> None:
    finding = await check(f"TXT v=spf1 {terms}")
    assert finding.status is Status.PASS
    assert finding.found == f"v=spf1 {terms} ({count} look-ups)"


async def test_an_include_that_leads_nowhere_is_not_kept() -> None:
    """Receivers would still give up at it, for who sends from elsewhere."""
    finding = await check("TXT v=spf1 a:h.example.net include:spf.bestedn.org -all")
    assert "leads to a name without SPF record" in finding.problem
    assert published(finding) == f"v=spf1 {OURS} a:h.example.net -all"
    assert any("is without 'include:spf.bestedn.org'" in warning for warning in finding.warnings)


async def test_an_include_that_leads_nowhere_behind_ours_is_a_warning() -> None:
    finding = await check(f"TXT v=spf1 {OURS} include:gone.example.net include:failing.example.net -all")
    [warning] = finding.warnings
    assert warning.startswith("'include:gone.example.net' in the SPF record of example.com leads to a name without")


@pytest.mark.parametrize(("lookups", "warned"), [(7, False), (8, True), (10, True), (11, True)])
async def test_many_lookups_are_a_warning(lookups: int, warned: bool) -> None:
    finding = await check(f"TXT v=spf1 {OURS} {'a:h.example.net ' * (lookups - 1)}-all")
    warning = f"the SPF record needs {lookups} DNS look-ups, and receivers make no more than 10"
    assert finding.warnings == ((warning,) if warned else ())


@pytest.mark.parametrize(
    ("entry", "warning"),
    [
        (f"TXT v=spf1 {OURS} +all", "'+all' allows anybody to send as the domain"),
        (f"TXT v=spf1 {OURS} all", "'all' allows anybody to send as the domain"),
        (f"TXT v=spf1 {OURS} ip4:0.0.0.0/0 -all", "'ip4:0.0.0.0/0' allows anybody to send as the domain"),
        (f"TXT v=spf1 {OURS} -all mx", "receivers ignore 'mx', because it stands after '-all'"),
        (f"TXT v=spf1 {OURS} ~all -all", "receivers ignore '-all', because it stands after '~all'"),
        (f"TXT v=spf1 {OURS} -all -all", "receivers ignore '-all', because it stands after '-all'"),
        (f"TXT v=spf1 {OURS} ptr -all", "'ptr' in the SPF record is slow and unreliable, and should be replaced"),
        (
            f"TXT v=spf1 {OURS} {'ip4:192.0.2.1 ' * 30}-all",
            "the SPF record has 455 octets, and some receivers cannot take more than 450",
        ),
        (
            (f"v=spf1 {OURS} a:h.example.net".encode(), b"mx -all"),
            (
                "'a:h.example.net' and 'mx' are read as one word: "
                "a space is missing between the strings of the SPF record"
            ),
        ),
    ],
)
async def test_warnings(entry: Entry, warning: str) -> None:
    finding = await check(entry)
    assert warning in finding.warnings
    assert not any(w.endswith(".") for w in finding.warnings)


@pytest.mark.parametrize(
    "entry",
    [
        f"TXT v=spf1 {OURS}",
        f"TXT v=spf1 {OURS} -all exp=x.example.net",
        (f"v=spf1 {OURS} ".encode(), b"-all"),
        (f"v=spf1 {OURS}".encode(), b" -all"),
        (f"v=spf1 {OURS} ip4:192.0".encode(), b".2.1 -al", b"l"),
    ],
)
async def test_nothing_to_warn_of(entry: Entry) -> None:
    assert (await check(entry)).warnings == ()


@pytest.mark.parametrize(
    ("strings", "publish"),
    [
        ((f"v=spf1 {OURS}".encode(), b"-all"), f"v=spf1 {OURS} -all"),
        ((b"v=spf1 mx", OURS.encode(), b"~all"), f"v=spf1 {OURS} mx ~all"),
        ((b"v=spf1 ip4:192.0.2.1", OURS.encode(), b" ~all"), f"v=spf1 {OURS} ip4:192.0.2.1 ~all"),
    ],
)
async def test_a_forgotten_space_between_strings_is_named_and_put_in(strings: tuple[bytes, ...], publish: str) -> None:
    finding = await check(strings)
    words = [strings[0].split(b" ")[-1].decode(), strings[1].decode()]
    assert finding.problem.startswith(f"'{words[0]}' and '{words[1]}' are read as one word: a space is missing")
    assert finding.warnings[0] == finding.problem
    assert published(finding) == publish


async def test_a_second_record_that_is_none_is_a_warning() -> None:
    finding = await check(f"TXT v=spf1 {OURS} -all", "TXT v=spf1;mx")
    assert finding.warnings == ("'v=spf1;mx' is no SPF record: there must be a space after v=spf1",)


@pytest.mark.parametrize(
    "record", [f"v=spf1 include:failing.example.net {OURS} -all", f"v=spf1 a:failing.example.net {OURS}"]
)
async def test_dns_that_fails_within_the_tree_is_temporary(record: str) -> None:
    finding = await check(f"TXT {record}")
    assert finding.status is Status.TEMPORARY
    assert finding.problem.startswith("DNS does not answer for failing.example.net: ")


async def test_dns_that_fails_at_the_domain_is_temporary() -> None:
    finding = await check("FAIL")
    assert finding.status is Status.TEMPORARY
    assert finding.problem.startswith("DNS does not answer for example.com: ")


PLATFORM_FAULTS: list[list[Entry]] = [[], ["FAIL"], ["TXT v=spf1 moo"], ["TXT v=spf1 -all", "TXT v=spf1 ~all"]]


@pytest.mark.parametrize(
    "records", [*PLATFORM_FAULTS, ["TXT v=spf1 include:none.example.net"], ["TXT v=spf1 " + "a " * 9]]
)
async def test_the_platforms_own_faults_are_not_the_domains(records: list[str]) -> None:
    world = Zone({**OTHERS, INCLUDE: [*records, "A 192.0.2.1"], DOMAIN: [f"TXT v=spf1 {OURS} -all"]})
    assert (await check_spf(world, DOMAIN, INCLUDE)).status is Status.PASS


TOO_MUCH = pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("v=spf1 " + "a " * 10, "the SPF record needs more than 10 DNS look-ups, and receivers give up at 'a'"),
        ("v=spf1 a:x.gone a:y.gone a:z.gone", "more than 2 of the names in the SPF record do not exist"),
    ],
)


@TOO_MUCH
async def test_the_platforms_lookups_count_and_are_cheapest_in_front(record: str, problem: str) -> None:
    world = Zone({**OTHERS, INCLUDE: [f"TXT {record}", "A 192.0.2.1"], DOMAIN: [f"TXT v=spf1 a {OURS} -all"]})
    finding = await check_spf(world, DOMAIN, INCLUDE)
    assert finding.status is Status.FAIL
    assert finding.problem.startswith(problem)
    world.records[DOMAIN] = [f"TXT {finding.publish[0].value}"]
    assert (await check_spf(world, DOMAIN, INCLUDE)).status is Status.PASS


@TOO_MUCH
async def test_limits_that_the_platform_breaks_by_itself_are_no_reason_to_refuse_mail(
    record: str, problem: str
) -> None:
    world = Zone({**OTHERS, INCLUDE: [f"TXT {record}", "A 192.0.2.1"], DOMAIN: [f"TXT v=spf1 {OURS} -all"]})
    finding = await check_spf(world, DOMAIN, INCLUDE)
    assert finding.status is Status.PASS
    assert finding.warnings[-1].startswith(problem)
    assert finding.warnings[-1].endswith(f": only the owner of {INCLUDE} can mend that")


async def test_a_hostile_tree_is_not_followed_to_its_end() -> None:
    names = [f"n{n}.example.net" for n in range(12)]
    every = "TXT v=spf1 " + " ".join(f"?include:{name}" for name in names)
    world = Zone(
        {name: [every] for name in names} | {DOMAIN: [every.replace("v=spf1", f"v=spf1 {OURS}", 1)]} | {INCLUDE: []}
    )
    finding = await check_spf(world, DOMAIN, INCLUDE)
    assert finding.status is Status.PASS
    assert " or more of 10 look-ups)" in finding.found
    assert len(world.questions) < 40


class Silent(Zone):
    """DNS of which some names never answer."""

    async def txt(self, name: str) -> Answer[Any]:
        if name.startswith("silent."):
            await asyncio.Event().wait()
        return await super().txt(name)


async def test_dns_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_host, "TIMEOUT", 0.01)
    monkeypatch.setattr(tree, "TIMEOUT", 0.01)
    finding = await check_spf(Silent({DOMAIN: [f"TXT v=spf1 include:silent.example.net {OURS}"]}), DOMAIN, INCLUDE)
    assert finding.status is Status.TEMPORARY
    assert finding.problem.startswith("DNS took more than")
    finding = await check_spf(Silent({DOMAIN: [f"TXT v=spf1 {OURS} include:silent.example.net"]}), DOMAIN, INCLUDE)
    assert finding.status is Status.PASS
    assert finding.found.endswith("(2 or more of 10 look-ups)")

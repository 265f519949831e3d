"""The DMARC rule, and its tree walk."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.domains.dmarc import check_dmarc, parse_policy, targets, walk
from smtprelay.domains.verdict import Finding, Record, Status
from tests.domains.support import Zone

NONE = "TXT v=DMARC1; p=none"
LEAST = "v=DMARC1; p=none"


async def checked(zone: Zone, domain: str = "example.com", signing_domain: str | None = None) -> Finding:
    finding = await check_dmarc(zone, domain, domain if signing_domain is None else signing_domain)
    assert (finding.rule, finding.code) == ("dmarc", "7.26")
    assert finding.passes is (finding.problem == "")
    assert not finding.problem.endswith(".")
    return finding


def test_at_most_eight_names_are_asked() -> None:
    assert targets("com") == ["com"]
    assert targets("a.b.com") == ["a.b.com", "b.com", "com"]
    # RFC 9989 §4.10: from eight labels on, the second question is for the last seven.
    assert targets("a.b.c.d.e.f.g.com")[:2] == ["a.b.c.d.e.f.g.com", "b.c.d.e.f.g.com"]
    assert targets("a.b.c.d.e.f.g.h.i.j.com") == [
        "a.b.c.d.e.f.g.h.i.j.com",
        "e.f.g.h.i.j.com",
        "f.g.h.i.j.com",
        "g.h.i.j.com",
        "h.i.j.com",
        "i.j.com",
        "j.com",
        "com",
    ]


@pytest.mark.parametrize(
    ("records", "organizational"),
    [
        ({}, "a.mail.example.com"),
        ({"a.mail.example.com": ""}, "a.mail.example.com"),
        ({"a.mail.example.com": "", "example.com": ""}, "example.com"),
        ({"mail.example.com": "; psd=n", "example.com": ""}, "mail.example.com"),
        ({"com": "; psd=y"}, "example.com"),
        ({"a.mail.example.com": "", "com": "; PSD = Y"}, "example.com"),
        ({"a.mail.example.com": "; psd=y", "com": "; psd=y"}, "a.mail.example.com"),
        ({"mail.example.com": "; psd=y", "com": ""}, "a.mail.example.com"),
        ({"example.com": "; psd=u", "com": ""}, "com"),
    ],
)
async def test_organizational_domain(records: dict[str, str], organizational: str) -> None:
    zone = Zone({f"_dmarc.{name}": [NONE + more] for name, more in records.items()})
    assert (await walk(zone, "a.mail.example.com")).organizational_domain == organizational


@pytest.mark.parametrize("tag", ["psd=y", "psd=n"])
async def test_psd_ends_the_walk(tag: str) -> None:
    zone = Zone({"_dmarc.example.com": [f"{NONE}; {tag}"]})
    await walk(zone, "mail.example.com")
    assert [name for _, name in zone.questions] == ["_dmarc.mail.example.com", "_dmarc.example.com"]


@pytest.mark.parametrize(
    "text",
    [
        "v=DMARC1; p=reject; rua=mailto:d@example.com",
        "v = DMARC1 ;p=none",
        "V=DMARC1;p=none;",
        "v=DMARC1; unknown; p=none; x=y",
        "v=DMARC1; p=None",
        "v=DMARC1; p=nonne; rua=mailto:d@example.com",
    ],
)
async def test_a_record_of_its_own(text: str) -> None:
    finding = await checked(Zone({"_dmarc.example.com": [f"TXT {text}"]}))
    assert (finding.status, finding.found, finding.warnings) == (Status.PASS, text, ())


async def test_strings_are_joined_without_a_space() -> None:
    finding = await checked(Zone({"_dmarc.example.com": [(b"v=DMA", b"RC1; p=rej", b"ect")]}))
    assert finding.found == "v=DMARC1; p=reject"


async def test_a_record_without_p_is_ignored_by_some() -> None:
    finding = await checked(Zone({"_dmarc.example.com": ["TXT v=DMARC1"]}))
    assert finding.status is Status.PASS
    assert "has no p=" in finding.warnings[0]


@pytest.mark.parametrize(
    ("text", "wrong"), [("p=nonne", "p=nonne"), ("p=none; sp=rejct", "sp=rejct"), ("p=none; np=", "np=")]
)
async def test_a_misspelt_policy(text: str, wrong: str) -> None:
    finding = await checked(Zone({"_dmarc.example.com": [f"TXT v=DMARC1; {text}"]}))
    assert finding.status is Status.FAIL
    assert f"({wrong})" in finding.problem
    assert finding.publish == (Record("_dmarc.example.com", "TXT", LEAST),)
    assert finding.remove == (Record("_dmarc.example.com", "TXT", f"v=DMARC1; {text}"),)


async def test_a_misspelt_policy_of_a_domain_above_can_stay() -> None:
    finding = await checked(Zone({"_dmarc.example.com": ["TXT v=DMARC1; p=nonne"]}), "mail.example.com")
    assert "at _dmarc.example.com asks for what no receiver knows" in finding.problem
    assert finding.publish == (Record("_dmarc.mail.example.com", "TXT", LEAST),)
    assert finding.remove == ()


async def test_it_is_missing() -> None:
    finding = await checked(Zone({"example.com": ["TXT v=spf1 -all"]}))
    assert finding.status is Status.FAIL
    assert "has no DMARC record" in finding.problem
    assert finding.publish == (Record("_dmarc.example.com", "TXT", LEAST),)
    assert finding.remove == ()


@pytest.mark.parametrize(
    "text", ["v=spf1 -all", "p=none; v=DMARC1", "v=dmarc1; p=none", " v=DMARC1", "v=DMARC1 p=none"]
)
async def test_what_stands_there_is_none(text: str) -> None:
    finding = await checked(Zone({"_dmarc.example.com": [f"TXT {text}"]}))
    assert finding.status is Status.FAIL
    assert "has to begin with v=DMARC1 and a semicolon" in finding.problem
    assert finding.publish == (Record("_dmarc.example.com", "TXT", LEAST),)
    assert finding.remove == (Record("_dmarc.example.com", "TXT", text),)


async def test_several_are_none() -> None:
    texts = ["v=DMARC1; p=reject", "v=DMARC1; p=none"]
    finding = await checked(Zone({"_dmarc.example.com": [f"TXT {text}" for text in texts]}))
    assert finding.status is Status.FAIL
    assert "2 DMARC records stand at _dmarc.example.com" in finding.problem
    assert [record.value for record in (*finding.publish, *finding.remove)] == texts


async def test_several_below_a_good_one() -> None:
    finding = await checked(
        Zone({"_dmarc.mail.example.com": [NONE, "TXT v=DMARC1; p=reject"], "_dmarc.example.com": [NONE]}),
        "mail.example.com",
    )
    assert finding.status is Status.PASS
    assert finding.warnings == ("2 DMARC records stand at _dmarc.mail.example.com, which receivers take for none",)


@pytest.mark.parametrize(
    ("tags", "exists", "policy"),
    [
        ("p=reject", True, "reject"),
        ("p=reject; sp=quarantine", True, "quarantine"),
        ("p=none; sp=quarantine; np=reject", True, "quarantine"),
        ("p=none; sp=quarantine; np=reject", False, "reject"),
        ("p=reject; sp=quarantine", False, "quarantine"),
        ("p=quarantine; np=none", False, "none"),
        ("p=rejct; rua=mailto:d@example.com", True, "none"),
    ],
)
async def test_what_applies_to_a_sub_domain(tags: str, exists: bool, policy: str) -> None:
    zone = Zone({"_dmarc.example.com": [f"TXT v=DMARC1; {tags}"]})
    if exists:
        zone.add("mail.example.com", "A 192.0.2.1")
    finding = await checked(zone, "mail.example.com")
    assert finding.status is Status.PASS
    assert finding.found == f"v=DMARC1; {tags} (at _dmarc.example.com; for mail.example.com: {policy})"


async def test_the_record_of_a_public_suffix_applies_below_the_organisation() -> None:
    finding = await checked(Zone({"_dmarc.example": ["TXT v=DMARC1; p=reject; psd=y"]}), "mail.shop.example")
    assert finding.status is Status.PASS
    assert "at _dmarc.example; for mail.shop.example: reject" in finding.found


async def test_the_organisations_record_comes_before_its_public_suffix() -> None:
    zone = Zone({"_dmarc.example.com": [NONE], "_dmarc.com": ["TXT v=DMARC1; p=reject; psd=y"]})
    assert "at _dmarc.example.com;" in (await checked(zone, "mail.example.com")).found


async def test_a_parents_signature_counts_by_default() -> None:
    zone = Zone({"_dmarc.example.com": [NONE]})
    assert (await checked(zone, "mail.example.com", "example.com")).status is Status.PASS


async def test_a_parents_signature_does_not_count_where_the_name_must_be_the_same() -> None:
    zone = Zone({"_dmarc.example.com": ["TXT v=DMARC1; p=reject; adkim=s"]})
    finding = await checked(zone, "mail.example.com", "example.com")
    assert finding.status is Status.FAIL
    assert "(adkim=s)" in finding.problem
    assert "dkim keygen mail.example.com" in finding.problem
    assert "asked to reject" in finding.problem
    assert (await checked(zone, "example.com")).status is Status.PASS
    zone.add("_dmarc.mail.example.com", "TXT v=DMARC1; p=none; sp=reject; adkim=s")
    assert "asked to" not in (await checked(zone, "mail.example.com", "example.com")).problem


@pytest.mark.parametrize(
    "records",
    [
        # Without a record of its own, the parent is not seen to be the same organisation.
        {"_dmarc.mail.example.com": [NONE]},
        {"_dmarc.mail.example.com": [f"{NONE}; psd=n"], "_dmarc.example.com": [NONE]},
        {"_dmarc.mail.example.com": [NONE], "_dmarc.example.com": [f"{NONE}; psd=y"]},
    ],
)
async def test_a_parent_may_be_another_organisation(records: dict[str, list[str]]) -> None:
    finding = await checked(Zone(records), "mail.example.com", "example.com")
    assert finding.status is Status.FAIL
    assert "another organisation" in finding.problem


async def test_without_a_signature_of_ours_there_is_nothing_to_align() -> None:
    zone = Zone({"_dmarc.example.com": ["TXT v=DMARC1; p=reject; adkim=s"]})
    assert (await checked(zone, "mail.example.com", "")).status is Status.PASS


@pytest.mark.parametrize(
    ("failing", "signing_domain", "status"),
    [
        ("_dmarc.mail.example.com", "mail.example.com", Status.TEMPORARY),
        ("_dmarc.com", "mail.example.com", Status.PASS),  # its own record is known, and nothing else matters
        ("_dmarc.com", "example.com", Status.TEMPORARY),  # the organisation is not
    ],
)
async def test_dns_that_fails(failing: str, signing_domain: str, status: Status) -> None:
    zone = Zone({"_dmarc.mail.example.com": [NONE]})
    zone.records[failing] = ["FAIL"]
    finding = await checked(zone, "mail.example.com", signing_domain)
    assert finding.status is status
    assert (failing in finding.problem) is (status is Status.TEMPORARY)


async def test_dns_that_fails_for_the_author_alone() -> None:
    zone = Zone({"_dmarc.mail.example.com": [NONE], "_dmarc.com": ["FAIL"]})
    assert (await checked(zone, "mail.example.com", "other.example")).status is Status.TEMPORARY


async def test_dns_that_fails_for_the_signer_alone() -> None:
    zone = Zone({"_dmarc.mail.example.com": [NONE], "_dmarc.example.com": [NONE], "_dmarc.other.example": ["FAIL"]})
    assert (await checked(zone, "mail.example.com", "other.example")).status is Status.TEMPORARY


octets = st.lists(st.binary(max_size=60) | st.sampled_from([b"v=DMARC1;", b"p=", b"psd=y;", b"adkim=s;"]), max_size=6)


@given(st.lists(octets.map(tuple), max_size=3), st.lists(octets.map(tuple), max_size=3), st.sampled_from(["", "a.b"]))
def test_whatever_stands_there_is_judged(own: list[tuple[bytes, ...]], above: list[tuple[bytes, ...]], d: str) -> None:
    zone = Zone({"_dmarc.a.b": own, "_dmarc.b": above})
    finding = asyncio.run(check_dmarc(zone, "a.b", d or "b"))
    assert finding.status in (Status.PASS, Status.FAIL)
    assert (finding.found + finding.problem + "".join(finding.warnings)).isprintable()


@given(st.text(alphabet='v=DMARC1;pnosd \t"\\\x00é'))
def test_a_record_is_parsed_or_is_none(text: str) -> None:
    policy = parse_policy(text)
    assert policy is None or policy.text == text

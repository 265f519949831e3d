"""All rules together, until when what they found holds, and the verdict as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Literal, TypeVar, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.config import DomainRules
from smtprelay.domains.checker import Checker
from smtprelay.domains.verdict import Finding, Record, Rule, Status, Verdict, from_json, to_json
from smtprelay.resolver import MX, TXT, Answer, Failed
from smtprelay.signing import Signer, SigningKey, generate_key, load_key
from tests.domains.support import EXPIRES_AT, Zone

T = TypeVar("T")
NOW = EXPIRES_AT - 300_000
SPF = "TXT v=spf1 include:spf.bestedm.org -all"
RIGHT = (SPF, "MX 10 mail.bestedm.org")


@cache
def key(domain: str = "example.com", selector: str = "relay1") -> SigningKey:
    return load_key(generate_key("ed25519"), domain, selector)


class Aged(Zone):
    """`Zone`, with answers at some names that are stale, or hold for another time; and it tells what is asked at once.

    :ivar stale: names.
    :ivar expiries: name → when its answers expire.
    """

    def __init__(self, records: dict[str, Sequence[str]]) -> None:
        super().__init__({"spf.bestedm.org": ["TXT v=spf1 -all"], **records})
        self.stale: set[str] = set()
        self.expiries: dict[str, int] = {}
        self.waiting = self.most_waiting = 0

    async def _aged(self, name: str, answer: Answer[T]) -> Answer[T]:
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        await asyncio.sleep(0)
        self.waiting -= 1
        if isinstance(answer, Failed):
            return answer
        return replace(answer, stale=name in self.stale, expires_at=self.expiries.get(name, EXPIRES_AT))

    async def txt(self, name: str) -> Answer[TXT]:
        return await self._aged(name, await super().txt(name))

    async def mx(self, name: str) -> Answer[MX]:
        return await self._aged(name, await super().mx(name))

    async def addresses(self, name: str, version: Literal[4, 6]) -> Answer[str]:
        return await self._aged(name, await super().addresses(name, version))


def checker(*keys: SigningKey, known: Sequence[str] = ("example.com",), **rules: object) -> Checker:
    return Checker(DomainRules.model_validate(rules), known, Signer(keys).keys_for)


def by_rule(verdict: Verdict) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        found.setdefault(finding.rule, []).append(finding)
    return found


async def test_a_domain_that_is_right_by_all_rules() -> None:
    zone = Aged(
        {
            "example.com": RIGHT,
            key().record_name: [f"TXT {key().record}"],
            "umail._domainkey.example.com": [f"TXT {key().record}"],
            "_dmarc.example.com": ["TXT v=DMARC1; p=none"],
        }
    )
    verdict = await checker(key()).check("example.com", zone, NOW)
    assert [finding.rule for finding in verdict.findings] == ["spf", "mx", "dkim", "platform_dkim", "dmarc"]
    assert {finding.status for finding in verdict.findings} == {Status.PASS}
    assert (verdict.domain, verdict.known, verdict.checked_at, verdict.expires_at) == (
        "example.com",
        True,
        NOW,
        EXPIRES_AT,
    )
    assert verdict.platform_status == 3


async def test_rules_are_looked_up_side_by_side() -> None:
    zone = Aged({"example.com": RIGHT})
    await checker(key()).check("example.com", zone, NOW)
    assert zone.most_waiting == 5


@pytest.mark.parametrize(
    ("known", "records", "status"),
    [
        (True, RIGHT, 3),
        (True, RIGHT[:1], 2),
        (True, RIGHT[1:], 2),
        (False, RIGHT, 1),
        (False, RIGHT[:1], 0),
        (False, [], 0),
    ],
)
async def test_the_platforms_own_figure(known: bool, records: Sequence[str], status: int) -> None:
    zone = Aged({"example.com": records})
    verdict = await checker(known=["example.com"] if known else []).check("example.com", zone, NOW)
    assert verdict.platform_status == status


async def test_what_fails_and_is_not_required_only_tells() -> None:
    verdict = await checker().check("other.example", Aged({"other.example": RIGHT}), NOW)
    assert not verdict.known
    assert verdict.failing(("spf", "mx")) == ()
    assert [finding.rule for finding in verdict.failing(get_args(Rule))] == ["dkim", "platform_dkim", "dmarc"]


async def test_every_key_is_looked_up() -> None:
    keys = [key(), key(selector="relay2")]
    zone = Aged({keys[1].record_name: [f"TXT {keys[1].record}"]})
    verdict = await checker(*keys).check("example.com", zone, NOW)
    assert [(f.selector, f.status) for f in by_rule(verdict)["dkim"]] == [
        ("relay1", Status.FAIL),
        ("relay2", Status.PASS),
    ]


async def test_a_parents_key_signs_and_aligns() -> None:
    zone = Aged({key().record_name: [f"TXT {key().record}"], "_dmarc.example.com": ["TXT v=DMARC1; p=none; adkim=s"]})
    found = by_rule(await checker(key()).check("mail.example.com", zone, NOW))
    assert [finding.status for finding in found["dkim"]] == [Status.PASS]
    assert "as example.com" in found["dmarc"][0].problem


async def test_a_domain_without_a_key() -> None:
    [finding] = by_rule(await checker().check("example.com", Aged({}), NOW))["dkim"]
    assert finding.status is Status.FAIL
    assert "smtprelay dkim keygen example.com" in finding.problem


async def test_where_an_alias_stands_nothing_can_be_published() -> None:
    alias: Sequence[str] = ["CNAME x.example.net"]
    names = ["example.com", key().record_name, "_dmarc.example.com"]
    targets: list[Sequence[str]] = [["A 192.0.2.1"], ["TXT other"], []]
    for target in targets:
        zone = Aged(dict.fromkeys(names, alias) | ({"x.example.net": target} if target else {}))
        found = by_rule(await checker(key()).check("example.com", zone, NOW))
        for rule, name in zip(("spf", "dkim", "dmarc"), names, strict=True):
            advice = "and an alias can have no records of its own: remove it first"
            assert found[rule][0].warnings == (f"{name} is an alias (CNAME) of x.example.net, {advice}",)
            assert "no such name" not in found[rule][0].problem


async def test_what_stands_there_may_be_longer_than_what_is_told() -> None:
    long, many = "v=spf1 " + "a " * 30_000, [f"TXT {n}" for n in range(5000)]
    zone = Aged({"example.com": [f"TXT {long}", f"TXT {long}"], key().record_name: many, "_dmarc.example.com": many})
    verdict = await checker(key()).check("example.com", zone, NOW)
    assert len(to_json(verdict)) < 100_000
    assert verdict.findings[0].found.startswith("v=spf1 a a a ")
    assert len(by_rule(verdict)["dkim"][0].remove) == 10


async def test_the_configured_names_are_looked_for() -> None:
    zone = Aged(
        {
            "example.com": ["TXT v=spf1 include:spf.test -all", "MX 10 mx.test"],
            "spf.test": ["TXT v=spf1 -all"],
            "other._domainkey.example.com": [f"TXT {key().record}"],
        }
    )
    rules = {"spf_include": "spf.test", "mx": "mx.test", "dkim_selector": "other", "platform_dkim": key().record}
    verdict = await checker(**rules).check("example.com", zone, NOW)
    assert verdict.failing(("spf", "mx", "platform_dkim")) == ()


async def test_what_passes_by_a_stale_answer_is_stale_and_what_fails_has_failed() -> None:
    zone = Aged({"example.com": ["TXT v=spf1 -all", "MX 10 mail.bestedm.org"]})
    zone.stale = {"example.com"}
    found = by_rule(await checker().check("example.com", zone, NOW))
    assert found["spf"][0].status is Status.FAIL
    assert found["mx"][0].status is Status.STALE
    assert found["mx"][0].passes


@pytest.mark.parametrize("name", ["_dmarc.example.com", "_dmarc.com"])
async def test_a_stale_answer_is_held_against_its_own_rule_only(name: str) -> None:
    zone = Aged({"example.com": RIGHT, "_dmarc.example.com": ["TXT v=DMARC1; p=none"]})
    zone.stale = {name}
    found = by_rule(await checker().check("example.com", zone, NOW))
    assert [found[rule][0].status for rule in ("spf", "mx", "dmarc")] == [Status.PASS, Status.PASS, Status.STALE]


@pytest.mark.parametrize("name", ["example.com", "umail._domainkey.example.com", "_dmarc.example.com", "_dmarc.com"])
async def test_it_holds_until_its_first_answer_expires(name: str) -> None:
    zone = Aged({"example.com": RIGHT})
    zone.expiries = {name: EXPIRES_AT - 7}
    assert (await checker().check("example.com", zone, NOW)).expires_at == EXPIRES_AT - 7


async def test_where_dns_fails_it_holds_for_no_time() -> None:
    zone = Aged({"example.com": RIGHT, "_dmarc.example.com": ["FAIL"]})
    verdict = await checker().check("example.com", zone, NOW)
    assert [finding.rule for finding in verdict.unknown(get_args(Rule))] == ["dmarc"]
    assert verdict.expires_at == NOW
    assert verdict.platform_status == 3


texts = st.text(st.characters(exclude_categories=["Cs"]))
records = st.builds(Record, texts, st.sampled_from(["TXT", "MX"]), texts)
findings = st.builds(
    Finding,
    st.sampled_from(get_args(Rule)),
    st.sampled_from(Status),
    texts,
    texts,
    st.lists(records, max_size=2).map(tuple),
    st.lists(records, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
    texts,
    texts,
)
times = st.integers(0, 2**63 - 1)


@given(st.builds(Verdict, texts, st.booleans(), times, times, st.lists(findings, max_size=4).map(tuple)))
def test_a_verdict_survives_json(verdict: Verdict) -> None:
    assert from_json(to_json(verdict)) == verdict


@pytest.mark.parametrize("value", ["x", "null", '"x"'])
def test_what_another_version_has_written_is_no_verdict(value: str) -> None:
    with pytest.raises(ValueError, match="Verdict"):
        from_json(to_json(Verdict("example.com", True, 0, 0, ())).replace("0", value))

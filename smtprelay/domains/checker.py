"""All rules for one domain, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from smtprelay.config import DomainRules
from smtprelay.domains.dkim import check_key, check_platform_key
from smtprelay.domains.dmarc import check_dmarc
from smtprelay.domains.mx import check_mx
from smtprelay.domains.spf.rule import check_spf
from smtprelay.domains.verdict import Finding, Status, Verdict
from smtprelay.resolver import MX, TXT, Absent, Answer, Failed, Found, Lookup
from smtprelay.signing import SigningKey

T = TypeVar("T")
Check = Callable[[Lookup], Awaitable[Finding]]

_NEVER = 2**63 - 1  # fits the spool's integers


class Checker:
    """The domain rules.

    :param known: the domains of `[[domains]]`.
    :param keys: the keys that sign mail from a domain: its own, or those of a domain above.
    """

    def __init__(self, rules: DomainRules, known: Collection[str], keys: Callable[[str], Sequence[SigningKey]]) -> None:
        self._rules = rules
        self._known = known
        self._keys = keys

    async def check(self, domain: str, lookup: Lookup, now: int) -> Verdict:
        """How a domain stands by all rules, the required ones and the others.

        :param domain: as A-labels in lower case, without a trailing dot.
        :param now: Unix time in milliseconds.
        """
        judged = await asyncio.gather(*(_judge(check, lookup, now) for check in self._checks(domain)))
        findings, expiries = zip(*judged, strict=True)
        return Verdict(domain, domain in self._known, now, min(expiries), findings)

    def _checks(self, domain: str) -> list[Check]:
        rules, keys = self._rules, self._keys(domain)
        signing_domain = keys[0].domain if keys else ""
        return [
            lambda lookup: check_spf(lookup, domain, rules.spf_include),
            lambda lookup: check_mx(lookup, domain, rules.mx),
            *(_check_of(key) for key in keys),
            *([] if keys else [lambda _lookup: _without_key(domain)]),
            lambda lookup: check_platform_key(lookup, domain, rules.dkim_selector, rules.platform_dkim),
            lambda lookup: check_dmarc(lookup, domain, signing_domain),
        ]


def _check_of(key: SigningKey) -> Check:
    return lambda lookup: check_key(lookup, key)


async def _without_key(domain: str) -> Finding:
    problem = f"no key of ours signs mail from {domain}: make one with 'smtprelay dkim keygen {domain}'"
    return Finding("dkim", Status.FAIL, problem=problem, code="7.20")


async def _judge(check: Check, lookup: Lookup, now: int) -> tuple[Finding, int]:
    """A rule's finding, and until when it holds."""
    recorder = _Recorder(lookup)
    finding = (await check(recorder)).bounded()
    if finding.status is Status.PASS and recorder.stale:
        finding = replace(finding, status=Status.STALE)
    if finding.status is Status.TEMPORARY:
        return finding, now
    obstacles = [recorder.aliases[record.name] for record in finding.publish if record.name in recorder.aliases]
    return replace(finding, warnings=(*finding.warnings, *obstacles)), recorder.expires_at


def _canonical_name(answer: Found[TXT] | Absent) -> str:
    return answer.canonical_name if isinstance(answer, Found) else answer.alias_of


class _Recorder:
    """A `Lookup` that remembers of its answers when the first one expires, whether one was stale, and what is an alias.

    :ivar aliases: name → why no TXT record can be published there, for a person; MX has its own sentence.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.expires_at = _NEVER
        self.stale = False
        self.aliases: dict[str, str] = {}

    def _note(self, answer: Answer[T]) -> Answer[T]:
        if not isinstance(answer, Failed):
            self.expires_at = min(self.expires_at, answer.expires_at)
            self.stale |= answer.stale
        return answer

    async def txt(self, name: str) -> Answer[TXT]:
        answer = await self._lookup.txt(name)
        canonical = "" if isinstance(answer, Failed) else _canonical_name(answer)
        if canonical not in ("", name):  # RFC 2181 §10.1
            advice = "and an alias can have no records of its own: remove it first"
            self.aliases[name] = f"{name} is an alias (CNAME) of {canonical}, {advice}"
        return self._note(answer)

    async def mx(self, name: str) -> Answer[MX]:
        return self._note(await self._lookup.mx(name))

    async def addresses(self, name: str, version: Literal[4, 6]) -> Answer[str]:
        return self._note(await self._lookup.addresses(name, version))

    async def ptr(self, address: str) -> Answer[str]:
        return self._note(await self._lookup.ptr(address))

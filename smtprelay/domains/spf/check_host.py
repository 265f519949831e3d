"""RFC 7208's check_host, with one hook: a mechanism that matches without a client.

Whether mail of a platform will pass can be judged before there is any, by the domain's DNS alone: the mechanism
``include:<the platform's domain>`` takes the place of the client's address.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from smtprelay.domains.spf.macros import (
    MacroString,
    expand,
    expand_name,
    fold,
    is_name,
    known_without_client,
    parse_explanation,
    uses,
)
from smtprelay.domains.spf.questions import Broken, IPAddress, Questions, Result
from smtprelay.domains.spf.record import Mechanism, Modifier, Qualifier, SPFRecord
from smtprelay.domains.txt import shorten
from smtprelay.resolver import Lookup

TIMEOUT = 20.0  # seconds; RFC 7208 §4.6.4

_RESULTS = {
    Qualifier.PASS: Result.PASS,
    Qualifier.FAIL: Result.FAIL,
    Qualifier.SOFTFAIL: Result.SOFTFAIL,
    Qualifier.NEUTRAL: Result.NEUTRAL,
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What check_host returned, and what happened.

    :param matched: the terms that led to the result, as published: the record's own first, then that of the record
        which it includes or redirects to, and so on.
    :param authorised: the last of them is the hook's.
    :param problem: why it is an error, or that the authorised tree breaks a limit by itself; for a person, without a
        full stop.
    :param lookups: terms that made DNS be asked, up to the result (§4.6.4); `void_lookups`: questions without an
        answer.
    :param explanation: what the domain has to say about a fail (§6.2); ``""`` for nothing.
    """

    result: Result
    matched: tuple[str, ...] = ()
    authorised: bool = False
    problem: str = ""
    lookups: int = 0
    void_lookups: int = 0
    explanation: str = ""


async def check_host(
    lookup: Lookup,
    domain: str,
    ip: IPAddress | None = None,
    sender: str = "",
    helo: str = "",
    *,
    receiver: str = "unknown",
    now: int = 0,
    authorised: str = "",
) -> Evaluation:
    """RFC 7208 §4. Nothing is raised.

    :param domain: whose record is evaluated, as A-labels.
    :param ip: the client's; None: there is none, and what compares addresses cannot match, but its look-ups count.
    :param sender: the reverse-path; without a local-part it is the postmaster's.
    :param receiver: the host that asks, for explanations.
    :param now: Unix time in milliseconds, for explanations.
    :param authorised: the domain whose `include` matches, without a client.
    """
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped  # RFC 7208 §5
    questions = Questions(lookup, ip)
    walk = _Walk(questions, _values(domain, ip, sender, helo), fold(authorised))
    try:
        async with asyncio.timeout(TIMEOUT):
            judged = await walk.evaluate(domain)
            explanation = await walk.explain(judged, receiver, now)
    except Broken as broken:
        judged, explanation, problem = _Judged(broken.result), "", str(broken)
    except TimeoutError:
        judged, explanation = _Judged(Result.TEMPERROR), ""
        problem = f"DNS took more than {TIMEOUT:.0f} seconds for the SPF record of {domain} and what it leads to"
    else:
        problem = walk.excess
    return Evaluation(
        judged.result,
        judged.matched,
        judged.authorised,
        problem,
        questions.lookups,
        questions.void_lookups,
        explanation,
    )


def _values(domain: str, ip: IPAddress | None, sender: str, helo: str) -> dict[str, str]:
    """The values of macros (RFC 7208 §7.2), for the first record."""
    local_part, _, sender_domain = sender.rpartition("@")
    sender_domain = sender_domain or domain
    known = known_without_client(sender_domain, domain)
    if ip is None:
        return known
    local_part = local_part or "postmaster"  # RFC 7208 §4.3
    return known | {
        "s": f"{local_part}@{sender_domain}",
        "l": local_part,
        "i": str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", "").upper()),
        "v": "in-addr" if ip.version == 4 else "ip6",
        "h": helo,
    }


@dataclass(frozen=True, slots=True)
class _Judged:
    """What one record comes to.

    :param record: that in which, after redirects, the term matched; `domain`: its name.
    """

    result: Result
    matched: tuple[str, ...] = ()
    authorised: bool = False
    record: SPFRecord | None = None
    domain: str = ""


_MATCH = _Judged(Result.PASS)
_HOOK = _Judged(Result.PASS, authorised=True)


@dataclass(slots=True)
class _Walk:
    """One evaluation, from record to record. All methods raise `Broken`.

    :ivar excess: the limit that the authorised tree breaks by itself, for a person.
    """

    questions: Questions
    values: Mapping[str, str]
    authorised: str
    excess: str = ""

    async def evaluate(self, domain: str) -> _Judged:
        """check_host of one record, and of those that it leads to. Loops end at the limits."""
        record = await self.questions.record(domain)
        if record is None:
            return _Judged(Result.NONE)
        if record.bad:  # RFC 7208 §4.6: anywhere in the record
            bad = record.bad[0]
            raise Broken(f"receivers cannot read '{shorten(bad.text)}' in the SPF record of {domain}: {bad.problem}")
        for mechanism in record.mechanisms:
            match = await self._match(mechanism, domain)
            if match:
                matched = (mechanism.text, *match.matched)
                return _Judged(_RESULTS[mechanism.qualifier], matched, match.authorised, record, domain)
        redirect = record.modifier("redirect")
        return await self._redirect(redirect, domain) if redirect else _Judged(Result.NEUTRAL)  # RFC 7208 §4.7

    async def _redirect(self, redirect: Modifier, domain: str) -> _Judged:
        """RFC 7208 §6.1."""
        self.questions.count(redirect.text)
        target = await self._name(redirect.target, domain)
        if target is None:
            return _Judged(Result.NEUTRAL)
        judged = await self._lead(redirect, target, domain)
        matched = (redirect.text, *judged.matched)
        return _Judged(judged.result, matched, judged.authorised, judged.record, judged.domain)

    async def _lead(self, term: Mechanism | Modifier, target: str, domain: str) -> _Judged:
        """To the record of another name."""
        judged = await self.evaluate(target)
        if judged.result is Result.NONE:
            problem = f"'{shorten(term.text)}' in the SPF record of {domain} leads to a name without SPF record"
            raise Broken(f"{problem}, and receivers give up there")
        return judged

    async def _match(self, mechanism: Mechanism, domain: str) -> _Judged | None:
        """RFC 7208 §5; None where it does not match."""
        if mechanism.name == "all":
            return _MATCH
        ip = self.questions.ip
        if mechanism.network is not None:
            return _MATCH if ip is not None and ip in mechanism.network else None
        self.questions.count(mechanism.text)
        target = await self._name(mechanism.target, domain) if mechanism.target else domain
        if target is None:  # it depends on a client that is not there
            return None
        if mechanism.name == "include":
            return await self._include(mechanism, target, domain)
        return _MATCH if await self._has_client(mechanism, target) else None

    async def _include(self, mechanism: Mechanism, target: str, domain: str) -> _Judged | None:
        """RFC 7208 §5.2."""
        if self.authorised and fold(target) == self.authorised:
            await self._spend(target)
            return _HOOK
        judged = await self._lead(mechanism, target, domain)
        return judged if judged.result is Result.PASS else None

    async def _spend(self, target: str) -> None:
        """The look-ups of the authorised tree: receivers make them before they find a client's address in it. Where it
        breaks a limit by itself, no record of who includes it could mend that."""
        alone = self.questions.lookups == 1
        try:
            await self.evaluate(target)
        except Broken as broken:
            if broken.limit and not alone:
                raise
            self.excess = str(broken) if broken.limit else ""

    async def _has_client(self, mechanism: Mechanism, target: str) -> bool:
        """Whether a mechanism that asks for addresses or their names matches."""
        ip = self.questions.ip
        if mechanism.name == "ptr":
            return ip is not None and _is_below(fold(target), await self.questions.client_names())
        if not is_name(target):
            return False
        if mechanism.name == "exists":  # RFC 7208 §5.7: A records, whatever the client's address
            return bool(await self.questions.addresses(target, 4)) and ip is not None
        hosts = await self.questions.exchanges(target) if mechanism.name == "mx" else (target,)
        for host in hosts:
            if await self._holds(host, mechanism):
                return True
        return False

    async def _holds(self, host: str, mechanism: Mechanism) -> bool:
        """Whether the client's address is one of the host's, or in its network (RFC 7208 §5.3, §5.4)."""
        ip = self.questions.ip
        if ip is None:
            await self.questions.addresses_without_client(host)
            return False
        shift = 32 - mechanism.prefix4 if ip.version == 4 else 128 - mechanism.prefix6
        addresses = await self.questions.addresses(host, ip.version)
        return any(int(address) >> shift == int(ip) >> shift for address in addresses)

    async def _name(self, string: MacroString, domain: str) -> str | None:
        """The name that a term means; None where it depends on a client that is not there."""
        return expand_name(string, await self._values_for(string, domain))

    async def _values_for(self, string: MacroString, domain: str) -> dict[str, str]:
        values = {**self.values, "d": domain}
        if uses(string, "p") and self.questions.ip is not None:
            values["p"] = _best_name(await self.questions.client_names(), fold(domain))
        return values

    async def explain(self, judged: _Judged, receiver: str, now: int) -> str:
        """The explanation of a fail; ``""`` where there is none, or whatever hinders it (RFC 7208 §6.2)."""
        exp = judged.record.modifier("exp") if judged.record and judged.result is Result.FAIL else None
        if exp is None or self.questions.ip is None:
            return ""
        try:
            name = await self._name(exp.target, judged.domain)
            text = await self.questions.explanation(name or "")
            string = parse_explanation(text.decode("ascii"))
            values = await self._values_for(string, judged.domain)
        except (Broken, ValueError):  # UnicodeDecodeError is one
            return ""
        more = {"c": str(self.questions.ip), "r": receiver, "t": str(now // 1000)}
        return expand(string, values | more) or ""


def _is_below(suffix: str, names: tuple[str, ...]) -> bool:
    """RFC 7208 §5.5."""
    return any(name == suffix or name.endswith(f".{suffix}") for name in names)


def _best_name(names: tuple[str, ...], domain: str) -> str:
    """The value of the macro p (RFC 7208 §7.3)."""
    below = [name for name in names if _is_below(domain, (name,))]
    return min(below, key=len) if below else next(iter(names), "unknown")

"""DMARC: what a domain's owner asks receivers to do, and whether what we sign counts for it (RFC 9989)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from smtprelay.domains.txt import listed, shown, split_tags, text_of
from smtprelay.domains.verdict import Finding, Record, Status
from smtprelay.resolver import Absent, Failed, Found, Lookup

_CODE = "7.26"  # RFC 7372 §3.3: multiple authentication checks failed
_LABELS = 7  # of the second name that is asked for, at most: eight queries in all, RFC 9989 §4.10
_POLICIES = ("none", "quarantine", "reject")
_VERSION = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")  # RFC 9989 §4.8
_LEAST = "v=DMARC1; p=none"


@dataclass(frozen=True, slots=True)
class Policy:
    """A DMARC record.

    :param text: as it is published.
    """

    text: str
    tags: dict[str, str]

    def value(self, tag: str) -> str:
        return self.tags.get(tag, "").lower()

    @property
    def unusable(self) -> str:
        """Why receivers ignore it, as a clause; ``""`` where they do not (RFC 9989 §4.7). Without a `p` they act as if
        it were `none`; a misspelt one they forgive only where they can report it."""
        bad = [f"{tag}={self.tags[tag]}" for tag in ("p", "sp", "np") if tag in self.tags and not self._good(tag)]
        if not bad or "mailto:" in self.value("rua"):
            return ""
        return f"asks for what no receiver knows ({shown(bad[0])}): it has to be none, quarantine or reject"

    def _good(self, tag: str) -> bool:
        return self.value(tag) in _POLICIES

    def applies(self, inherited: bool, exists: bool) -> str:
        """What it asks receivers to do with mail that fails: none, quarantine or reject.

        :param inherited: it is that of a domain above.
        :param exists: the domain in question is in DNS.
        """
        tags = ["sp", "p"] if inherited else ["p"]
        if not exists:
            tags.insert(0, "np")
        tag = next((tag for tag in tags if tag in self.tags), "")
        return self.value(tag) if self._good(tag) else "none"


def parse_policy(text: str) -> Policy | None:
    """A DMARC record from a TXT record's text; None where it is none. Tags that make no sense are left out."""
    if not _VERSION.match(text):
        return None
    tags: dict[str, str] = {}
    for name, value in split_tags(text):
        tags.setdefault(name.lower(), value)
    return Policy(text, tags)


def targets(domain: str) -> list[str]:
    """The names whose records the tree walk asks for, in order (RFC 9989 §4.10)."""
    labels = domain.split(".")
    return [domain, *(".".join(labels[-count:]) for count in range(min(len(labels) - 1, _LABELS), 0, -1))]


@dataclass(slots=True)
class Walk:
    """What the tree walk from a domain found.

    :param policies: the records, by the domain they are for; the longest name first.
    :param doubled: where there are several, which count as none.
    :param strangers: what stands at the domain's own name and is no DMARC record.
    :param failure: why DNS did not tell everything; ``""`` where it did.
    """

    domain: str
    policies: dict[str, Policy] = field(default_factory=dict)
    doubled: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()
    failure: str = ""

    @property
    def organizational_domain(self) -> str:
        """The one with the fewest labels that has a record, or, where that is a public suffix, the one below
        (RFC 9989 §4.10.2)."""
        last = next(reversed(self.policies), "")
        if not last:
            return self.domain
        labels = last.count(".") + 1 + (self.policies[last].value("psd") == "y")
        return ".".join(self.domain.split(".")[-labels:])

    @property
    def source(self) -> str | None:
        """The domain whose record applies (RFC 9989 §4.10.1): itself, its organisation, its public suffix; None where
        there is no record."""
        last = next(reversed(self.policies), None)  # the public suffix, where there is a record of it
        return next((d for d in (self.domain, self.organizational_domain, last) if d in self.policies), None)


async def walk(lookup: Lookup, domain: str) -> Walk:
    """Ask for the DMARC records of a domain and of those above it."""
    found = Walk(domain)
    for target in targets(domain):
        answer = await lookup.txt(f"_dmarc.{target}")
        if isinstance(answer, Failed):
            found.failure = f"DNS does not answer: {answer.reason}"
            break
        texts = [text_of(record) for record in answer.records] if isinstance(answer, Found) else []
        policies = [policy for policy in map(parse_policy, texts) if policy]
        if target == domain:
            found.strangers = tuple(text for text in texts if not parse_policy(text))
        if len(policies) > 1:
            found.doubled[target] = tuple(policy.text for policy in policies)
        elif policies:
            found.policies[target] = policies[0]
            if policies[0].value("psd") in ("y", "n"):
                break
    return found


async def check_dmarc(lookup: Lookup, domain: str, signing_domain: str) -> Finding:
    """Whether a domain has a DMARC record, and whether our signature counts for it.

    :param domain: of the ``From:`` field, as A-labels in lower case.
    :param signing_domain: ``d=`` of what we sign with; ``""`` where we do not sign.
    """
    from_walk = await walk(lookup, domain)
    signer = signing_domain or domain
    if from_walk.failure and (domain not in from_walk.policies or signer != domain):
        return _finding(Status.TEMPORARY, problem=from_walk.failure)
    source = from_walk.source
    if source is None:
        return _missing(from_walk)
    policy = from_walk.policies[source]
    exists = source == domain or "np" not in policy.tags or await _exists(lookup, domain)
    asked = policy.applies(source != domain, exists)
    where = "" if source == domain else f" (at _dmarc.{source}; for {domain}: {asked})"
    found = f"{shown(policy.text)}{where}"
    if policy.unusable:
        problem = f"the DMARC record at _dmarc.{source} {policy.unusable}"
        remove = (Record(f"_dmarc.{source}", "TXT", shown(policy.text)),) if source == domain else ()
        return _finding(Status.FAIL, found, problem, (dmarc_record(domain),), remove)
    if signer != domain:
        if policy.value("adkim") == "s":
            problem = f"we sign mail from {domain} as {signer}, and its DMARC record wants the very same name (adkim=s)"
            return _finding(Status.FAIL, found, f"{problem}: {_key_remedy(domain, asked)}")
        sign_walk = await walk(lookup, signer)
        if sign_walk.failure:
            return _finding(Status.TEMPORARY, found, sign_walk.failure)
        if sign_walk.organizational_domain != from_walk.organizational_domain:
            problem = f"we sign mail from {domain} as {signer}, which by DMARC's rules is another organisation"
            return _finding(Status.FAIL, found, f"{problem}: {_key_remedy(domain, asked)}")
    return _finding(Status.PASS, found, warnings=tuple(_warnings(from_walk, policy, source)))


def _missing(found: Walk) -> Finding:
    domain, name = found.domain, f"_dmarc.{found.domain}"
    if found.doubled:
        at, texts = next(iter(found.doubled.items()))
        publish, *remove = (Record(f"_dmarc.{at}", "TXT", shown(text)) for text in texts)
        problem = f"{_doubled(at, len(texts))}: keep one"
        return _finding(Status.FAIL, listed(texts), problem, (publish,), tuple(remove))
    if found.strangers:
        problem = f"what stands at {name} is no DMARC record: it has to begin with v=DMARC1 and a semicolon"
        remove = [Record(name, "TXT", shown(text)) for text in found.strangers]
        return _finding(Status.FAIL, listed(found.strangers), problem, (dmarc_record(domain),), tuple(remove))
    problem = (
        f"{domain} has no DMARC record, nor has a domain above it: since 2024 the big receivers ask for one of "
        "everybody who sends in bulk"
    )
    return _finding(Status.FAIL, problem=problem, publish=(dmarc_record(domain),))


def _warnings(found: Walk, policy: Policy, source: str) -> list[str]:
    warnings = [_doubled(domain, len(texts)) for domain, texts in found.doubled.items()]
    if "p" not in policy.tags:
        warnings.append(f"the DMARC record at _dmarc.{source} has no p=: older receivers ignore it")
    return warnings


def _doubled(domain: str, count: int) -> str:
    return f"{count} DMARC records stand at _dmarc.{domain}, which receivers take for none"


def _key_remedy(domain: str, asked: str) -> str:
    key = f"make a key for it with 'smtprelay dkim keygen {domain}'"
    return key if asked == "none" else f"{key}, because receivers are asked to {asked} what fails"


async def _exists(lookup: Lookup, domain: str) -> bool:
    answer = await lookup.txt(domain)  # a name that does not exist has no type of records (RFC 8020)
    return not isinstance(answer, Absent) or answer.name_exists


def dmarc_record(domain: str) -> Record:
    """The least that a domain without one has to publish."""
    return Record(f"_dmarc.{domain}", "TXT", _LEAST)


def _finding(
    status: Status,
    found: str = "",
    problem: str = "",
    publish: tuple[Record, ...] = (),
    remove: tuple[Record, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Finding:
    return Finding("dmarc", status, found, problem, publish, remove, warnings, code=_CODE)

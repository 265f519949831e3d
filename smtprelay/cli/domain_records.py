"""All records that should stand in DNS for a domain, as lines of a zone file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from smtprelay.cli import records
from smtprelay.cli.domain_text import prose
from smtprelay.config import DomainRules
from smtprelay.domains.dmarc import dmarc_record
from smtprelay.domains.mx import mx_record
from smtprelay.domains.spf.merge import new_record
from smtprelay.domains.txt import shown, text_of
from smtprelay.domains.verdict import Finding, Record, Status, Verdict, rule_name
from smtprelay.resolver import Found, Lookup
from smtprelay.signing import SigningKey

State = Literal["published", "missing", "unknown"]


@dataclass(frozen=True, slots=True)
class Line:
    """What one rule wants in DNS.

    :param title: the rule's name, for a person.
    :param records: may be empty: then the note says why.
    :param remove: what goes when they are published.
    :param note: a clause; ``""`` for nothing to say.
    """

    title: str
    state: State
    records: tuple[Record, ...]
    remove: tuple[Record, ...] = ()
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "rule": self.title,
            "state": self.state,
            "records": [records.as_dict(record) for record in self.records],
            "remove": [records.as_dict(record) for record in self.remove],
            "note": self.note,
        }


async def records_of(verdict: Verdict, rules: DomainRules, keys: Sequence[SigningKey], lookup: Lookup) -> list[Line]:
    """What all rules want.

    :param keys: those that sign mail from the domain.
    :param lookup: the one that the verdict is from.
    """
    by_selector = {key.selector: key for key in keys}
    return [
        await _line(finding, verdict.domain, rules, by_selector.get(finding.selector), lookup)
        for finding in verdict.findings
    ]


async def _line(finding: Finding, domain: str, rules: DomainRules, key: SigningKey | None, lookup: Lookup) -> Line:
    title = rule_name(finding, rules)
    if finding.status is Status.FAIL:
        return Line(
            title, "missing", finding.publish, finding.remove, ". Mind: ".join((finding.problem, *finding.warnings))
        )
    there = await _published(finding, domain, key, lookup)
    if finding.passes:
        return Line(title, "published", there, finding.remove, "" if there else finding.found)
    if there:
        return Line(title, "unknown", there, note=f"{finding.problem}; this is what stands there now")
    note = f"{finding.problem}; this is for a domain that has no such record yet"
    return Line(title, "unknown", _default(finding, domain, rules, key), note=note)


async def _published(finding: Finding, domain: str, key: SigningKey | None, lookup: Lookup) -> tuple[Record, ...]:
    """The records by which a rule passes; none where they stand at a domain above."""
    if finding.rule == "mx":
        mx = await lookup.mx(domain)
        there = mx.records if isinstance(mx, Found) else ()
        return tuple(mx_record(domain, record.exchange, record.preference) for record in there)
    name, beginning = {
        "spf": (domain, "v=spf1"),
        "dkim": (key.record_name if key else "", ""),
        "platform_dkim": (f"{finding.selector}._domainkey.{domain}", ""),
        "dmarc": (f"_dmarc.{domain}", "v=dmarc1"),
    }[finding.rule]
    answer = await lookup.txt(name)
    texts = [text_of(record) for record in answer.records] if isinstance(answer, Found) else []
    return tuple(Record(name, "TXT", shown(text)) for text in texts if text.lower().startswith(beginning))


def _default(finding: Finding, domain: str, rules: DomainRules, key: SigningKey | None) -> tuple[Record, ...]:
    """The record of a domain that has none."""
    match finding.rule:
        case "spf":
            return (Record(domain, "TXT", new_record(rules.spf_include)),)
        case "mx":
            return (mx_record(domain, rules.mx),)
        case "dkim" if key:
            return (Record(key.record_name, "TXT", key.record),)
        case "dmarc":
            return (dmarc_record(domain),)
    return ()


_STATES: dict[State, str] = {
    "published": "published already",
    "missing": "to be published",
    "unknown": "DNS failed",
}


def as_zone(lines: Sequence[Line]) -> str:
    """A zone file, with comments."""
    return "\n".join(text for line in lines for text in (*_as_zone(line), "")).rstrip()


def _as_zone(line: Line) -> Iterator[str]:
    state = _STATES[line.state] if line.records or line.state != "missing" else "still to be done"
    yield from _comment(f"{line.title}: {state}")
    if line.note:
        yield from _comment(line.note)
    for record in line.remove:
        yield f"; {'it takes the place of' if line.records else 'to be removed'}: {record.zone_line}"
    for record in line.records:
        yield record.zone_line


def _comment(text: str) -> list[str]:
    return prose(text, "; ").splitlines()

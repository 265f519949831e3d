"""What is known of a sending domain: values, for the door, the command line and the spool alike."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from pydantic import TypeAdapter

from smtprelay.config import DomainRules

Rule = Literal["spf", "mx", "dkim", "platform_dkim", "dmarc"]

MAX_SHOWN = 9000  # characters of what stands there; receivers read 8192 octets of an SPF record
MAX_REMOVED = 10  # records
MAX_STRING = 255  # octets of a TXT record's string, RFC 1035 §3.3

_NAMES = {"spf": "SPF", "mx": "MX", "dkim": "DKIM", "platform_dkim": "DKIM", "dmarc": "DMARC"}


class Status(StrEnum):
    """How a domain stands by one rule."""

    PASS = "pass"
    FAIL = "fail"
    TEMPORARY = "temporary"  # DNS fails, and nothing is known from before
    STALE = "stale"  # DNS fails; it passed when DNS last answered


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record, as it is to be published.

    :param name: without a trailing dot.
    :param value: of a TXT record the text, as one; of an MX record preference and host: ``10 mail.example.com``.
    """

    name: str
    type: Literal["TXT", "MX"]
    value: str

    @property
    def strings(self) -> tuple[str, ...]:
        """A TXT record's text in strings of 255 octets, which receivers join without a space (RFC 7208 §3.3, RFC 6376
        §3.6.2.2)."""
        return tuple(self.value[at : at + MAX_STRING] for at in range(0, len(self.value), MAX_STRING)) or ("",)

    @property
    def zone_line(self) -> str:
        """The record as a line of a zone file (RFC 1035 §5.1)."""
        return " ".join(self.zone_lines)

    @property
    def zone_lines(self) -> tuple[str, ...]:
        """The same with each of several strings on a line, so that nobody has to break one."""
        if self.type == "MX":
            return (f"{self.name}. IN MX {self.value}.",)
        quoted = ['"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"' for s in self.strings]
        beginning = f"{self.name}. IN TXT"
        return (f"{beginning} {quoted[0]}",) if len(quoted) == 1 else (f"{beginning} (", *quoted, ")")


@dataclass(frozen=True, slots=True)
class Finding:
    """How a domain stands by one rule.

    :param found: what is published there, for a person; ``""`` for nothing.
    :param problem: what is wrong, as one sentence without a full stop; ``""`` where it passes.
    :param publish: the records that make it pass.
    :param remove: records that have to go when those are published.
    :param warnings: what is not wrong yet, each one sentence without a full stop.
    :param selector: of DKIM findings.
    :param code: subject and detail of the enhanced status code for a refusal (RFC 3463, RFC 7372).
    """

    rule: Rule
    status: Status
    found: str = ""
    problem: str = ""
    publish: tuple[Record, ...] = ()
    remove: tuple[Record, ...] = ()
    warnings: tuple[str, ...] = ()
    selector: str = ""
    code: str = "7.1"

    @property
    def passes(self) -> bool:
        return self.status in (Status.PASS, Status.STALE)

    def bounded(self) -> Finding:
        """The same without what is too long for a person, a reply and the spool: a name may have 64 KiB of records."""
        remove = tuple(replace(record, value=_cut(record.value)) for record in self.remove[:MAX_REMOVED])
        return replace(self, found=_cut(self.found), remove=remove)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a domain stands by all rules.

    :param domain: as A-labels in lower case.
    :param known: it is configured in `[[domains]]`.
    :param checked_at: when DNS was asked; Unix time in milliseconds.
    :param expires_at: until when the answers hold; Unix time in milliseconds.
    """

    domain: str
    known: bool
    checked_at: int
    expires_at: int
    findings: tuple[Finding, ...]

    def failing(self, required: Collection[str]) -> tuple[Finding, ...]:
        """What fails of the rules that are required."""
        return tuple(f for f in self.findings if f.rule in required and f.status is Status.FAIL)

    def unknown(self, required: Collection[str]) -> tuple[Finding, ...]:
        """The required rules of which DNS tells nothing."""
        return tuple(f for f in self.findings if f.rule in required and f.status is Status.TEMPORARY)

    @property
    def platform_status(self) -> int:
        """The platform's own figure: 3 known and verified, 2 known and not verified, 1 unknown but verified, 0 neither.
        SPF and MX are what it verifies; known is what is known here."""
        verified = all(f.passes for f in self.findings if f.rule in ("spf", "mx"))
        return 2 * self.known + verified


def rule_name(finding: Finding, rules: DomainRules) -> str:
    """``SPF``, ``DKIM relay1``, ``DKIM umail (the platform's)``."""
    if finding.rule == "platform_dkim":
        return f"DKIM {rules.dkim_selector} (the platform's)"
    return f"{_NAMES[finding.rule]} {finding.selector}".rstrip()


_VERDICT = TypeAdapter(Verdict)


def to_json(verdict: Verdict) -> str:
    """As the spool keeps it."""
    return _VERDICT.dump_json(verdict).decode()


def from_json(text: str) -> Verdict:
    """What `to_json` made. :raises ValueError: it did not, or another version's."""
    return _VERDICT.validate_json(text)

"""How a domain stands, for a person who has a DNS provider's web form before them, and as JSON."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import typer

from smtprelay.cli import records
from smtprelay.config import DomainRules
from smtprelay.domains.verdict import Finding, Record, Status, Verdict, rule_name
from smtprelay.words import capitalised

WIDTH = 100  # columns of prose; records are never broken
_INDENT = " " * 9
_COMMAND = re.compile(r"'smtprelay [^']*'")
_NO_BREAK = "\u00a0"

_PLATFORM = (
    "not listed in [[domains]], and not verified",
    "verified, but not listed in [[domains]]",
    "listed in [[domains]], but not verified",
    "listed in [[domains]], and verified",
)
_ABOUT_FORMS = (
    "Some forms add the domain to the name by themselves: there, leave it out of the name; where nothing is left of "
    "it, type @."
)


def hints(verdicts: Sequence[Verdict], required: Collection[str], option: str, *, watching: bool) -> Iterator[str]:
    """What helps with what is to be published.

    :param option: that names the configuration, with a space before it.
    """
    if any(finding.publish for verdict in verdicts for finding in verdict.findings):
        yield prose(_ABOUT_FORMS)
    failing = [verdict.domain for verdict in verdicts if verdict.failing(required)]
    if failing and not watching:
        yield f"To wait until DNS has it: smtprelay domain check --watch {' '.join(failing)}{option}"
    elif watching and any(verdict.failing(required) or verdict.unknown(required) for verdict in verdicts):
        yield "DNS is asked again and again until all that is required passes; Ctrl-C ends it."


def prose(text: str, indent: str = "") -> str:
    """Sentences on lines that fit a terminal; a command in them stays on one."""
    unbroken = _COMMAND.sub(lambda command: command[0].replace(" ", _NO_BREAK), text)
    filled = textwrap.fill(
        unbroken, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return filled.replace(_NO_BREAK, " ")


def as_text(verdict: Verdict, rules: DomainRules) -> str:
    """All findings, and under each what to type where."""
    lines = [_headline(verdict, rules), ""]
    for finding in verdict.findings:
        lines += _finding(finding, rules)
    return "\n".join(lines)


def _headline(verdict: Verdict, rules: DomainRules) -> str:
    failing, unknown = verdict.failing(rules.require), verdict.unknown(rules.require)
    if failing:
        standing = f"{_names(failing, rules)} must be mended"
    elif unknown:
        standing = f"DNS does not tell {_names(unknown, rules)}; try again later"
    else:
        standing = "all that is required passes"
    if any(finding.rule in ("spf", "mx") for finding in verdict.unknown(("spf", "mx"))):
        return f"{_readable(verdict.domain)}: {standing}"
    status = verdict.platform_status
    return f"{_readable(verdict.domain)}: {standing}\n  expected platform status {status}: {_PLATFORM[status]}"


def _readable(domain: str) -> str:
    """With its characters beside its A-labels, by which its owner may not know it."""
    if "xn--" not in domain:
        return domain
    import idna  # its tables are of no use where all domains are ASCII

    try:
        return f"{domain} ({idna.decode(domain)})"
    except idna.IDNAError:
        return domain


def _names(findings: Iterable[Finding], rules: DomainRules) -> str:
    return ", ".join(rule_name(finding, rules) for finding in findings)


def _finding(finding: Finding, rules: DomainRules) -> Iterator[str]:
    required = finding.rule in rules.require
    yield f"  {_mark(finding, required)} {rule_name(finding, rules)}{'' if required else ', not required'}"
    if finding.found:
        yield f"{_INDENT}found: {finding.found}"
    if finding.problem:
        yield prose(f"{capitalised(finding.problem)}.", _INDENT)
    if finding.status is Status.STALE:
        yield prose("DNS fails now; so it was when DNS last answered.", _INDENT)
    for warning in finding.warnings:
        if warning == finding.problem:
            continue
        yield prose(f"Mind: {warning}.", _INDENT)
    if finding.publish:
        yield f"{_INDENT}Publish:"
        yield from _fields(finding.publish)
    if finding.remove:
        yield f"{_INDENT}{'In the place of:' if finding.publish else 'Remove:'}"
        yield from _fields(finding.remove, zone_lines=False)
    yield ""


def _mark(finding: Finding, required: bool) -> str:
    match finding.status:
        case Status.PASS:
            return typer.style("ok    ", fg="green")
        case Status.STALE:
            return typer.style("ok    ", fg="yellow")
        case Status.TEMPORARY:
            return typer.style("?     ", fg="yellow")
        case Status.FAIL:
            return typer.style("FAILED", fg="red", bold=True) if required else typer.style("advice", fg="yellow")


def _fields(listed: Iterable[Record], *, zone_lines: bool = True) -> Iterator[str]:
    """As a web form asks for it, and as a line of a zone file."""
    for record in listed:
        labelled = records.fields(record)
        if zone_lines:
            labelled["zone line"] = record.zone_line
        for label, text in labelled.items():
            yield f"{_INDENT}  {label:<10} {text}"


def as_dict(verdict: Verdict, required: Collection[str]) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "domain": verdict.domain,
        "passes": not verdict.failing(required) and not verdict.unknown(required),
        "required": list(required),
        "platform_status": verdict.platform_status,
        "known": verdict.known,
        "checked_at": verdict.checked_at,
        "expires_at": verdict.expires_at,
        "findings": [
            {
                **asdict(finding),
                "publish": [records.as_dict(record) for record in finding.publish],
                "remove": [records.as_dict(record) for record in finding.remove],
            }
            for finding in verdict.findings
        ],
    }

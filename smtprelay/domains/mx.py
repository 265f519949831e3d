"""MX: the platform delivers only for domains that let their bounces come to it."""

from __future__ import annotations

from collections.abc import Sequence

from smtprelay.domains.verdict import Finding, Record, Status
from smtprelay.resolver import MX, Absent, Answer, Failed, Found, Lookup

_PREFERENCE = 10
_STEP = 10
_MAX_PREFERENCE = 65_535  # 16 bits, RFC 1035 §3.3.9
_MAX_TARGETS = 10  # hosts that are asked for an alias: a domain's DNS cannot make us ask without end
_NULL_MX_CODE = "7.27"  # RFC 7505 §4.2: sender address has null MX


async def check_mx(lookup: Lookup, domain: str, mx: str) -> Finding:
    """Whether one of a domain's MX records is the platform's host.

    :param domain: as A-labels in lower case, without a trailing dot; so is `mx`.
    """
    answer = await lookup.mx(domain)
    if isinstance(answer, Failed):
        return Finding("mx", Status.TEMPORARY, problem=f"DNS does not answer: {answer.reason}")
    if isinstance(answer, Absent):
        publish, warnings = (mx_record(domain, mx),), await _turned_away(lookup, domain, mx)
        return Finding("mx", Status.FAIL, problem=_absence(domain, answer), publish=publish, warnings=warnings)
    if any(record.exchange == mx for record in answer.records):
        return _passed(domain, mx, answer)
    if not any(record.exchange for record in answer.records):
        problem = (
            f'the MX record of {domain} is "0 .", which says that it takes no mail: receivers refuse what it sends'
        )
        remove = _records(domain, answer.records)
        return Finding("mx", Status.FAIL, _shown(answer), problem, (mx_record(domain, mx),), remove, code=_NULL_MX_CODE)
    if answer.canonical_name != domain:
        problem = _alias(domain, answer.canonical_name, f"whose MX records do not name {mx}")
        return Finding("mx", Status.FAIL, _shown(answer), problem, (mx_record(domain, mx),))
    return await _elsewhere(lookup, domain, mx, answer)


def _absence(domain: str, answer: Absent) -> str:
    if not answer.name_exists:
        return f"there is no {domain} in DNS at all: it is misspelt, or nothing has been published for it yet"
    if answer.alias_of:
        return _alias(domain, answer.alias_of, "which has no MX record")
    return f"{domain} has no MX record"


async def _turned_away(lookup: Lookup, domain: str, mx: str) -> tuple[str, ...]:
    """Mail that goes to a domain's own address as long as there is no MX record (RFC 5321 §5.1)."""
    if not isinstance(await _addresses(lookup, domain), Found):
        return ()
    own = mx_record(domain, domain, _PREFERENCE - 1).zone_line
    return (f"mail to {domain} goes to the domain's own address now, and will go to {mx}: {own} keeps it there",)


def _alias(domain: str, canonical: str, clause: str) -> str:
    # RFC 2181 §10.1
    return (
        f"{domain} is an alias (CNAME) of {canonical}, {clause}; an alias can have no records of its own, "
        "so let addresses (A, AAAA) take its place first"
    )


def _passed(domain: str, mx: str, answer: Found[MX]) -> Finding:
    ours = min(record.preference for record in answer.records if record.exchange == mx)
    others = [record for record in answer.records if record.exchange not in ("", mx)]
    null = [record for record in answer.records if not record.exchange]
    warnings = []
    if answer.canonical_name != domain:
        warnings.append(f"{domain} is an alias (CNAME) of {answer.canonical_name}: whoever owns that decides its MX")
    if first := [record.exchange for record in others if record.preference < ours]:
        warnings.append(f"bounces go first to {', '.join(first)}, whose number is lower than that of {mx}")
    elif same := [record.exchange for record in others if record.preference == ours]:
        warnings.append(f"bounces go to {', '.join(same)} as often as to {mx}: the numbers are the same")
    if null:  # RFC 7505 §3: it stands alone
        warnings.append(
            f'the MX record "0 ." says that {domain} takes no mail, and the others contradict it: remove it'
        )
    return Finding("mx", Status.PASS, _shown(answer), remove=_records(domain, null), warnings=tuple(warnings))


async def _elsewhere(lookup: Lookup, domain: str, mx: str, answer: Found[MX]) -> Finding:
    """None of the hosts is the platform's, unless by an alias, which the platform does not follow."""
    hosts = [record for record in answer.records if record.exchange]
    for record in hosts:
        if _is_extended(record.exchange, mx, domain):
            words = f": the form has added {record.exchange.removeprefix(mx)} to it; type {mx}. with a dot at its end"
            return _misnamed(domain, mx, answer, record, words)
    warnings = []
    for record in hosts[:_MAX_TARGETS]:
        addresses = await _addresses(lookup, record.exchange)
        if _canonical_name(addresses, record.exchange) == mx:  # RFC 2181 §10.3
            words = f", which is an alias (CNAME) of {mx}: it has to name {mx} itself"
            return _misnamed(domain, mx, answer, record, words)
        if isinstance(addresses, Absent):
            warnings.append(f"{record.exchange} has no address in DNS, so no mail gets there; it may be misspelt")
    highest = max(record.preference for record in hosts)
    preference = min(highest + _STEP, _MAX_PREFERENCE)
    problem = f"{mx} is not among the MX records of {domain}: add it" + (
        ", and incoming mail still goes where it goes now, to the host with the lowest number"
        if preference > min(record.preference for record in hosts)
        else f"; the numbers of the others have to be lower than {preference} first, or incoming mail goes there too"
    )
    publish = (mx_record(domain, mx, preference),)
    null = [record for record in answer.records if not record.exchange]
    return Finding(
        "mx", Status.FAIL, _shown(answer), problem, publish, _records(domain, null), warnings=tuple(warnings)
    )


def _is_extended(exchange: str, mx: str, domain: str) -> bool:
    """A provider's form has taken `mx` for a name below the domain, or below one above it."""
    added = exchange.removeprefix(f"{mx}.")
    return added != exchange and f".{domain}".endswith(f".{added}")


def _misnamed(domain: str, mx: str, answer: Found[MX], record: MX, words: str) -> Finding:
    """A record that means the platform's host by another name."""
    problem = f"the MX record of {domain} names {record.exchange}{words}"
    publish = (mx_record(domain, mx, record.preference),)
    return Finding("mx", Status.FAIL, _shown(answer), problem, publish, _records(domain, [record]))


async def _addresses(lookup: Lookup, name: str) -> Answer[str]:
    """Of the first kind that it has; `Failed` where one is not known, and there is none of the other."""
    four = await lookup.addresses(name, 4)
    six = four if isinstance(four, Found) else await lookup.addresses(name, 6)
    return four if isinstance(four, Failed) and isinstance(six, Absent) else six


def _canonical_name(addresses: Answer[str], name: str) -> str:
    """Where its chain of aliases ends; ``""`` where it is none, or DNS does not tell."""
    found = addresses.canonical_name if isinstance(addresses, Found) else name
    return found if found != name else ""


def mx_record(domain: str, mx: str, preference: int = _PREFERENCE) -> Record:
    """To be published."""
    return Record(domain, "MX", f"{preference} {mx}")


def _records(domain: str, records: Sequence[MX]) -> tuple[Record, ...]:
    return tuple(mx_record(domain, record.exchange, record.preference) for record in records)


def _shown(answer: Found[MX]) -> str:
    return ", ".join(f"{record.preference} {record.exchange or '.'}" for record in answer.records)

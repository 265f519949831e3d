"""The rule "spf": the domain's SPF record authorises the platform, and what to publish so that it does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smtprelay.domains.spf.check_host import Evaluation, check_host
from smtprelay.domains.spf.macros import fold
from smtprelay.domains.spf.meant import joints, parse_meant, parse_resembling, resemblance
from smtprelay.domains.spf.merge import left_out, merge, new_record
from smtprelay.domains.spf.questions import MAX_LOOKUPS, Result, no_answer, several_records
from smtprelay.domains.spf.record import (
    Mechanism,
    Modifier,
    Qualifier,
    SPFRecord,
    parse_record,
    parse_terms,
    select,
)
from smtprelay.domains.spf.tree import Path, Tree, explore
from smtprelay.domains.txt import readable, shorten
from smtprelay.domains.verdict import Finding, Record, Status
from smtprelay.resolver import TXT, Absent, Failed, Found, Lookup

CODE = "7.23"  # RFC 7372 §3.2: SPF validation failed
MANY_LOOKUPS = 8
MAX_MERGED = 4  # records; a name has one, and two by mistake
MAX_NAMED = 5  # terms in a sentence
LONG = 450  # octets, RFC 7208 §3.4

_EFFECTS = {
    Qualifier.FAIL: "forbids what it should allow",
    Qualifier.SOFTFAIL: "marks as suspicious what it should allow",
    Qualifier.NEUTRAL: "allows nothing",
}


async def check_spf(lookup: Lookup, domain: str, include: str) -> Finding:
    """Whether the domain's SPF record authorises another (RFC 7208). Nothing is raised.

    :param domain: as A-labels; the record is looked up at this very name.
    :param include: the domain to be authorised, by a mechanism ``include:`` that passes.
    :return: pass, fail or temporary.
    """
    domain, include = fold(domain), fold(include)
    answer = await lookup.txt(domain)
    if isinstance(answer, Failed):
        return Finding("spf", Status.TEMPORARY, problem=no_answer(domain, answer), code=CODE)
    if isinstance(answer, Absent):
        problem = f"{domain} has no SPF record" if answer.name_exists else f"there is no such name in DNS: {domain}"
        return _fail(domain, problem, new_record(include))
    published = select(answer.records)
    if len(published) == 1:
        return await _judge(lookup, domain, include, published[0], _strangers(answer))
    if published:
        return await _several(lookup, domain, include, published)
    return await _without_record(lookup, domain, include, answer)


async def _without_record(lookup: Lookup, domain: str, include: str, answer: Found[TXT]) -> Finding:
    texts = [text for text in map(b"".join, answer.records) if resemblance(text)]
    if not texts:
        return _fail(domain, f"{domain} has no SPF record", new_record(include))
    problem = f"'{shorten(readable(texts[0]))}' is no SPF record: {resemblance(texts[0])}"
    # Somebody meant them: what they say is kept, as of records.
    meant = [parse_resembling(text) for text in texts]
    publish = merge(meant[:MAX_MERGED], domain, include)
    if publish == merge([SPFRecord(())], domain, include):
        publish = new_record(include)
    return _fail(domain, problem, publish, texts, await _losses(lookup, domain, include, meant, publish))


async def _several(lookup: Lookup, domain: str, include: str, published: Sequence[TXT]) -> Finding:
    """RFC 7208 §4.5."""
    problem = several_records(domain, len(published))
    meant = list(map(parse_meant, published))
    publish = merge(meant[:MAX_MERGED], domain, include)
    losses = await _losses(lookup, domain, include, meant, publish)
    return _fail(domain, problem, publish, list(map(b"".join, published)), losses)


def _fail(
    domain: str, problem: str, publish: str, replaced: Sequence[bytes] = (), warnings: tuple[str, ...] = ()
) -> Finding:
    """Of a domain whose record cannot even be evaluated."""
    return Finding(
        "spf",
        Status.FAIL,
        found=", ".join(map(readable, replaced)),
        problem=problem,
        publish=(Record(domain, "TXT", publish),),
        remove=tuple(Record(domain, "TXT", readable(text)) for text in replaced),
        warnings=warnings,
        code=CODE,
    )


async def _losses(
    lookup: Lookup, domain: str, include: str, meant: Sequence[SPFRecord], publish: str
) -> tuple[str, ...]:
    """Whom the record to publish does not authorise, though what stands there may have been meant to."""
    losses = []
    if gone := left_out(meant, domain, include, publish):
        some = ", ".join(f"'{shorten(text)}'" for text in gone[:MAX_NAMED])
        more = f" and {len(gone) - MAX_NAMED} more" if len(gone) > MAX_NAMED else ""
        losses.append(
            f"the record to publish is without {some}{more}: what of it is needed has to be mended and put in"
        )
    tree = await explore(lookup, domain, parse_terms(publish.encode("ascii").split(b" ")[1:]), include)
    if tree.lookups > MAX_LOOKUPS:
        losses.append(
            f"the record to publish needs {tree.lookups} DNS look-ups, and receivers make no more than {MAX_LOOKUPS}: "
            "who stands last in it has to be named by addresses (ip4:, ip6:)"
        )
    return tuple(losses)


async def _judge(lookup: Lookup, domain: str, include: str, strings: TXT, strangers: Sequence[str]) -> Finding:
    """Of a domain's only record."""
    text = b"".join(strings)
    record = parse_record(text)
    evaluation = await check_host(lookup, domain, authorised=include)
    tree = await explore(lookup, domain, record, include)
    count = f"{tree.lookups} of {MAX_LOOKUPS}" if tree.whole else f"{tree.lookups} or more of {MAX_LOOKUPS}"
    found = f"{readable(text)} ({count} look-ups)"
    warnings = (*_warnings(record, strings, tree), *strangers)
    if evaluation.result is Result.PASS and evaluation.authorised:
        if evaluation.problem:
            warnings = (*warnings, f"{evaluation.problem}: only the owner of {include} can mend that")
        return Finding("spf", Status.PASS, found, warnings=(*warnings, *_dead_ends(tree)), code=CODE)
    if evaluation.result is Result.TEMPERROR:
        return Finding("spf", Status.TEMPORARY, found, evaluation.problem, warnings=warnings, code=CODE)
    meant = parse_meant(strings)
    publish = merge([_alive(meant, domain, tree)], domain, include)
    return Finding(
        "spf",
        Status.FAIL,
        found,
        _problem(evaluation, tree, strings, include),
        publish=(Record(domain, "TXT", publish),),
        remove=(Record(domain, "TXT", readable(text)),),
        warnings=(*warnings, *await _losses(lookup, domain, include, [meant], publish)),
        code=CODE,
    )


def _alive(record: SPFRecord, domain: str, tree: Tree) -> SPFRecord:
    """Without the domain's own includes that make receivers give up: often the one that is wanted, misspelt."""
    dead = {step.term.text for step in tree.dead if step.domain == domain and isinstance(step.term, Mechanism)}
    return SPFRecord(tuple(term for term in record.terms if term.text not in dead))


def _problem(evaluation: Evaluation, tree: Tree, strings: TXT, include: str) -> str:
    """Why the record does not authorise the domain."""
    if evaluation.result is Result.PERMERROR:
        if tree.circle and evaluation.lookups > MAX_LOOKUPS:
            return f"the SPF record leads back to itself ({' → '.join(tree.circle)}), and receivers give up"
        return next(_joints(strings), evaluation.problem)
    if not tree.includes:
        return next(_joints(strings), _absence(parse_record(b"".join(strings)), include))
    explained = next(filter(None, map(_obstacle, tree.includes)), "")
    if not explained and evaluation.matched:
        return f"'{shorten(evaluation.matched[0])}' decides before receivers come to include:{include}"
    return explained or f"receivers do not come to include:{include}"


def _absence(record: SPFRecord, include: str) -> str:
    wanted = f"include:{include}"
    for name in ("include", "redirect"):
        modifier = record.modifier(name)
        if modifier and fold(modifier.text.partition("=")[2]) == include:
            return f"the SPF record has '{shorten(modifier.text)}' where it needs {wanted}"
    return f"the SPF record lacks {wanted}"


def _obstacle(path: Path) -> str:
    """Why a receiver does not come to the end of the path, or what it makes of it there; ``""`` for no reason."""
    goal = f"'{shorten(path[-1].term.text)}'"
    for step in path:
        end = step.record.all
        term = f"'{shorten(step.term.text)}'" + (f" in the SPF record of {step.domain}" if step is not path[0] else "")
        if isinstance(step.term, Modifier):
            if end:  # RFC 7208 §6.1
                return f"{goal} does not count: receivers ignore {term} because of '{end.text}' in the same record"
        elif not step.is_read:  # RFC 7208 §5.1
            return f"{term} stands after '{end.text if end else ''}', where receivers read no further"
        elif step.term.qualifier is not Qualifier.PASS:
            effect = f"begins with '{step.term.qualifier}' and so {_EFFECTS[step.term.qualifier]}"
            return f"{term} {effect}" if step is path[-1] else f"{term} leads to {goal}, but {effect}"
    return ""


def _warnings(record: SPFRecord, strings: TXT, tree: Tree) -> tuple[str, ...]:
    """What is not wrong yet, or wrong for others."""
    warnings = []
    if tree.lookups >= MANY_LOOKUPS:
        least = f"{tree.lookups}{'' if tree.whole else ' or more'}"
        warnings.append(f"the SPF record needs {least} DNS look-ups, and receivers make no more than {MAX_LOOKUPS}")
    warnings += [
        f"'{shorten(m.text)}' allows anybody to send as the domain"
        for m in record.read
        if m.qualifier is Qualifier.PASS and _is_everybody(m)
    ]
    length = sum(map(len, strings))
    if length > LONG:
        warnings.append(f"the SPF record has {length} octets, and some receivers cannot take more than {LONG}")
    warnings += _joints(strings)
    ignored = record.mechanisms[len(record.read) :]  # RFC 7208 §5.1
    if ignored:
        end = record.read[-1].text
        warnings.append(f"receivers ignore '{shorten(ignored[0].text)}', because it stands after '{end}'")
    if any(m.name == "ptr" for m in record.read):  # RFC 7208 §5.5
        warnings.append("'ptr' in the SPF record is slow and unreliable, and should be replaced")
    return tuple(warnings)


def _dead_ends(tree: Tree) -> Iterator[str]:
    for step in tree.dead:
        term = f"'{shorten(step.term.text)}' in the SPF record of {step.domain}"
        yield f"{term} leads to a name without SPF record, and receivers who come to it give up"


def _is_everybody(mechanism: Mechanism) -> bool:
    return mechanism.name == "all" or (mechanism.network is not None and mechanism.network.prefixlen == 0)


def _joints(strings: TXT) -> Iterator[str]:
    for joint in joints(strings):
        words = f"'{shorten(joint.left)}' and '{shorten(joint.right)}'"
        yield f"{words} are read as one word: a space is missing between the strings of the SPF record"


def _strangers(answer: Found[TXT]) -> list[str]:
    """Records beside the one that counts that were meant to be such."""
    return [
        f"'{shorten(readable(text))}' is no SPF record: {resemblance(text)}"
        for text in map(b"".join, answer.records)
        if resemblance(text)
    ][:MAX_NAMED]

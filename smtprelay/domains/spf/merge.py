"""SPF records become one that authorises another domain, and keeps what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from smtprelay.domains.spf.macros import expand_name, fold, known_without_client
from smtprelay.domains.spf.record import MAX_RECORD, VERSION, BadTerm, Mechanism, Modifier, SPFRecord, Term, parse_terms

_STRICTEST_FIRST = "-~?+"


def new_record(include: str) -> str:
    """The record of a domain that had none."""
    return f"{VERSION} include:{include} -all"


def merge(records: Sequence[SPFRecord], domain: str, include: str) -> str:
    """One record with the include in front, where no `all`, redirect, error or limit of another term is before it.

    Terms that receivers cannot read, and other includes of the same domain, go; everything else stays, of one record in
    its order and spelling.

    :param records: of `domain`; at least one.
    :param include: the domain to authorise.
    """
    terms = records[0].terms if len(records) == 1 else _united(records)
    kept = [term for term in terms if not (isinstance(term, BadTerm) or _is_include(term, domain, include))]
    texts = [VERSION, f"include:{include}", *(term.text for term in kept)]
    while len(" ".join(texts)) > MAX_RECORD:
        del texts[-2 if len(texts) > 3 else -1]  # the last is `all` or redirect, as a rule
    return " ".join(texts)


def left_out(records: Sequence[SPFRecord], domain: str, include: str, merged: str) -> list[str]:
    """Terms that were to say who may send, and are not in what `merge` made of the records."""
    kept = {_key(text) for text in merged.split(" ")}
    terms: list[Term] = []
    for record in records:
        terms += [*record.read, *record.bad]
    wanted = [term.text for term in terms if not (_is_all(term) or _is_include(term, domain, include))]
    return [text for text in _without_doubles(wanted) if _key(text) not in kept]


def _is_all(term: Term) -> bool:
    return isinstance(term, Mechanism) and term.name == "all"


def _is_include(term: Term, domain: str, include: str) -> bool:
    if not (isinstance(term, Mechanism) and term.name == "include"):
        return False
    target = expand_name(term.target, known_without_client(domain, domain))
    return target is not None and fold(target) == fold(include)


def _united(records: Sequence[SPFRecord]) -> tuple[Term, ...]:
    """The terms of several records: the mechanisms that receivers would come to, modifiers, at the end one `all` or
    else one redirect."""
    alls = [record.all for record in records if record.all]
    redirects = [record.redirect for record in records if record.redirect]
    # A redirect ends a record, and there is one end. Of others, an include keeps whom they authorise (RFC 7208 §5.2).
    ends = redirects[:1] if not alls else [min(alls, key=lambda m: _STRICTEST_FIRST.index(m.qualifier))]
    included = [f"include:{redirect.text.partition('=')[2]}" for redirect in redirects if redirect not in ends]
    mechanisms = [m.text for record in records for m in record.read if m.name != "all"]
    modifiers = [
        term.text
        for record in records
        for term in record.terms
        if isinstance(term, Modifier) and term.name not in ("redirect", "exp")
    ]
    explanations = [record.modifier("exp") for record in records]
    exp = [term.text for term in explanations if term][:1]
    texts = _without_doubles([*mechanisms, *included, *exp, *modifiers]) + [term.text for term in ends]
    return parse_terms(text.encode("ascii") for text in texts).terms


def _without_doubles(texts: Iterable[str]) -> list[str]:
    unique: dict[str, str] = {}
    for text in texts:
        unique.setdefault(_key(text), text)
    return list(unique.values())


def _key(text: str) -> str:
    return text.lower().removeprefix("+")

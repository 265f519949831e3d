"""All that an SPF record leads to, for a person who has to mend it: what it may cost, and where a term stands."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from smtprelay.domains.spf.check_host import TIMEOUT
from smtprelay.domains.spf.macros import expand_name, fold, is_name, known_without_client
from smtprelay.domains.spf.record import Mechanism, Modifier, SPFRecord, parse_record, select
from smtprelay.resolver import Failed, Found, Lookup

MAX_RECORDS = 25  # a receiver reads no more than eleven: RFC 7208 §4.6.4


@dataclass(frozen=True, slots=True)
class Step:
    """A term on the way to another record."""

    term: Mechanism | Modifier
    record: SPFRecord
    domain: str

    @property
    def is_read(self) -> bool:
        """A receiver may come to it."""
        return self.term is self.record.redirect or any(self.term is mechanism for mechanism in self.record.read)


Path: TypeAlias = tuple[Step, ...]


@dataclass(slots=True)
class Tree:
    """What was found.

    :param lookups: the terms that a receiver may have to look up, in all records together.
    :param whole: False where there is more than was looked at.
    :param circle: names of records that lead back to the first of them; empty where none do.
    :param includes: the ways to the includes of one domain, the shortest first.
    :param dead: terms that lead to a name without SPF record, where receivers give up (RFC 7208 §5.2, §6.1).
    """

    lookups: int = 0
    whole: bool = True
    circle: tuple[str, ...] = ()
    includes: list[Path] = field(default_factory=list)
    dead: list[Step] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Node:
    domain: str
    record: SPFRecord
    path: Path
    is_read: bool


async def explore(lookup: Lookup, domain: str, record: SPFRecord, include: str) -> Tree:
    """Breadth first, and within bounds, whatever the tree. Nothing is raised.

    :param record: the domain's own.
    :param include: the domain whose includes are sought.
    """
    tree = Tree()
    try:
        async with asyncio.timeout(TIMEOUT):
            await _explore(lookup, domain, record, fold(include), tree)
    except TimeoutError:
        tree.whole = False
    return tree


async def _explore(lookup: Lookup, top: str, record: SPFRecord, include: str, tree: Tree) -> None:
    waiting = deque([_Node(top, record, (), True)])
    asked = 0
    while waiting:
        node = waiting.popleft()
        if node.is_read:
            tree.lookups += sum(m.queries for m in node.record.read) + (node.record.redirect is not None)
        for step, target in _steps(node, top):
            path = (*node.path, step)
            if isinstance(step.term, Mechanism) and fold(target) == include:
                tree.includes.append(path)
            names = [fold(s.domain) for s in path]
            is_read = node.is_read and step.is_read
            if fold(target) in names:
                if is_read and not tree.circle:
                    tree.circle = (*names[names.index(fold(target)) :], fold(target))
                    tree.whole = False
                continue
            if asked == MAX_RECORDS:
                tree.whole = False
                return
            asked += 1
            answer = await lookup.txt(target)
            found = select(answer.records) if isinstance(answer, Found) else []
            if found:
                waiting.append(_Node(target, parse_record(b"".join(found[0])), path, is_read))
            elif is_read and not isinstance(answer, Failed) and fold(target) != include:
                tree.dead.append(step)


def _steps(node: _Node, top: str) -> Iterator[tuple[Step, str]]:
    """The terms that lead to other records, and to which; not where it depends on the client."""
    terms: list[Mechanism | Modifier] = [m for m in node.record.mechanisms if m.name == "include"]
    redirect = node.record.modifier("redirect")
    for term in [*terms, redirect] if redirect else terms:
        target = expand_name(term.target, known_without_client(top, node.domain))
        if target is not None and is_name(target):
            yield Step(term, node.record, node.domain), target

"""What a template asks for, by its syntax trees: variables, and other files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import meta, nodes

from smtprelay.templating.engine import Engine, decode
from smtprelay.templating.files import Files

_REFERENCES = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


@dataclass(frozen=True, slots=True)
class Reference:
    """A file that must be there: one that another extends, includes or imports."""

    file: str
    line: int
    target: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a file asks for, with all that it extends, includes or imports.

    :param variables: in the order in which they stand there; where each is first, as file and line. Without those that
        may be missing (``is defined``, ``default``).
    :param optional: these.
    """

    variables: Mapping[str, tuple[str, int]]
    references: Sequence[Reference]
    optional: frozenset[str]


def usage_of(engine: Engine, files: Files, file: str) -> Usage:
    """:raises Exception: whatever Jinja says of the syntax; see `engine.explained`."""
    trees: dict[str, nodes.Template] = {}
    references: list[Reference] = []
    waiting = [file]
    while waiting:
        name = waiting.pop()
        data = files.read(name)
        if name in trees or data is None:
            continue
        trees[name] = engine.parse(name, decode(name, data))
        found = list(_references(name, trees[name]))
        references += found
        waiting += [reference.target for reference in found]
    optional = frozenset(name for tree in trees.values() for name in _optional(tree))
    known = {name for tree in trees.values() for name in _set(tree)} | optional
    variables: dict[str, tuple[str, int]] = {}
    for name, tree in trees.items():
        undeclared = meta.find_undeclared_variables(tree) - known
        for node in tree.find_all(nodes.Name):
            if node.name in undeclared:
                variables.setdefault(node.name, (name, node.lineno))
    return Usage(variables, references, optional)


def _references(file: str, tree: nodes.Template) -> Iterator[Reference]:
    for node in tree.find_all(_REFERENCES):
        target = node.template  # type: ignore[attr-defined]  # all of them have it
        optional = isinstance(node, nodes.Include) and node.ignore_missing
        if isinstance(target, nodes.Const) and isinstance(target.value, str) and not optional:
            yield Reference(file, node.lineno, target.value)


def _set(tree: nodes.Template) -> Iterator[str]:
    """What a file sets, imports or defines: its blocks, and the files around it, see that too."""
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load":
            yield name.name
    for macro in tree.find_all(nodes.Macro):
        yield macro.name
    for whole in tree.find_all(nodes.Import):
        yield whole.target
    for some in tree.find_all(nodes.FromImport):
        yield from (imported if isinstance(imported, str) else imported[1] for imported in some.names)


def _optional(tree: nodes.Template) -> Iterator[str]:
    for test in tree.find_all(nodes.Test):
        if test.name in ("defined", "undefined") and isinstance(test.node, nodes.Name):
            yield test.node.name
    for filter_ in tree.find_all(nodes.Filter):
        if filter_.name in ("default", "d") and isinstance(filter_.node, nodes.Name):
            yield filter_.node.name

"""What is wrong with templates, before a mail shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from smtprelay.config import ConfigError
from smtprelay.errors import TemplateError
from smtprelay.templating.content import Content
from smtprelay.templating.engine import explained
from smtprelay.templating.images import content_ids, is_relative, sources
from smtprelay.templating.job import Part
from smtprelay.templating.library import Draft, Templates
from smtprelay.templating.meta import ALWAYS_DEFINED, Meta, parse_meta
from smtprelay.templating.usage import Usage, usage_of

MAX_LINE = 998  # octets: RFC 5322 §2.1.1

# The platform's contact fields: whoever sends to contacts gives all of them, empty ones too.
CONTACT_FIELDS = (
    *("recipient", "fullname", "sex", "birthday", "phone", "area"),
    *(f"var{number}" for number in range(1, 11)),
)
_KNOWN = {*ALWAYS_DEFINED, *CONTACT_FIELDS, "language"}
_MESSAGE = b"Subject: Example\r\nContent-Type: text/plain\r\n\r\nExample\r\n"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a template.

    :param level: ``failed`` has to be mended; ``warning`` can be sent, and would be better otherwise.
    :param line: in the file, from 1; 0 where it is about no line.
    """

    level: Literal["failed", "warning"]
    file: str
    line: int
    problem: str
    variable: str = ""

    def __str__(self) -> str:
        place = ", ".join(filter(None, (self.file, f"line {self.line}" if self.line else "")))
        return f"{place}: {self.problem}" if place else self.problem


def check(templates: Templates, name: str, today: str) -> list[Finding]:
    """Everything that is found wrong with a template; what is wrong in one way is said once.

    :param today: the date, as ISO 8601 writes it.
    """
    meta_file = templates.catalog.find(name, "meta.toml")
    try:
        meta = parse_meta(templates.files.read(meta_file) or b"") if meta_file else Meta()
    except ConfigError as error:
        return [Finding("failed", meta_file, 0, problem) for problem in error.problems]
    found: dict[tuple[object, ...], Finding] = {}
    for language in templates.catalog.languages(name) or [""]:
        for finding in _check(templates, name, meta, language, today):
            # A variable may be missing by what stands there, and again by what came of rendering it.
            key = (finding.file, finding.line, finding.variable or finding.problem)
            found.setdefault(key, finding)
    return list(found.values())


def _check(templates: Templates, name: str, meta: Meta, language: str, today: str) -> Iterator[Finding]:
    parts = templates.catalog.select(name, language)
    if parts is None:
        yield Finding("failed", "", 0, "it has no body: write body.html.j2 or body.txt.j2")
        return
    if not parts.subject:
        yield Finding("warning", "", 0, "it has no subject.j2: messages keep the subject of the app, or have none")
    for file in filter(None, (parts.subject, parts.html, parts.text)):
        yield from _static(templates, name, file, meta)
    try:
        sample = dict.fromkeys(CONTACT_FIELDS, "") | {key: one.sample for key, one in meta.variables.items()}
        part = Part(b"", "someone@example.com", sample | {"language": language, "recipient": "someone@example.com"})
        draft = templates.draft(name, part, Content(_MESSAGE), today)
    except TemplateError as error:
        yield Finding("failed", error.file, error.line, error.problem, error.variable)
        return
    yield from _pictures(templates, name, meta, parts.html, draft)
    yield from _lines(templates, (parts.html, parts.text))
    if parts.html and not parts.text:
        yield _text_part(parts.html, draft)


def _static(templates: Templates, name: str, file: str, meta: Meta) -> Iterator[Finding]:
    """What can be seen without rendering, in branches that no sample reaches too."""
    try:
        with explained(name, {}, file):
            usage = usage_of(templates.engine, templates.files, file)
    except TemplateError as error:
        yield Finding("failed", error.file, error.line, error.problem)
        return
    yield from _undefined(usage, meta)
    for reference in usage.references:
        if templates.files.read(reference.target) is None:
            problem = f"{reference.target} is not in the templates' directory"
            yield Finding("failed", reference.file, reference.line, problem)


def _undefined(usage: Usage, meta: Meta) -> Iterator[Finding]:
    for variable, (file, line) in usage.variables.items():
        if variable not in _KNOWN and variable not in meta.variables:
            problem = f"{variable!r} may be undefined: declare it in meta.toml ([variables.{variable}])"
            yield Finding("failed", file, line, problem, variable)


def _pictures(templates: Templates, name: str, meta: Meta, file: str, draft: Draft) -> Iterator[Finding]:
    html = draft.html or ""
    there = {attachment.content_id for attachment in draft.attachments}
    for missing in sorted(content_ids(html) - there):
        yield Finding("failed", file, 0, f"cid:{missing} is not in meta.toml: name its file there, below [inline]")
    for source in dict.fromkeys(filter(is_relative, sources(html))):
        yield Finding("failed", file, 0, f"the picture {source!r} is not there: put it beside the template's files")
    for content_id, path in meta.inline.items():
        if templates.catalog.resource(name, path) is None:
            problem = f"inline.{content_id}: {path!r} is not there"
            yield Finding("failed", templates.catalog.find(name, "meta.toml"), 0, problem)


def _lines(templates: Templates, files: Sequence[str]) -> Iterator[Finding]:
    """Lines that the author wrote too long; those of a text made from HTML are nobody's fault."""
    for file in filter(None, files):
        source = templates.files.read(file) or b""
        for number, line in enumerate(source.splitlines(), 1):
            if len(line) > MAX_LINE:
                problem = f"the line has {len(line)} octets: break it before {MAX_LINE}, or it is sent in pieces"
                yield Finding("warning", file, number, problem)


def _text_part(file: str, draft: Draft) -> Finding:
    wanted = file.replace(".html.j2", ".txt.j2")
    if draft.text.strip():
        return Finding("warning", file, 0, f"there is no {wanted}: the text part is made from the HTML")
    return Finding("failed", file, 0, f"the HTML has no text to make a text part from: write {wanted}")

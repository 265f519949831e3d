"""The templates of a directory: a name and values → a whole message."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from smtprelay.compose import Attachment, compose
from smtprelay.config import ConfigError
from smtprelay.errors import TemplateError
from smtprelay.message import AddressError
from smtprelay.repair.fields import Field, parse_header
from smtprelay.templating.catalog import Catalog, Parts, check_template
from smtprelay.templating.content import Content
from smtprelay.templating.engine import Engine, Lazy, decode, explained
from smtprelay.templating.fields import field_of, mailbox
from smtprelay.templating.files import FileError, Files
from smtprelay.templating.images import attach, content_ids
from smtprelay.templating.job import Job, Part
from smtprelay.templating.lru import LRU
from smtprelay.templating.meta import Meta, convert, parse_meta
from smtprelay.templating.placeholders import Placeholder
from smtprelay.templating.styles import inline
from smtprelay.templating.text import to_text

_KEPT = 8 * 2**20  # octets of renderings


@dataclass(frozen=True, slots=True)
class Draft:
    """A message made from a template, before it is put together.

    :param subjects: they take turns; none where neither template nor app has one.
    :param defaults: fields for messages that have none of that name.
    :param fields: fields in place of any of that name.
    :param html: with its styles inlined; None for none.
    """

    subjects: tuple[str, ...]
    defaults: tuple[Field, ...]
    fields: tuple[Field, ...]
    text: str
    html: str | None
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    draft: Draft
    body: bytes
    files: Mapping[str, bytes | None]

    @property
    def size(self) -> int:
        """In octets, about: the body is there as text and as parts too."""
        header = sum(len(field.raw) for field in (*self.draft.defaults, *self.draft.fields))
        return 1024 + len(self.body) * 3 + header + sum(map(len, self.draft.subjects)) * 4


class Templates:
    """Renders templates. Changed files count at once; renderings with the same files and values are kept.

    Nothing here bounds time or memory: `smtprelay.rendering` does that from outside.
    """

    def __init__(self, directory: Path) -> None:
        self.files = Files(directory)
        self.catalog = Catalog(self.files)
        self.engine = Engine(self.files)
        self._kept: LRU[bytes, _Kept] = LRU(_KEPT)
        # A process that lives shortly would always begin with the first subject.
        self._turns: Counter[str] = Counter()
        self._first_turn = secrets.randbelow(2**16)

    def names(self) -> list[str]:
        """All templates, in order."""
        return self.catalog.names()

    def render(self, job: Job) -> Iterator[bytes]:
        """One whole message for each part: its own header fields, those of the template, and the body.

        :raises TemplateError:
        """
        content = Content(job.content)
        today = datetime.fromtimestamp(job.now / 1000).date().isoformat()
        for part in job.whole_parts():
            kept = self._rendered(job.template, part, content, today)
            yield self._header(job.template, part.header, kept.draft) + kept.body

    def draft(self, template: str, part: Part, content: Content, today: str) -> Draft:
        """A message that is not put together yet.

        :param today: the date, as ISO 8601 writes it.
        :raises TemplateError:
        """
        with explained(template, part.variables):
            check_template(template)
        meta, meta_source = self.meta(template)
        variables = self._variables(template, meta, part, content, today)
        parts = self._select(template, variables)
        with explained(template, variables, parts.html or parts.text):
            subjects = self.engine.subjects(parts.subject, variables) if parts.subject else [content.subject]
            html = inline(self.engine.body(parts.html, variables)) if parts.html else None
            text = self.engine.body(parts.text, variables) if parts.text else to_text(html or "")
            html, attachments = self._attachments(template, meta, html, content)
        return Draft(
            subjects=tuple(filter(None, subjects)),
            text=text,
            html=html,
            attachments=attachments,
            **self._fields(template, meta, meta_source, variables),
        )

    def meta(self, template: str) -> tuple[Meta, str]:
        """What meta.toml says, and its text.

        :raises TemplateError: where it is bad; all problems are in one text.
        """
        with explained(template, {}):
            file = self.catalog.find(template, "meta.toml")
            data = (self.files.read(file) if file else b"") or b""
            try:
                return parse_meta(data), decode(file, data)
            except ConfigError as error:
                raise TemplateError(template, "; ".join(error.problems), file=file) from None

    def _rendered(self, template: str, part: Part, content: Content, today: str) -> _Kept:
        with explained(template, part.variables):
            values = json.dumps([template, part.recipient, today, part.variables], default=repr)
            key = hashlib.blake2b(values.encode("utf-8", "surrogatepass") + content.digest).digest()
            kept = self._kept.get(key)
            if kept and self.files.unchanged(kept.files):
                return kept
        with self.files.watch() as seen:
            draft = self.draft(template, part, content, today)
        kept = _Kept(draft, compose(draft.text, draft.html, draft.attachments), seen)
        self._kept.put(key, kept, kept.size)
        return kept

    def _header(self, template: str, given: bytes, draft: Draft) -> bytes:
        fields = list(draft.fields)
        if draft.subjects:
            turn = self._first_turn + self._turns[template]
            self._turns[template] += len(draft.subjects) > 1
            fields.append(field_of("Subject", draft.subjects[turn % len(draft.subjects)]))
        if draft.fields or draft.defaults:
            header, _ = parse_header(given + b"\r\n", 0, len(given) + 2, "", [])
            present = {field.name for field in header.fields}
            fields = [field for field in draft.defaults if field.name not in present] + fields
            replaced = {field.name for field in draft.fields}
            header.remove(lambda field: field.name in replaced)
            given = b"".join(field.raw for field in header.fields)
        return given + b"".join(field.raw for field in fields)

    def _variables(self, template: str, meta: Meta, part: Part, content: Content, today: str) -> dict[str, Any]:
        variables: dict[str, Any] = {
            "date": today,
            "subject": Lazy(lambda: content.subject),
            "body_text": Lazy(lambda: content.body_text),
            "body_html": Lazy(lambda: self.engine.markup(content.body_html)),
            **({"recipient": part.recipient} if part.recipient else {}),
            **part.variables,
        }
        for name, declared in meta.variables.items():
            value = variables.get(name)
            if isinstance(value, Placeholder):
                continue
            if value is None or (value == "" and declared.default is not None):
                value = declared.default
            if value is None:
                problem = f"it needs {name} ({declared.type}): give it in X-SMTPRelay-Vars, vars= or --var"
                raise TemplateError(template, problem, variable=name)
            try:
                variables[name] = convert(declared.type, value)
            except ValueError as error:
                raise TemplateError(
                    template, f"the value of {name} is of the wrong type: {error}", variable=name
                ) from None
        return variables

    def _select(self, template: str, variables: Mapping[str, Any]) -> Parts:
        with explained(template, variables):
            parts = self.catalog.select(template, str(variables.get("language", "")))
            if parts:
                return parts
            names = self.names()
        if template in names:
            problem = "it has no body.html.j2 and no body.txt.j2 (without a language, for those that it does not have)"
        else:
            problem = f"there is none of this name; there are {_some(names)}" if names else "there are no templates yet"
        raise TemplateError(template, problem)

    def _attachments(
        self, template: str, meta: Meta, html: str | None, content: Content
    ) -> tuple[str | None, tuple[Attachment, ...]]:
        """The HTML with ``cid:`` for its pictures, and all that goes along."""
        attached = [Attachment(_base(path), self._resource(template, path)) for path in meta.attachments]
        pictures: list[Attachment] = []
        if html is not None:
            html, pictures = attach(html, lambda path: (self.catalog.resource(template, path) or ("", None))[1])
        shown = content_ids(html or "")
        pictures += [
            Attachment(_base(path), self._resource(template, path), content_id=name)
            for name, path in meta.inline.items()
            if name in shown
        ]
        own = [one if one.content_id in shown else replace(one, content_id="") for one in content.attachments]
        return html, (*pictures, *attached, *own)

    def _resource(self, template: str, path: str) -> bytes:
        found = self.catalog.resource(template, path)
        if found is None:
            raise FileError(f"meta.toml names {path!r}, which is not there")
        return found[1]

    def _fields(
        self, template: str, meta: Meta, source: str, variables: Mapping[str, Any]
    ) -> dict[str, tuple[Field, ...]]:
        file = self.catalog.find(template, "meta.toml")

        def value(key: str, text: str, *, address: bool = False) -> Field:
            line = _line_of(key, source)
            with explained(template, variables, file):
                try:
                    if address:
                        rendered = mailbox(text, lambda part: self.engine.field(part, file, line, variables))
                        return Field.compose(key, rendered)
                    return field_of(key, self.engine.field(text, file, line, variables))
                except AddressError as error:
                    raise TemplateError(template, f"{key.lower()}: {error}", file=file, line=line) from None

        given = {"From": meta.from_, "Reply-To": meta.reply_to}
        return {
            "defaults": tuple(value(name, text, address=True) for name, text in given.items() if text),
            "fields": tuple(value(name, text) for name, text in meta.headers.items()),
        }


@lru_cache(maxsize=256)
def _line_of(key: str, source: str) -> int:
    """The line of meta.toml where a key stands; 1 where it cannot be found."""
    match = re.search(rf"""^[ \t]*(["']?){re.escape(key)}\1[ \t]*=""", source, re.IGNORECASE | re.MULTILINE)
    return source.count("\n", 0, match.end()) + 1 if match else 1


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

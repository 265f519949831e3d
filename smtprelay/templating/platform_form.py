"""A template of ours in the form of the platform's, which puts each contact's values in by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from smtprelay.compose import Attachment
from smtprelay.errors import TemplateError
from smtprelay.repair.fields import Field
from smtprelay.templating.catalog import check_template
from smtprelay.templating.content import Content
from smtprelay.templating.engine import Engine, explained
from smtprelay.templating.images import content_ids, on_the_web
from smtprelay.templating.job import Part
from smtprelay.templating.library import Draft, Templates
from smtprelay.templating.meta import ALWAYS_DEFINED, Meta
from smtprelay.templating.placeholders import Placeholder, in_braces
from smtprelay.templating.text import to_html
from smtprelay.templating.usage import usage_of

VARIABLES = tuple(f"VAR{number}" for number in range(1, 11))
# What our templates call the platform's own fields.
FIELDS: Mapping[str, str] = {
    **dict.fromkeys(("recipient", "address", "email"), "RECIPIENTS"),
    **dict.fromkeys(("fullname", "name"), "FULLNAME"),
    **{field.lower(): field for field in ("DATE", "SEX", "BIRTHDAY", "PHONE", "AREA", *VARIABLES)},
}
_ONE_FOR_ALL = {*ALWAYS_DEFINED, "language"} - FIELDS.keys()


@dataclass(frozen=True, slots=True)
class PlatformTemplate:
    """What the platform is given.

    :param fields: of the variables that differ from contact to contact: what the platform calls each.
    :param left_out: names of header fields of the template that the platform does not send.
    """

    subjects: tuple[str, ...]
    html: str
    text: str
    attachments: tuple[Attachment, ...]
    fields: Mapping[str, str]
    left_out: tuple[str, ...]


def platform_form(
    directory: Path,
    template: str,
    values: Mapping[str, Any],
    *,
    fields: Mapping[str, str],
    of_contacts: Collection[str] = (),
    pictures: str = "",
    today: str,
) -> PlatformTemplate:
    """
    :param values: those of variables that are the same for all contacts.
    :param fields: of variables that are not: what the platform calls each. For the others that is found.
    :param of_contacts: variables that the contacts have.
    :param pictures: where the template's pictures lie on the web.
    :param today: the date, as ISO 8601 writes it.
    :raises TemplateError: the platform cannot do what the template wants.
    """
    templates = _Templates(directory)
    with explained(template, values):
        check_template(template)
    meta, _ = templates.meta(template)
    used = list(_variables(templates, template, meta, str(values.get("language", "")), of_contacts))
    found = _fields(template, used, meta, values, fields, of_contacts)
    placeholders = {variable: Placeholder(variable, field) for variable, field in found.items()}
    draft = templates.draft(template, Part(b"", "", {**placeholders, **values}), Content(b""), today)
    html, attachments = _on_the_web(template, draft, pictures)
    with explained(template, values):
        try:
            return PlatformTemplate(
                subjects=tuple(map(in_braces, draft.subjects)),
                html=in_braces(html),
                text=in_braces(draft.text),
                attachments=attachments,
                fields={variable: found[variable] for variable in used if variable in found},
                left_out=tuple(meta.headers),
            )
        except ValueError as error:
            raise TemplateError(template, str(error)) from None


class _Templates(Templates):
    """Some values are not known; header fields are the platform's business."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.engine = Engine(self.files, guarded=True)

    def _fields(
        self, template: str, meta: Meta, source: str, variables: Mapping[str, Any]
    ) -> dict[str, tuple[Field, ...]]:
        return {"defaults": (), "fields": ()}


def _variables(
    templates: Templates, template: str, meta: Meta, language: str, of_contacts: Collection[str]
) -> Iterator[str]:
    """Those that the template uses, in the order in which they stand there first, and those that it declares; what may
    be missing, where the contacts have it."""
    parts = templates.catalog.select(template, language)
    seen: dict[str, None] = {}
    for file in filter(None, (parts.subject, parts.html, parts.text) if parts else ()):
        with explained(template, {}, file):
            usage = usage_of(templates.engine, templates.files, file)
        seen |= dict.fromkeys(usage.variables)
        seen |= dict.fromkeys(sorted(usage.optional.intersection(of_contacts)))
    yield from seen | dict.fromkeys(meta.variables)


def _fields(
    template: str,
    used: Collection[str],
    meta: Meta,
    values: Mapping[str, Any],
    given: Mapping[str, str],
    of_contacts: Collection[str],
) -> dict[str, str]:
    """What the platform calls the variables: those given, its own by their names, the others in their order."""
    found = {variable: field for variable, field in FIELDS.items() if variable not in values} | dict(given)
    taken = {FIELDS[variable] for variable in used if variable in FIELDS} | set(given.values())
    free = (field for field in VARIABLES if field not in taken)
    for variable in used:
        if variable in found or variable in values or variable in _ONE_FOR_ALL:
            continue
        declared = meta.variables.get(variable)
        if declared and declared.default is not None and variable not in of_contacts:
            continue
        if declared and declared.type in ("list", "object"):
            problem = f"{variable} is {'a list' if declared.type == 'list' else 'an object'}, which no contact of the "
            raise TemplateError(template, f"{problem}platform has: give it in --vars-file", variable=variable)
        if not (field := next(free, "")):
            raise TemplateError(
                template,
                f"it has more values that differ from contact to contact than the platform's {len(VARIABLES)}: give "
                f"{variable}, or another that is the same for all, with --var {variable}=…",
                variable=variable,
            )
        found[variable] = field
    return found


def _on_the_web(template: str, draft: Draft, pictures: str) -> tuple[str, tuple[Attachment, ...]]:
    """The HTML without pictures of its own, and what goes along."""
    html = draft.html if draft.html is not None else to_html(draft.text)
    shown = content_ids(html)
    within = [attachment for attachment in draft.attachments if attachment.content_id in shown]
    if within and not pictures:
        raise TemplateError(
            template,
            f"it shows {within[0].filename} from within the mail, which the platform's templates cannot: put its "
            "pictures on a web server, and say where with --pictures URL",
        )
    files: dict[str, bytes] = {}
    for picture in within:
        if files.setdefault(picture.filename, picture.content) != picture.content:
            problem = f"it shows two pictures of the name {picture.filename}, and --pictures has one address for it"
            raise TemplateError(template, f"{problem}: give one of them another name")
    urls = {picture.content_id: f"{pictures.rstrip('/')}/{quote(picture.filename)}" for picture in within}
    return on_the_web(html, urls), tuple(attachment for attachment in draft.attachments if attachment not in within)

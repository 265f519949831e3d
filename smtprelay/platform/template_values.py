"""Chapter 5, what is told of templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from xml.etree.ElementTree import Element

from smtprelay.platform.answer import Answer
from smtprelay.platform.read import amount, count, instant, number, one_of, text
from smtprelay.platform.values import Value

BETWEEN_SUBJECTS = "|"


class Encoding(Value):
    """How the body of a template's mail is encoded."""

    BASE64 = "base64", "Base64", "base64"
    QUOTED_PRINTABLE = "quoted-printable", "quoted-printable", "quoted-printable"


class CheckStatus(Value):
    """What came of the platform's check of a template."""

    CHECKING = "-1", "is being checked", "正在检测中"
    REFUSED = "0", "may not be sent", "检测为红色模板不予通过"
    PASSED = "1", "may be sent", "检测通过"


class Colour(Value):
    """How suspicious the platform finds a template."""

    NONE = "", "is being checked", "正在检测中"
    RED = "red", "refused", "红色，不予通过"
    RED_PASS = "red_pass", "suspicious, and let pass", "红绿色，检测通过"
    YELLOW = "yellow", "a little suspicious", "黄色，检测通过"
    GREEN = "green", "not suspicious", "绿色，检测通过"


@dataclass(frozen=True, slots=True)
class TemplateState:
    """A template's check.

    :param updated: when it was changed, in Asia/Shanghai.
    :param size: of the whole mail, in KiB; None while the platform is still counting.
    """

    id: int
    name: str
    status: CheckStatus
    colour: Colour
    updated: datetime | None
    size: float | None
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """One of a template's subjects."""

    id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file that goes with a template."""

    id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template.

    :param content_type: in the platform's words.
    :param created: in Asia/Shanghai.
    :param updated: in Asia/Shanghai.
    """

    id: int
    user_id: int | None
    name: str
    subjects: tuple[Subject, ...]
    content: str = field(repr=False)
    content_type: str
    attachments: tuple[AttachedFile, ...]
    created: datetime | None
    updated: datetime | None


def read_state(answer: Answer) -> TemplateState:
    """5.3"""
    row = answer.xml("template")
    return TemplateState(
        id=count(row, "id"),
        name=text(row, "name"),
        status=one_of(CheckStatus, row, "status"),
        colour=one_of(Colour, row, "colour"),
        updated=instant(row, "update_date"),
        size=None if text(row, "size_status") == "-1" else amount(row, "size"),
        subjects=tuple(subject.strip() for subject in text(row, "subject").split(BETWEEN_SUBJECTS)),
    )


def read_templates(answer: Answer) -> Sequence[Template]:
    """5.4"""
    return [_template(row) for row in answer.rows("template", "template_list")]


def _template(row: Element) -> Template:
    return Template(
        id=count(row, "id"),
        user_id=number(row, "user_id"),
        name=text(row, "name"),
        subjects=tuple(Subject(number(each, "id"), text(each, "name")) for each in row.findall("subject")),
        content=text(row, "content"),
        content_type=text(row, "content_type"),
        attachments=tuple(
            AttachedFile(number(each, "atta_id"), text(each, "atta_name")) for each in row.iter("attachment")
        ),
        created=instant(row, "created"),
        updated=instant(row, "updated"),
    )

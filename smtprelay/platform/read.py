"""Elements → typed values. Every function takes the names under which the platform is known to send a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import TypeVar
from xml.etree.ElementTree import Element

from smtprelay.platform.answer import NO_CHARACTERS
from smtprelay.platform.errors import UnreadableAnswer
from smtprelay.platform.values import Value
from smtprelay.values import SHANGHAI

_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_UNIX_TIME = re.compile(r"[1-9]\d{9}")
_WHOLE_NUMBER = re.compile(r"([+-]?(?:[0-9]{1,18}|[0-9]{1,3}(?:,[0-9]{3}){1,5}))(?:\.0*)?")
_MEASURE = re.compile(r"[0-9]{1,15}(?:,[0-9]{3})*(?:\.[0-9]+)?")
_LOST_CDATA = re.compile(r"<?!\[CDATA\[(.*?)\]\]>?", re.DOTALL)

V = TypeVar("V", bound=Value)
Row = Element | Mapping[str, object]  # of XML, or of JSON


def text(row: Row, *names: str) -> str:
    """The first of these that is there and not empty; ``""`` for none. :raises UnreadableAnswer: it is no text."""
    for name in names:
        value = row.findtext(name) if isinstance(row, Element) else _of_json(row.get(name), name)
        if value and (told := value.strip()):
            lost = _LOST_CDATA.fullmatch(told)
            return lost[1].strip() if lost else told
    return ""


def _of_json(value: object, name: str) -> str:
    match value:
        case None | False:  # PHP's word for nothing, too
            return ""
        case str():
            return NO_CHARACTERS.sub("", value)
        case int() if not isinstance(value, bool):
            return str(value)
    raise UnreadableAnswer(f"<{name}> should be text", str(value))


def number(row: Row, *names: str) -> int | None:
    """A count or an id; None where none is given.

    :raises UnreadableAnswer: it is no whole number.
    """
    told = text(row, *names)
    if not told:
        return None
    whole = _WHOLE_NUMBER.fullmatch(told)
    if not whole:
        raise UnreadableAnswer(f"<{names[0]}> should be a number", told)
    return int(whole[1].replace(",", ""))


def amount(row: Row, *names: str) -> float | None:
    """A measure; None where none is given. :raises UnreadableAnswer: it is no number."""
    told = text(row, *names)
    if not told:
        return None
    if not _MEASURE.fullmatch(told):  # float() would take "nan"
        raise UnreadableAnswer(f"<{names[0]}> should be a number", told)
    return float(told.replace(",", ""))


def count(row: Row, *names: str) -> int:
    """A count; 0 where none is given. :raises UnreadableAnswer: it is no whole number."""
    return number(row, *names) or 0


def day(row: Row, *names: str) -> date | None:
    """A date as the platform means it, in Asia/Shanghai. :raises UnreadableAnswer: it is none."""
    moment = instant(row, *names)
    return moment.date() if moment else None


def instant(row: Row, *names: str) -> datetime | None:
    """A moment, in Asia/Shanghai; None where none is given, or ``0000-00-00``. A date alone is its beginning.

    :raises UnreadableAnswer: it is none.
    """
    return parse_instant(text(row, *names), names[0])


def parse_instant(told: str, name: str) -> datetime | None:
    """See `instant`."""
    if not told.strip("0-: "):
        return None
    if _UNIX_TIME.fullmatch(told):
        return datetime.fromtimestamp(int(told), UTC).astimezone(SHANGHAI)
    match = _DATE.fullmatch(told)
    try:
        if match:
            year, month, of_month, hour, minute, second = (int(part or 0) for part in match.groups())
            return datetime(year, month, of_month, hour, minute, second, tzinfo=SHANGHAI)
    except ValueError:
        pass
    raise UnreadableAnswer(f"<{name}> should be a date", told)


def one_of(kind: type[V], row: Row, *names: str) -> V:
    """A value of an enumeration, which keeps one that is not documented."""
    return kind(text(row, *names))


def children(root: Element, name: str) -> Iterator[Element]:
    """The elements of a list; where the platform left the list out, its root is the only one."""
    if root.tag == name:  # looked at first: a <link> has a <link> in it
        yield root
    else:
        yield from root.findall(name)

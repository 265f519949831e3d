"""How the values of a method's parameters are written on a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, get_args, get_origin

import typer

from smtprelay.compose import Attachment
from smtprelay.platform.task_values import Sender
from smtprelay.platform.values import Value
from smtprelay.values import SHANGHAI


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is written.

    :param type: as typer knows it.
    :param parse: what makes it of a word, where that is not typer's own business.
    :param values: what it may be, for people.
    :param several: whether there may be several.
    :param pairs: whether they are a mapping.
    """

    type: Any
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    values: str = ""
    several: bool = False
    pairs: bool = False


def kind_of(annotation: Any) -> Kind:
    """:raises TypeError: it is nothing that can be written there."""
    if isinstance(annotation, UnionType):
        kinds = [kind_of(one) for one in get_args(annotation) if one not in (NoneType, Attachment)]
        return next((kind for kind in kinds if kind.several), kinds[0])
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Sequence:
        return replace(kind_of(inner[0]), several=True)
    if origin is Mapping:
        key, value = map(kind_of, inner)
        metavar = f"{'NUMBER' if key.type is int else 'NAME'}=VALUE"
        return Kind(tuple, _pair(key.type, value.type), metavar, several=True, pairs=True)
    if isinstance(annotation, type) and issubclass(annotation, Value):
        values = "; ".join(f"{value}: {value.english}" for value in annotation)
        return Kind(annotation, annotation, annotation.__name__.upper(), values)
    if annotation in _KINDS:
        return _KINDS[annotation]
    raise TypeError(f"{annotation} cannot be written on a command line: write that command by hand")


def _pair(key: Callable[[str], Any], value: Callable[[str], Any]) -> Callable[[str], tuple[Any, Any]]:
    def parse(text: str) -> tuple[Any, Any]:
        name, equals, rest = text.partition("=")
        try:
            return (key(name), value(rest)) if equals else _no_pair(text)
        except ValueError:
            return _no_pair(text)

    return parse


def _no_pair(text: str) -> NoReturn:
    raise typer.BadParameter(f"{text!r} should be two values with '=' between them")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day: write it as 2026-11-28") from None


def _moment(text: str) -> datetime:
    """In Asia/Shanghai, where it names no zone: that is how the platform means it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write it as '2026-11-28 18:00', in Asia/Shanghai") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=SHANGHAI)


def _sender(text: str) -> Sender:
    try:
        return Sender.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None


_KINDS: Mapping[object, Kind] = {
    **{kind: Kind(kind) for kind in (str, int, float, bool)},
    date: Kind(date, _day, "YYYY-MM-DD"),
    datetime: Kind(datetime, _moment, "'YYYY-MM-DD HH:MM'", "In Asia/Shanghai, where it names no other offset."),
    Path: Kind(Path, Path, "FILE"),
    Sender: Kind(Sender, _sender, "ADDRESS|DOMAIN|all"),
}

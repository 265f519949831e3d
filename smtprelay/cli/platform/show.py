"""What the platform tells: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any

import typer
from rich.cells import cell_len

from smtprelay.cli.common import print_json
from smtprelay.cli.configuration import fail
from smtprelay.platform.values import Value
from smtprelay.words import language_of, without_bidi_controls

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_GAP = "  "  # between columns
OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write lines there, with tabs between the values.")
]


def show(value: Any, *, as_json: bool, streams: bool = False) -> None:
    """Show what a call gave.

    :param streams: it comes row by row: as JSON, each has a line of its own.
    """
    if as_json and streams:
        for row in value:
            typer.echo(json.dumps(plain(row), ensure_ascii=False))
    elif as_json:
        print_json(plain(value))
    elif is_dataclass(value):
        names = [field.name for field in fields(value)]
        _print_record(list(map(_title, names)), [_harmless(words(getattr(value, name))) for name in names])
    elif isinstance(value, Iterable) and not isinstance(value, str):
        _print_rows(value)
    else:
        typer.echo(_harmless(words(value)))


def write_lines(rows: Iterable[Any], path: Path) -> None:
    """Write rows into a file, with the names of their columns first; ends the program where that cannot be done."""
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for number, row in enumerate(rows):
                if not number and is_dataclass(row):
                    file.write("\t".join(field.name for field in fields(row)) + "\n")
                cells = [getattr(row, field.name) for field in fields(row)] if is_dataclass(row) else [row]
                file.write("\t".join(" ".join(str(plain(cell) or "").split()) for cell in cells) + "\n")
    except OSError as error:
        fail(os.EX_CANTCREAT, f"{path} cannot be written: {error.strerror}.")


def plain(value: Any) -> Any:
    """A value in the types of JSON: dates as ISO 8601, values of the platform as they came."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case date():
            return value.isoformat()
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case Iterable():
            return [plain(one) for one in value]
    return {field.name: plain(getattr(value, field.name)) for field in fields(value)}


def words(value: Any) -> str:
    """A value on one line; ``""`` for none."""
    match value:
        case None:
            return ""
        case Value():
            meaning = value.chinese if language_of(os.environ).startswith("zh") else value.english
            return f"{value} ({meaning})" if meaning else str(value)
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(" ")
        case str():
            return " ".join(value.split())
        case Iterable():
            return "; ".join(filter(None, map(words, value)))
    if is_dataclass(value):
        return " ".join(filter(None, (words(getattr(value, field.name)) for field in fields(value))))
    return str(value)


def _print_rows(rows: Iterable[Any]) -> None:
    """A table of what is told of any of them."""
    told = list(rows)
    if not told:
        typer.echo("None.")
        return
    if not is_dataclass(told[0]):
        for row in told:
            typer.echo(_harmless(words(row)))
        return
    names = [field.name for field in fields(told[0]) if field.repr]  # without what is long, such as a template's HTML
    cells = [[_harmless(words(getattr(row, name))) for name in names] for row in told]
    used = [column for column in range(len(names)) if any(row[column] for row in cells)]
    titles = [_title(names[column]) for column in used]
    _print_table([[row[column] for column in used] for row in cells], titles)


def _print_table(rows: list[list[str]], titles: list[str]) -> None:
    """Columns; where a terminal is not as wide as they are, each row as lines of its own."""
    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    if is_terminal() and sum(widths) + len(_GAP) * (len(widths) - 1) > get_terminal_size().columns:
        for number, row in enumerate(rows):
            if number:
                typer.echo()
            _print_record(titles, row)
        return
    typer.secho(_aligned(titles, widths), bold=True)
    for row in rows:
        typer.echo(_aligned(row, widths))


def is_terminal() -> bool:
    """Whether a person looks at it."""
    return sys.stdout.isatty()


def _print_record(titles: Sequence[str], cells: Sequence[str]) -> None:
    width = max(map(cell_len, titles))
    for title, cell in zip(titles, cells, strict=True):
        typer.echo(_aligned([title, cell], [width, 0]))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
    return _GAP.join(padded).rstrip()


def _harmless(text: str) -> str:
    """Strangers' words, which a terminal only shows."""
    return _CONTROLS.sub(lambda control: f"\\x{ord(control[0]):02x}", without_bidi_controls(text))


def _title(name: str) -> str:
    return name.replace("_", " ")

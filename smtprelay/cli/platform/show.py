"""What the platform tells: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from smtprelay.cli.common import print_json
from smtprelay.cli.configuration import fail
from smtprelay.platform.result import Result
from smtprelay.platform.values import Value
from smtprelay.words import harmless, harmless_json, language_of

OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write lines there, with tabs between the values.")
]


def show(value: Any, *, as_json: bool, streams: bool = False) -> None:
    """Show what a call gave.

    :param streams: it comes row by row: as JSON, each has a line of its own.
    """
    if as_json and streams:
        for row in value:
            typer.echo(harmless_json(json.dumps(plain(row), ensure_ascii=False)))
    elif as_json:
        print_json(plain(value))
    elif is_dataclass(value):
        told = {field.name: getattr(value, field.name) for field in fields(value)}
        _print_one({name: one for name, one in told.items() if one} if isinstance(value, Result) else told)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        _print_rows(value)
    else:
        typer.echo(words(value))


def write_lines(rows: Iterable[Any], path: Path) -> None:
    """Write rows into a file, with the names of their columns first; ends the program where that cannot be done."""
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for number, row in enumerate(rows):
                if not number and is_dataclass(row):
                    file.write("\t".join(field.name for field in fields(row)) + "\n")
                cells = [getattr(row, field.name) for field in fields(row)] if is_dataclass(row) else [row]
                file.write("\t".join(harmless(" ".join(str(plain(cell) or "").split())) for cell in cells) + "\n")
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
    """A value on one line, which is no command to a terminal; ``""`` for none."""
    return harmless(_words(value))


def _words(value: Any) -> str:
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
            return "; ".join(filter(None, map(_words, value)))
    if is_dataclass(value):
        return " ".join(filter(None, (str(plain(getattr(value, field.name)) or "") for field in fields(value))))
    return str(value)


def _print_one(told: Mapping[str, Any]) -> None:
    """A line for each value; a list of things is a table below them."""
    lists = {
        name: value for name, value in told.items() if isinstance(value, tuple) and value and is_dataclass(value[0])
    }
    _print_table([(_title(name), words(value)) for name, value in told.items() if name not in lists])
    for name, rows in lists.items():
        typer.echo()
        typer.secho(f"{_title(name)}:", bold=True)
        _print_rows(rows)


def _print_rows(rows: Iterable[Any]) -> None:
    """A table of what is told of any of them; where a terminal is too narrow for it, one for each."""
    told = list(rows)
    if not told:
        typer.echo("None.")
        return
    if not is_dataclass(told[0]):
        for row in told:
            typer.echo(words(row))
        return
    names = [field.name for field in fields(told[0]) if field.repr]  # without what is long, such as a template's HTML
    cells = [[words(getattr(row, name)) for name in names] for row in told]
    used = [column for column in range(len(names)) if any(row[column] for row in cells)]
    titles = [_title(names[column]) for column in used]
    table = [[row[column] for column in used] for row in cells]
    if not sys.stdout.isatty() or sum(_widths([titles, *table])) <= shutil.get_terminal_size().columns:
        _print_table(table, titles)
        return
    for row in table:
        _print_table([(title, cell) for title, cell in zip(titles, row, strict=True) if cell])
        typer.echo()


def _print_table(rows: Sequence[Sequence[str]], titles: Sequence[str] = ()) -> None:
    """Not by rich, which takes minutes for a hundred thousand rows."""
    widths = _widths([titles, *rows] if titles else rows)
    if titles:
        typer.secho(_aligned(titles, widths), bold=True)
    for row in rows:
        typer.echo(_aligned(row, widths))


def _widths(rows: Sequence[Sequence[str]]) -> Sequence[int]:
    """Those of a table's columns on a terminal, where Chinese characters take two; with the gaps between them."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) + 2 for column in zip(*rows, strict=True)]
    return [*widths[:-1], widths[-1] - 2]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    from rich.cells import cell_len

    return "".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _title(name: str) -> str:
    return name.replace("_", " ")

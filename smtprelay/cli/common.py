"""What the commands share: options, printing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smtprelay.cli.configuration import CONFIG_HELP
from smtprelay.words import harmless_json

if TYPE_CHECKING:
    from rich.table import Table

PIPED_WIDTH = 2000  # columns

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help=CONFIG_HELP),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(harmless_json(json.dumps(value, ensure_ascii=False, indent=2)))


def print_table(table: Table) -> None:
    """Print a table. What is piped into grep or awk is a line a row, however long. The words are strangers': rich reads
    no markup in them."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, markup=False, emoji=False, highlight=False)
    console.print(table)

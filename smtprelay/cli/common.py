"""What the commands share: options, printing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from smtprelay.cli.configuration import CONFIG_HELP

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help=CONFIG_HELP),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))

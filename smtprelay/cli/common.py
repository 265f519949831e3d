"""What the commands share: options, printing."""

from __future__ import annotations

import json
import time
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


def local_time(at: int) -> str:
    """Unix milliseconds with the local offset, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at / 1000)) if at else "-"


def interval(milliseconds: int) -> str:
    """``90_000`` → ``1m 30s``, two units at most."""
    seconds = max(milliseconds, 0) // 1000
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def octets(size: float) -> str:
    """``5300`` → ``5.2 KiB``."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"

"""What the commands share: finding the configuration, ending with sysexits' codes, printing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from smtprelay.config import Config, ConfigError, parse_config

DEFAULT_CONFIG = Path("/etc/smtprelay/config.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help=f"Default: $SMTPRELAY_CONFIG, then {DEFAULT_CONFIG}."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def fail(code: int, sentence: str) -> NoReturn:
    """Say what is wrong on standard error, and end with one of sysexits' codes."""
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


def config_path(option: Path | None) -> Path:
    """The configuration's file: the option, the environment, the default."""
    return option or Path(os.environ.get("SMTPRELAY_CONFIG") or DEFAULT_CONFIG)


def load_config(option: Path | None) -> Config:
    """The configuration, or the end of the program with 78 and every problem."""
    path = config_path(option)
    try:
        return parse_config(path.read_bytes(), path.absolute().parent)
    except OSError as error:
        fail(os.EX_CONFIG, f"{path} cannot be read: {error.strerror}. Name the configuration with -c FILE.")
    except ConfigError as error:
        fail(os.EX_CONFIG, "\n".join(f"{path}: {problem}" for problem in error.problems))


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

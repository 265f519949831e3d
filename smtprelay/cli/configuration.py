"""Finding the configuration, and ending with sysexits' codes: what the daemon needs too, which is run without typer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from smtprelay.config import Config, ConfigError, parse_config

DEFAULT_CONFIG = Path("/etc/smtprelay/config.toml")
CONFIG_HELP = f"Default: $SMTPRELAY_CONFIG, then {DEFAULT_CONFIG}."


def fail(code: int, sentence: str) -> NoReturn:
    """Say what is wrong on standard error, and end with one of sysexits' codes."""
    print(sentence, file=sys.stderr)
    sys.exit(code)


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

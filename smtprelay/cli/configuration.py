"""Finding the configuration, and ending with sysexits' codes: what the daemon needs too, which is run without typer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from smtprelay.config import Config, ConfigError
from smtprelay.config_file import NoConfigFile, read_config

DEFAULT_CONFIG = Path("/etc/smtprelay/config.toml")
CONFIG_HELP = f"Default: $SMTPRELAY_CONFIG, then {DEFAULT_CONFIG}."


def fail(code: int, sentence: str) -> NoReturn:
    """Say what is wrong on standard error, and end with one of sysexits' codes."""
    print(sentence, file=sys.stderr)
    sys.exit(code)


def fail_of_config(error: ConfigError) -> NoReturn:
    """End with 78 and every problem."""
    advice = ". Name the configuration with -c FILE." if isinstance(error, NoConfigFile) else ""
    fail(os.EX_CONFIG, f"{error}{advice}")


def config_path(option: Path | None) -> Path:
    """The configuration's file: the option, the environment, the default."""
    return option or Path(os.environ.get("SMTPRELAY_CONFIG") or DEFAULT_CONFIG)


def load_config(option: Path | None) -> Config:
    """The configuration, or the end of the program with 78 and every problem."""
    try:
        return read_config(config_path(option))
    except ConfigError as error:
        fail_of_config(error)

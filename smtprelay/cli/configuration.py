"""Finding the configuration, and ending with sysexits' codes: what the daemon needs too, which is run without typer."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from smtprelay.config import Config, ConfigError, PlatformAccount
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


def platform_account(accounts: Sequence[PlatformAccount], name: str, absent: str) -> PlatformAccount:
    """The account of the platform that a command is for, or the end of the program.

    :param name: as `--account` has it; ``""`` where it was not given.
    :param absent: what to say where there is none at all.
    """
    by_name = {account.key: account for account in accounts}
    if not by_name:
        fail(os.EX_CONFIG, absent)
    if not name and len(by_name) == 1:
        return accounts[0]
    if name not in by_name:
        problem = f"There is no account {name}" if name else "There are several accounts"
        fail(os.EX_USAGE, f"{problem}: say --account {' or --account '.join(by_name)}.")
    return by_name[name]

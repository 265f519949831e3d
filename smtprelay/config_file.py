"""The configuration from its file."""

from __future__ import annotations

from pathlib import Path

from smtprelay.config import Config, ConfigError, parse_config


def read_config(file: Path) -> Config:
    """The configuration from its file.

    :raises ConfigError: with every problem that was found.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        advice = "Name the configuration with -c FILE."
        raise ConfigError([f"{file} cannot be read: {error.strerror}. {advice}"]) from error
    try:
        return parse_config(data, file.absolute().parent)
    except ConfigError as error:
        raise ConfigError([f"{file}: {problem}" for problem in error.problems]) from None

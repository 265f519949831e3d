"""The configuration from its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from smtprelay.config import Config, ConfigError, parse_config, parse_control

T = TypeVar("T")


def read_config(file: Path) -> Config:
    """The configuration from its file.

    :raises ConfigError: with every problem that was found.
    """
    return _read(file, parse_config)


def read_control(file: Path) -> Path:
    """Where its daemon answers, though there be errors elsewhere in the file.

    :raises ConfigError: it cannot be told.
    """
    return _read(file, parse_control)


def _read(file: Path, parse: Callable[[bytes, Path], T]) -> T:
    try:
        data = file.read_bytes()
    except OSError as error:
        advice = "Name the configuration with -c FILE."
        raise ConfigError([f"{file} cannot be read: {error.strerror}. {advice}"]) from error
    try:
        return parse(data, file.absolute().parent)
    except ConfigError as error:
        raise ConfigError([f"{file}: {problem}" for problem in error.problems]) from None

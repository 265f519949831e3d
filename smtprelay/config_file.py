"""The configuration from its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from smtprelay.config import Config, ConfigError, parse_config, parse_control

T = TypeVar("T")


class NoConfigFile(ConfigError):
    """There is no file at that place."""


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
        kind = NoConfigFile if isinstance(error, FileNotFoundError) else ConfigError
        raise kind([f"{file} cannot be read: {error.strerror}"]) from error
    try:
        return parse(data, file.absolute().parent)
    except ConfigError as error:
        raise ConfigError([f"{file}: {problem}" for problem in error.problems]) from None

"""Octets in, `Config` or `ConfigError` out; no file is read here."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smtprelay.config.section import ConfigError
from smtprelay.config.sections import Config
from smtprelay.config.status import Status

# Pydantic's words where they would puzzle an operator, by the type of error.
_WORDS: Mapping[str, str] = {
    "extra_forbidden": "this key is not known; see config.example.toml for those that are",
    "missing": "this is needed and missing",
    "model_type": "a table is wanted here",
    "too_short": "at least one is needed",
    "tuple_type": "a list is wanted",
}


def parse_config(data: bytes, base: Path) -> Config:
    """The configuration from the octets of its file.

    :param base: the folder of the file; relative paths start there.
    :raises ConfigError: with every problem that was found.
    """
    tables = parse_toml(data)
    try:
        # The default of [templates] is a relative path too.
        return Config.model_validate({"templates": {}, **tables}, context={"base": base})
    except ValidationError as error:
        raise ConfigError(problems(error)) from None  # the original shows values, and a value may be a secret


def parse_control(data: bytes, base: Path) -> Path:
    """`[status] control` alone, of a configuration whose other keys may be wrong.

    :param base: as of `parse_config`.
    :raises ConfigError: it cannot be told.
    """
    tables = parse_toml(data)
    match tables.get("status", {}):
        case {"control": control}:
            given = {"control": control}
        # A name that is misspelt may stand for this one: another daemon may answer at the default place.
        case dict() as status if not {*tables} - {*Config.model_fields} and not {*status} - {*Status.model_fields}:
            given = {}
        case _:
            raise ConfigError(["status.control: it cannot be told"])
    try:
        return Status.model_validate(given, context={"base": base}).control
    except ValidationError as error:
        raise ConfigError(problems(error)) from None


def parse_toml(data: bytes) -> dict[str, Any]:
    """The tables of a TOML file from its octets; a byte order mark does no harm.

    :raises ConfigError: where it is none.
    """
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"line {line}: this is not UTF-8; save the file as UTF-8"]) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # or what the interpreter says of 5,000 digits or brackets
        raise ConfigError([f"TOML: {error}"]) from error


def problems(error: ValidationError, words: Mapping[str, str] = _WORDS) -> list[str]:
    """One line for each cause: where an item is bad, nothing is said of the list that it leaves too short.

    :param words: for people, in place of pydantic's, by the type of error.
    """
    details = error.errors(include_url=False, include_input=False)
    within = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    return [_problem(detail, words) for detail in details if not detail["loc"] or detail["loc"] not in within]


def _problem(detail: Any, words: Mapping[str, str]) -> str:
    place = ""
    for part in detail["loc"]:
        place += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if place else str(part)
    reason = words.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason

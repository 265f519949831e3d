"""Facts that the spool remembers, read with care: one may be damaged, or be another version's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger("spool")


def read_fact(facts: Mapping[str, str], key: str, read: Callable[[str], T]) -> T | None:
    """A fact, or None where it is unknown: because it is not there, or cannot be read, which is logged.

    :param facts: `Spool.recall` of this one, and perhaps of others.
    :param read: what makes it of its text; raises ValueError.
    """
    if (text := facts.get(key)) is None:
        return None
    try:
        return read(text)
    except ValueError:
        log.warning("a fact in the spool cannot be read: it counts as unknown", fact=key, text=text)
        return None

"""What comes out of a contact file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from smtprelay.errors import SMTPRelayError

# What follows the address in the platform's contact lines (its API, 4.9), by the names that its templates use.
FIELDS = ("fullname", "sex", "birthday", "phone", "area", *(f"var{i}" for i in range(1, 11)))

_EMPTY = MappingProxyType(dict.fromkeys(FIELDS, ""))


class Format(StrEnum):
    """How a line is read."""

    PLATFORM = "platform"
    CSV = "csv"
    JSONL = "jsonl"


class ContactsError(SMTPRelayError):
    """A contact file of which no line can be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody to be written to.

    >>> Contact("a@example.org", {"fullname": "王芳"}).variables["fullname"]
    '王芳'

    :param fields: JSON values by name, for templates.
    :param line: where it stands in its file, from 1; 0 for none.
    """

    address: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0

    @property
    def variables(self) -> dict[str, Any]:
        """The fields, and ``""`` for those of the platform (`FIELDS`) that it does not have."""
        return self.variables_over({})

    def variables_over(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same, with values for what the contact does not have."""
        return {**_EMPTY, **values, **self.fields}


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be used.

    :param line: its number, from 1.
    :param reason: what is wrong with it, for a person.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A line whose address came before: the first line counts, with its fields."""

    line: int
    address: str

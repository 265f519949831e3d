"""Enumerations of the platform, which keep values that its document does not know."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Value(StrEnum):
    """A value of the platform and its meaning. One that is not documented is kept as it came, and means ``""``.

    :ivar english: its meaning.
    :ivar chinese: likewise.
    """

    english: str
    chinese: str

    def __new__(cls, value: str, english: str = "", chinese: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.english, member.chinese = english, chinese
        return member

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        member.english = member.chinese = ""
        return member

    @property
    def is_documented(self) -> bool:
        """Whether the document knows it."""
        return self.value in type(self)._value2member_map_

    def __reduce_ex__(self, protocol: object) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.value,)

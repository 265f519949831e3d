"""What the platform's document prints as an answer, and what is to become of it.

`samples/NAME.txt` is a sample as the document's text has it, page breaks and all; `samples/NAME.repaired.txt` is what
stood there, where that is not the same. Both have descriptions in place of values; `Sample.fields` are values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call
from smtprelay.platform.errors import CallFailed, UnreadableAnswer

DIRECTORY = Path(__file__).with_name("samples")
_AND_SO_ON = re.compile(r"<(\w+)>\s*\.\.\.\s*</\1>|^\s*\.\.\.\s*$", re.MULTILINE)
_VALUE = r"(?:<!\[CDATA\[.*?\]\]>|[^<])*"


@dataclass(frozen=True)
class Refused:
    """The sample is refused in these words."""

    words: str


@dataclass(frozen=True)
class Sample:
    """A sample of the document.

    :param name: of its file, without the ending.
    :param call: what it answers.
    :param verbatim: what is read from it, or that it is refused.
    :param repaired: what is read from it once it is repaired; only where that was necessary.
    :param fields: values for all its fields, by the elements' names; none where it has values already.
    :param value: what is read from it with them.
    """

    name: str
    call: Call[Any]
    verbatim: object
    repaired: object = None
    fields: Mapping[str, str] = field(default_factory=dict)
    value: object = None

    def __str__(self) -> str:
        return self.name

    @property
    def files(self) -> set[str]:
        """The names of its files."""
        endings = (".txt", ".repaired.txt") if self.repaired is not None else (".txt",)
        return {self.name + ending for ending in endings}

    def check_printed(self) -> None:
        """It is read, or refused, as it is printed."""
        self._check((DIRECTORY / f"{self.name}.txt").read_bytes(), self.verbatim)

    def check_repaired(self) -> None:
        """And as it was meant."""
        self._check((DIRECTORY / f"{self.name}.repaired.txt").read_bytes(), self.repaired)

    def check_filled(self) -> None:
        """And with values for all its fields."""
        filled = self._filled()
        leaves = {element.tag for element in ElementTree.fromstring(filled).iter() if not len(element)}
        assert leaves == set(self.fields)
        self._check(filled.encode(), self.value)

    def _filled(self) -> str:
        file = DIRECTORY / f"{self.name}{'.repaired' * (self.repaired is not None)}.txt"
        text = _AND_SO_ON.sub("", file.read_text("utf-8"))
        for name, value in self.fields.items():
            text = re.sub(rf"<{name}>{_VALUE}</{name}\s*>", f"<{name}>{value}</{name}>", text)
        return text

    def _check(self, body: bytes, expected: object) -> None:
        if isinstance(expected, Refused):
            with pytest.raises((CallFailed, UnreadableAnswer), match=re.escape(expected.words)):
                self.call.read(Answer(body))
        else:
            assert self.call.read(Answer(body)) == expected

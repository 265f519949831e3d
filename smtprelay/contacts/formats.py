"""Lines → contacts, in each of the formats."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from smtprelay.contacts.lines import Line
from smtprelay.contacts.platform_line import read_line
from smtprelay.contacts.values import FIELDS, BadLine, Contact, ContactsError, Format
from smtprelay.message import parse_address

T = TypeVar("T")

MAX_RECORD = 50  # lines of a record of CSV: a quote that nobody closes must not swallow the file
DELIMITERS = ",;\t"

# How the column of the address is called, and what other names the platform's fields go by; all in lower case.
ADDRESS = frozenset({
    "address", "email", "e-mail", "email address", "email_address", "emailaddress", "mail",
    "recipient", "recipients", "to",
    "地址", "邮箱", "邮箱地址", "邮件", "邮件地址", "电子邮件", "电子邮箱", "收件人",
})  # fmt: skip
MEANINGS = {
    **{name: name for name in FIELDS},
    "name": "fullname", "姓名": "fullname", "性别": "sex", "生日": "birthday",
    "电话": "phone", "手机": "phone", "地区": "area",
}  # fmt: skip

Reader = Callable[[Iterable[Line]], Iterator[Contact | BadLine]]


def has_place(column: str) -> bool:
    """Whether the platform's lines have a place for what is in a column of this name."""
    name = column.lower()
    return name in ADDRESS or name in MEANINGS


def guess_format(head: Line) -> Format:
    """The format, by the first line: a brace begins JSON, an address a line of the platform's, all else a header."""
    if head.text.lstrip().startswith("{"):
        return Format.JSONL
    return Format.PLATFORM if "@" in head.text.partition(";")[0] else Format.CSV


def reader(form: Format, head: Line) -> Reader:
    """What reads the lines that are not blank, the first one among them.

    :raises ContactsError: it is no header of CSV.
    """
    match form:
        case Format.PLATFORM:
            return _line_by_line(read_line)
        case Format.JSONL:
            return _line_by_line(_json_contact)
        case Format.CSV:
            return _csv(head)


def _line_by_line(contact: Callable[[str, int], Contact]) -> Reader:
    def read(lines: Iterable[Line]) -> Iterator[Contact | BadLine]:
        for line in lines:
            if line.problem:
                yield BadLine(line.number, line.problem)
            elif line.text:
                yield _contact_or_bad(contact, line.text, line.number)

    return read


def _contact_or_bad(contact: Callable[[T, int], Contact], value: T, number: int) -> Contact | BadLine:
    try:
        return contact(value, number)
    except ValueError as error:
        return BadLine(number, str(error))


def _json_contact(text: str, number: int) -> Contact:
    try:
        fields = json.loads(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError('an object is wanted: {"address": "a@example.org", "fullname": "…"}')
    return _Columns(list(fields)).contact(["" if value is None else value for value in fields.values()], number)


class _Columns:
    """What the values of a record are, by their order.

    :raises ValueError: none of them is the address, or two have the same name.
    """

    def __init__(self, names: Sequence[str]) -> None:
        meant = [name.lower() for name in names]
        address = next((i for i, name in enumerate(meant) if name in ADDRESS), None)
        if address is None:
            raise ValueError(f"there is no address: one of {', '.join(map(repr, names))} must be called 'address'")
        named = [name for name in names if name]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise ValueError(f"there are two columns {twice!r}: give each its own name")
        self._address = address
        self.count = len(names)
        by_meaning = {MEANINGS[name]: i for i, name in enumerate(meant) if name in MEANINGS}
        self._at = {**by_meaning, **{name: i for i, name in enumerate(names) if name}}

    def contact(self, values: Sequence[Any], number: int) -> Contact:
        """:raises ValueError: the address is none."""
        address = values[self._address]
        if not isinstance(address, str):
            raise ValueError(f"the address is {json.dumps(address)}: it must be a string")
        return Contact(parse_address(address.strip()), {name: values[i] for name, i in self._at.items()}, number)

    def row_contact(self, row: Sequence[str], number: int) -> Contact:
        """The same of a row of CSV, which may be shorter: what is not there is ``""``."""
        if any(row[self.count :]):
            raise ValueError(f"the line has {len(row)} fields, and the header has {self.count}")
        values = [value.strip() for value in row[: self.count]]
        return self.contact([*values, *[""] * (self.count - len(values))], number)


def _header(head: Line) -> tuple[_Columns, str]:
    """The columns and the delimiter, which is the one that makes most columns.

    :raises ContactsError: none makes a column of addresses.
    """
    found: list[tuple[_Columns, str]] = []
    problem: Exception | None = None
    for delimiter in DELIMITERS:
        try:
            names = [name.strip() for name in next(csv.reader([head.text], delimiter=delimiter, strict=True))]
            found.append((_Columns(names), delimiter))
        except (ValueError, csv.Error) as error:
            problem = problem or error
    if not found:
        raise ContactsError(
            f"Line {head.number} is neither one of the platform's, which begins with an address, nor JSON, "
            f"nor a header of CSV: {problem}."
        )
    return max(found, key=lambda candidate: candidate[0].count)


class _Unreadable(Exception):
    """A line that has a problem of its own."""


class _Record:
    """The lines that csv asks for, one record after another."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._again: deque[Line] = deque()
        self.taken: list[Line] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) == MAX_RECORD:
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        if line.problem:
            raise _Unreadable(line.problem)
        return line.text + "\n"

    def give_back(self) -> None:
        """All but the first line are to be read again: they may be records of their own."""
        self._again.extendleft(reversed(self.taken[1:]))


def _csv(head: Line) -> Reader:
    columns, delimiter = _header(head)

    def read(lines: Iterable[Line]) -> Iterator[Contact | BadLine]:
        record = _Record(lines)
        rows = csv.reader(record, delimiter=delimiter, strict=True)
        while True:
            record.taken = []
            try:
                row = next(rows)
            except StopIteration:
                return
            except (csv.Error, _Unreadable) as error:
                record.give_back()
                yield BadLine(record.taken[0].number, record.taken[0].problem or f"this is not CSV: {error}")
                continue
            number = record.taken[0].number
            if not any(map(str.strip, row)) or number == head.number:  # Excel leaves such rows
                continue
            yield _contact_or_bad(columns.row_contact, row, number)

    return read

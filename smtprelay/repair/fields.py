"""The header of a message or of a MIME part: its fields as octets, in their order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

from smtprelay.repair.lines import MAX_LINE, has_long_line
from smtprelay.reply import Reject

MAX_HEADER = 2**20  # octets of one header
MAX_FIELDS = 1000
_SOFT_LINE = 78  # RFC 5322 §2.1.1
_MAX_NAME = 256  # a name that filled the line could not be folded

_NAME = rb"([!-9;-~]{1,%d})([ \t]*):" % _MAX_NAME  # RFC 5322 §2.2, and §4.5's white space before the colon
_FIELD_NAME = re.compile(_NAME)
_FIELD = re.compile(_NAME + rb"[^\n]*\n(?:[ \t][^\n]*\n)*+")
_ABOVE = re.compile(rb"\xef\xbb\xbf|>?From (?![ \t]*:)[^\n]*\n|[ \t][^\n]*\n")
_BLANK_LINE = re.compile(rb"\n[ \t]+\r")
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x10-\x1a\x1c-\x1f\x7f]")  # all but those of ISO 2022
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]+")
_WORD = re.compile(rb"[ \t]*[^ \t]+")


@dataclass(slots=True)
class Field:
    """A header field.

    :param name: in lower case.
    :param raw: name, colon and value as they stand in the message, folded, with the <CRLF> at the end.
    :param came: the same as it came; empty for a field of our making.
    """

    name: str
    raw: bytes
    came: bytes = b""

    @classmethod
    def compose(cls, name: str, *values: str) -> Field:
        """A field of our own making; each value begins a line.

        No value can end the field and begin another: controls become spaces here.
        """
        starts = [f"{name}:", *[""] * (len(values) - 1)]
        lines = (_fold(start, without_controls(value).strip()) for start, value in zip(starts, values, strict=True))
        return cls(name.lower(), b"".join(lines))

    @property
    def written_name(self) -> str:
        """The name as it was written."""
        return self.raw[: len(self.name)].decode("ascii")

    @property
    def value(self) -> bytes:
        """The value, unfolded (RFC 5322 §2.2.3)."""
        return self.raw[len(self.name) + 1 :].replace(b"\r\n", b"").strip(b" \t")

    @property
    def is_clean(self) -> bool:
        """Whether it can leave as it is: 7-bit, and no line is too long."""
        return self.raw.isascii() and not has_long_line(self.raw, 0, len(self.raw))

    def rewrite(self, value: str) -> None:
        """Puts another value into its place; the name stays as it was written."""
        self.raw = Field.compose(self.written_name, value).raw


@dataclass(slots=True)
class Header:
    """The fields in their order; what is not touched leaves as it came."""

    fields: list[Field]

    def all(self, name: str) -> list[Field]:
        return [field for field in self.fields if field.name == name]

    def first(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)

    def value(self, name: str) -> bytes:
        """The value of the first such field; empty where there is none."""
        field = self.first(name)
        return field.value if field else b""

    def remove(self, unwanted: Callable[[Field], bool]) -> list[Field]:
        """Takes fields out and returns them."""
        removed = [field for field in self.fields if unwanted(field)]
        if removed:
            self.fields = [field for field in self.fields if not unwanted(field)]
        return removed

    def keep_only(self, kept: Field) -> None:
        """Takes out the other fields of the same name."""
        self.remove(lambda field: field.name == kept.name and field is not kept)

    def append(self, name: str, value: str) -> None:
        self.fields.append(Field.compose(name, value))

    def set(self, name: str, value: str) -> None:
        """Gives the first such field another value, or appends one; there is one of them then."""
        first = self.first(name.lower())
        if first is None:
            self.append(name, value)
        else:
            first.rewrite(value)
            self.keep_only(first)

    def write(self, out: BytesIO) -> None:
        """Writes the fields and the blank line after them."""
        out.writelines(field.raw for field in self.fields)
        out.write(b"\r\n")


def without_controls(text: str) -> str:
    return _CONTROLS.sub(" ", text)


def parse_header(content: bytes, start: int, end: int, where: str, repairs: list[str]) -> tuple[Header, int]:
    """The header that a span of normalised content begins with, and where the body begins.

    It ends at the blank line, or at the first line that is no field (Postfix does so too). What is wrong with the
    form of a field is mended on the way.

    :param where: ``""`` for the message, else the part's name for people, with a colon.
    :raises Reject: where it is over the limits.
    """
    block = _header_block(content, start, end)
    position = 0
    while above := _ABOVE.match(block, position):
        position = above.end()
    if not _FIELD_NAME.match(block, position):
        position = 0  # then it is text without a header
    elif position:
        repairs.append(f"{where}what stood above the header removed (mbox line, folded line or byte order mark)")
    fields: list[Field] = []
    while match := _FIELD.match(block, position):
        fields.append(_form(match, where, repairs))
        position = match.end()
        if len(fields) > MAX_FIELDS:
            raise _too_large(where)
    if len(block) > MAX_HEADER and b"\n" not in block[position:] and (fields or _FIELD_NAME.match(block)):
        raise _too_large(where)
    if content.startswith(b"\r\n", start + position, end):
        return Header(fields), start + position + 2
    if fields and start + position < end:
        repairs.append(f"{where}blank line put between header and body")
    return Header(fields), start + position


def _header_block(content: bytes, start: int, end: int) -> bytes:
    """The lines up to the blank one, or as many octets as are too many."""
    if content.startswith(b"\r\n", start, end):
        return b""
    limit = min(end, start + MAX_HEADER + 1)
    blank = content.find(b"\r\n\r\n", start, limit)
    return content[start : limit if blank < 0 else blank + 2]


def _too_large(where: str) -> Reject:
    return Reject(
        552,
        "3.4",
        f"{where}the header is too large: send at most {MAX_HEADER} octets in at most {MAX_FIELDS} fields, "
        "and put a blank line after it",
    )


def _form(match: re.Match[bytes], where: str, repairs: list[str]) -> Field:
    """A field with its form mended: no control characters, no white space before the colon, no blank line within."""
    raw, name = match[0], match[1].decode("ascii")
    if _FORBIDDEN.search(raw):
        raw = _FORBIDDEN.sub(b"", raw)
        repairs.append(f"{where}{name}: control characters removed")
    if match[2]:  # many readers take such a line for the end of the header
        raw = match[1] + raw[len(match[1] + match[2]) :]
        repairs.append(f"{where}{name}: white space before the colon removed")
    if _BLANK_LINE.search(raw):
        raw = b"".join([line for line in raw.splitlines(keepends=True) if not line.isspace()])
        repairs.append(f"{where}{name}: blank line within the field removed")
    return Field(name.lower(), raw, match[0])


def _fold(start: str, value: str) -> bytes:
    """Lines folded before white space (RFC 5322 §2.2.3): of 78 octets where that can be, never of more than 998."""
    lines: list[bytes] = []
    line = start.encode("ascii")
    room = MAX_LINE  # the first word stays beside the name wherever it can: old readers expect it there
    for word in _words(b" " + value.encode()):
        if len(line) + len(word) > room:
            lines.append(line)
            line = word
        else:
            line += word
        room = _SOFT_LINE
    return b"\r\n".join([*lines, line]) + b"\r\n"


def _words(value: bytes) -> Iterator[bytes]:
    """The words with the white space before them; one that fits no line is cut."""
    for match in _WORD.finditer(value):
        word = match[0]
        if len(word) <= MAX_LINE:
            yield word
            continue
        word = word.lstrip(b" \t")
        for cut in range(0, len(word), MAX_LINE - 1):
            yield b" " + word[cut : cut + MAX_LINE - 1]

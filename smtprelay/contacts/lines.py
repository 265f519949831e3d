"""Octets → lines of text."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from smtprelay.contacts.values import ContactsError

MAX_LINE = 2**20  # octets
_WORKBOOK = b"PK\x03\x04"  # an .xlsx or .ods is a ZIP file
_EXCEL = re.compile(r'"?sep=.?"?', re.IGNORECASE)  # a first line that tells Excel the delimiter, which is found anyway


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    :param number: from 1.
    :param text: without its end; ``""`` where it is blank or cannot be read.
    :param problem: why it cannot be read, or ``""``.
    """

    number: int
    text: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """A whole file at a glance.

    :param encoding: ``"utf-8"`` or ``"gb18030"``.
    :param lines: how many there are.
    :param digest: SHA-256 of all octets, in hexadecimal.
    """

    encoding: str
    lines: int
    digest: str


def survey(stream: BinaryIO) -> Survey:
    """Look through a file, to know its encoding before the first line is used.

    It is UTF-8 where it begins with a BOM, or where most of the lines that are not ASCII are valid UTF-8; else GB18030.
    No single line could tell: one with two Chinese characters in GB18030 may be valid UTF-8, and one that is damaged in
    a file of UTF-8 must not turn all the others into other words.

    :raises ContactsError: it is in UTF-16, or no text at all but a workbook.
    """
    stream.seek(0)
    head = stream.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ContactsError('This is in UTF-16, as Excel\'s "Unicode text" is: save it as CSV UTF-8.')
    if head == _WORKBOOK:
        raise ContactsError("This is a workbook, as Excel saves it: save it as CSV UTF-8.")
    lines = valid = invalid = 0
    for octets in _split(stream):
        lines += 1
        if octets is None or octets.isascii():
            continue
        try:
            octets.decode("utf-8")
        except UnicodeDecodeError:
            invalid += 1
        else:
            valid += 1
    digest = hashlib.sha256()
    stream.seek(0)
    while block := stream.read(2**18):
        digest.update(block)
    utf8 = head.startswith(codecs.BOM_UTF8) or valid > invalid or not invalid
    return Survey("utf-8" if utf8 else "gb18030", lines, digest.hexdigest())


def read_lines(stream: BinaryIO, encoding: str) -> Iterator[Line]:
    """All lines, from the start of the file."""
    for number, octets in enumerate(_split(stream), 1):
        if octets is None:
            yield Line(number, "", f"the line is longer than {MAX_LINE >> 20} MiB")
            continue
        try:
            text = octets.decode(encoding)
        except UnicodeDecodeError:
            yield Line(number, "", f"this is not {encoding.upper()}, which the file is for the most part")
        else:
            if number == 1:
                text = text.removeprefix("\ufeff")  # GB18030 has a BOM too
                text = "" if _EXCEL.fullmatch(text) else text
            yield Line(number, text if text.strip() else "")


def _split(stream: BinaryIO) -> Iterator[bytes | None]:
    """Each line without its end and the file's BOM; None for one that is too long. (In both encodings the octets of a
    line feed are nothing else.)"""
    stream.seek(0)
    stream.seek(len(codecs.BOM_UTF8) if stream.read(3) == codecs.BOM_UTF8 else 0)
    while line := stream.readline(MAX_LINE + 2):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_LINE)):
            pass
        octets = line.removesuffix(b"\n").removesuffix(b"\r")
        yield octets if len(octets) <= MAX_LINE else None

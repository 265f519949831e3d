"""An answer of the platform, whatever its state: octets → text → XML or JSON."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from itertools import islice
from typing import Any, TypeVar
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException

from smtprelay.platform import almost_xml, elements
from smtprelay.platform.elements import SLICE
from smtprelay.platform.errors import EXCERPT, CallFailed, UnreadableAnswer
from smtprelay.platform.long_json import MAX_VALUE, values
from smtprelay.platform.statuses import DONE, Status

T = TypeVar("T")

BEGIN = 32 * EXCERPT  # characters

# What cannot stand in XML, which JSON escapes: half a character could be neither printed nor stored.
NO_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_THREE_OCTETS = re.compile("[\u0800-\ufffc]")  # in UTF-8, as nearly all Chinese characters have
_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]{0,100}>\s*)?<(?:!doctype html|html|head|meta|title|body|center|h1|div|p|br|b)[\s/>]",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^<>]*>")
_TITLE = re.compile(r"<(title|h1)\b[^>]{0,100}>([^<]{1,500})</\1", re.IGNORECASE)
_LINE = re.compile(rf"[\r\n]{{1,{SLICE}}}|[^\r\n]{{1,{SLICE}}}")

MAX_ROWS = 5_000_000  # of a list: they take a hundred octets each, and more


@dataclass(frozen=True)
class Answer:
    """The body of a response. Whatever its length, it is read in steps of some milliseconds, for asyncio's sake."""

    body: bytes = field(repr=False)

    @cached_property
    def text(self) -> str:
        """Its characters: UTF-8, or else GB 18030, which GBK and GB 2312 are part of; whatever it declares. Where it is
        neither, since a character was cut, it is UTF-8 where characters of three octets are left: GB 18030 rarely
        looks like one, but UTF-8 often like GB 18030."""
        try:
            return _decoded(self.body, "utf-8-sig", "strict")
        except UnicodeDecodeError:
            text = _decoded(self.body, "utf-8-sig", "replace")
        whole = sum(len(_THREE_OCTETS.findall(text, at, at + SLICE)) for at in range(0, len(text), SLICE))
        return text if whole >= text.count("\ufffd") else _decoded(self.body, "gb18030", "replace")

    @property
    def begin(self) -> str:
        """What comes first, without space before it; enough to tell what it is."""
        return self.text[:BEGIN].lstrip()

    @property
    def excerpt(self) -> str:
        """How it begins, on one line: more than an error shows. Of a page of HTML its title, or its words."""
        begin = self.text[:BEGIN]
        if _PAGE.match(begin):
            title = _TITLE.search(begin)
            begin = unescape(title[2] if title else _TAG.sub(" ", begin))
        return " ".join(begin.split())

    def without_addresses(self) -> UnreadableAnswer:
        """What to raise where they are missing."""
        return UnreadableAnswer("addresses were expected, and something else came", self.excerpt)

    def lines(self) -> list[str]:
        """The lines of a text file; empty ones are left out.

        :raises UnreadableAnswer: it is XML, or a page of HTML. :raises CallFailed: it is an error in XML.
        """
        if self.begin.startswith("<"):
            self.xml()
            raise UnreadableAnswer("a text file was expected, and XML came", self.excerpt)
        return list(_counted(line for line in self._lines() if not line.isspace()))

    def json(self) -> Any:
        """A value that is no list; for those there is `items`.

        :raises UnreadableAnswer: it is no JSON, or too long. :raises CallFailed: it is an error in XML.
        """
        if self.begin.startswith("<"):
            self.xml()
        try:
            if len(self.text) <= MAX_VALUE:
                return json.loads(self.text)
        except (ValueError, RecursionError):
            pass
        raise UnreadableAnswer("JSON was expected, and something else came", self.excerpt)

    def items(self) -> Iterator[Any]:
        """Those of a JSON list, or the values of an object, one after the other as they are read: `json` would read all
        of them in one go.

        :raises UnreadableAnswer: it is neither; at the end too, after items that could be read.
        """
        try:
            yield from _counted(values(self.text))
        except (ValueError, RecursionError):
            raise UnreadableAnswer("JSON was expected, and something else came", self.excerpt) from None

    def xml(self, *roots: str) -> Element:
        """The root element, with all that is in it.

        :param roots: how it may be called; none: however.
        :raises UnreadableAnswer: it is no XML, or XML about something else.
        :raises CallFailed: it is a ``<result>`` that says so, and that is none of `roots`.
        """
        parts = self._parts()
        root = next(parts)
        root.extend(list(islice(parts, elements.MAX_ELEMENTS)))
        if next(parts, None) is not None:
            raise UnreadableAnswer("the answer has too many elements", self.excerpt)
        self._check(root, roots)
        return root

    def rows(self, name: str, *roots: str) -> Iterator[Element]:
        """The elements of a list that is the whole answer, one after the other as they are read. Where the platform
        left the list out, its root is the only one.

        :param name: of the elements.
        :param roots: how the list may be called.
        :raises UnreadableAnswer: as `xml`; at the end too, after rows that could be read. :raises CallFailed: as `xml`.
        """
        parts = self._parts()
        root = next(parts)
        if root.tag not in roots:
            yield self.xml(*roots, name)
            return
        is_empty = True
        for element in _counted(parts):
            is_empty = False
            if element.tag == name:
                yield element
        if is_empty:
            self._check(root, roots)

    def _lines(self) -> Iterator[str]:
        """With the line breaks between them. :raises UnreadableAnswer: one is too long."""
        for line in _LINE.finditer(self.text):
            if line.end() - line.start() == SLICE and not line[0].isspace():
                raise UnreadableAnswer("a line of an address was expected, and a longer one came", self.excerpt)
            yield line[0]

    def _check(self, root: Element, roots: Sequence[str]) -> None:
        if root.tag == "result" and "result" not in roots:
            status, data = (" ".join((root.findtext(name) or "").split()) for name in ("status", "data"))
            if status and status not in DONE:
                raise CallFailed(Status(status), data)
        if roots and root.tag not in roots:
            raise UnreadableAnswer(f"<{roots[0]}> was expected, and <{root.tag}> came", self.excerpt)
        if roots and not len(root) and (root.text or "").strip():
            raise UnreadableAnswer(f"text stands in <{root.tag}> where elements were expected", self.excerpt)

    def _parts(self) -> Iterator[Element]:
        """The root as it begins, and then each of its elements as it ends, which are not within it."""
        text = self._text_of_xml()
        count = 0
        try:
            for part in elements.parse(text):
                count += 1
                yield part
        except DefusedXmlException:
            raise UnreadableAnswer("XML with a DTD came, which is not read: it may be a bomb", self.excerpt) from None
        except (ParseError, ValueError):
            yield from islice(self._mended(text), count, None)
        except elements.NotXML as error:
            raise UnreadableAnswer(f"the answer {error}", self.excerpt) from None

    def _mended(self, text: str) -> Iterator[Element]:
        try:
            yield from almost_xml.parse(text)
        except elements.NotXML as error:
            raise UnreadableAnswer(f"the answer {error}", self.excerpt) from None

    def _text_of_xml(self) -> str:
        text = "".join([NO_CHARACTERS.sub("", self.text[at : at + SLICE]) for at in range(0, len(self.text), SLICE)])
        text = text.strip()
        if not text:
            raise UnreadableAnswer("the answer is empty")
        if _PAGE.match(text[:BEGIN]):
            raise UnreadableAnswer("a page of HTML came in place of an answer", self.excerpt)
        if not text.startswith("<"):
            raise UnreadableAnswer("XML was expected, and text came", self.excerpt)
        return text


def _counted(rows: Iterable[T]) -> Iterator[T]:
    """:raises UnreadableAnswer: there are too many."""
    for number, row in enumerate(rows):
        if number == MAX_ROWS:
            raise UnreadableAnswer(f"more than {MAX_ROWS} rows came")
        yield row


def _decoded(octets: bytes, encoding: str, errors: str) -> str:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    pieces = [decoder.decode(octets[at : at + SLICE]) for at in range(0, len(octets), SLICE)]
    return "".join(pieces) + decoder.decode(b"", final=True)

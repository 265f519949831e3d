"""An answer of the platform, whatever its state: octets → text → XML or JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from smtprelay.platform.errors import CallFailed, UnreadableAnswer
from smtprelay.platform.statuses import Status

EXCERPT = 120  # characters
_DECLARED = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?([A-Za-z0-9_-]{2,20})""")
_NO_XML_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_PAGE = re.compile(r"\s*(?:<!doctype html|<html|<head|<body|<center|<h1)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """The body of a response.

    :param content_type: what HTTP says of it, which need not be so.
    """

    body: bytes = field(repr=False)
    content_type: str = ""

    @cached_property
    def text(self) -> str:
        """Its characters: UTF-8, or else what it declares, or else GB 18030, which GBK and GB 2312 are part of."""
        declared = _DECLARED.search(self.body[:200]) or _DECLARED.search(self.content_type.encode())
        for charset in ("utf-8-sig", declared[1].decode() if declared else "", "gb18030"):
            try:
                return self.body.decode(charset)
            except (LookupError, UnicodeDecodeError):
                pass
        return self.body.decode("gb18030", "replace")

    @property
    def excerpt(self) -> str:
        """How it begins, on one line."""
        return " ".join(self.text[: 4 * EXCERPT].split())[:EXCERPT]

    @property
    def is_xml(self) -> bool:
        """Whether it begins like XML."""
        return self.text.lstrip().startswith("<") and not _PAGE.match(self.text)

    def lines(self) -> list[str]:
        """The lines of a text file; empty ones are left out.

        :raises UnreadableAnswer: it is a page of HTML. :raises CallFailed: it is an error in XML.
        """
        if self.text.lstrip().startswith("<"):
            self.xml()
            raise UnreadableAnswer("a text file was expected, and XML came", self.excerpt)
        return [line for line in self.text.splitlines() if line.strip()]

    def json(self) -> Any:
        """:raises UnreadableAnswer: it is no JSON. :raises CallFailed: it is an error in XML."""
        if self.text.lstrip().startswith("<"):
            self.xml()
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            raise UnreadableAnswer("JSON was expected, and something else came", self.excerpt) from None

    def xml(self, *roots: str) -> Element:
        """The root element.

        :param roots: how it may be called; none: however.
        :raises UnreadableAnswer: it is no XML, or XML about something else.
        :raises CallFailed: it is a ``<result>`` that says so, and that is none of `roots`.
        """
        root = self._root()
        if root.tag == "result" and "result" not in roots:
            status, data = (" ".join((root.findtext(name) or "").split()) for name in ("status", "data"))
            if status != Status.SUCCESS or roots:
                raise CallFailed(Status(status), data)
        if roots and root.tag not in roots:
            raise UnreadableAnswer(f"<{roots[0]}> was expected, and <{root.tag}> came", self.excerpt)
        return root

    def _root(self) -> Element:
        text = _NO_XML_CHARACTERS.sub("", self.text).strip()
        if not text:
            raise UnreadableAnswer("the answer is empty")
        if _PAGE.match(text):
            raise UnreadableAnswer("a page of HTML came in place of an answer", _title(text) or self.excerpt)
        if not text.startswith("<"):
            raise UnreadableAnswer("XML was expected, and text came", self.excerpt)
        try:
            root: Element = fromstring(text, forbid_dtd=True)
        except DefusedXmlException:
            raise UnreadableAnswer("XML with a DTD came, which is not read: it may be a bomb", self.excerpt) from None
        except (ParseError, ValueError):
            return _Mender(text).root(self.excerpt)
        return root


def _title(page: str) -> str:
    match = re.search(r"<(title|h1)[^>]*>(.*?)</\1", page, re.IGNORECASE | re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", match[2]).split())[:EXCERPT] if match else ""


class _Mender(HTMLParser):
    """Reads what is almost XML: ampersands that are none, ends of elements that were never begun or have another name.
    What breaks off is not mended: nobody would see what is missing.
    """

    # What HTML calls <script> or <title> is an element like any other here.
    CDATA_CONTENT_ELEMENTS = ()  # type: ignore[misc]
    RCDATA_CONTENT_ELEMENTS = ()  # type: ignore[misc]

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []
        self._root: Element | None = None
        self._stray = ""  # the end of an element that was not open, and …
        self._stray_text = ""  # … what follows it: `</info>done</info>`
        self._ends_well = False  # with an end tag that can only be the root's
        self.feed(text)
        self.close()

    def root(self, excerpt: str) -> Element:
        """:raises UnreadableAnswer: it cannot be read all the same."""
        if self._root is None:
            raise UnreadableAnswer("the answer is no XML", excerpt)
        if self._open and not (len(self._open) == 1 and self._ends_well):
            raise UnreadableAnswer(f"the answer breaks off within <{self._open[-1].tag}>", excerpt)
        return self._root

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._ends_well, self._stray = False, ""
        if self._open:
            self._open.append(SubElement(self._open[-1], tag))
        elif self._root is None:
            self._root = Element(tag)
            self._open.append(self._root)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.handle_starttag(tag, attrs)
        if self._open:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        names = [element.tag for element in self._open]
        if tag in names:
            del self._open[len(names) - 1 - names[::-1].index(tag) :]
        elif self._stray == tag and self._open:
            SubElement(self._open[-1], tag).text = self._stray_text
        elif len(self._open) > 1 and not len(self._open[-1]):
            self._open.pop()  # `<send_id>7</task_sn>`: within a value nothing else can end
        else:
            self._stray, self._stray_text, self._ends_well = tag, "", True
            return
        self._stray, self._ends_well = "", False

    def handle_data(self, data: str) -> None:
        if data.strip():
            self._ends_well = False
        if self._stray:
            self._stray_text += data
        elif self._open and not len(self._open[-1]):
            self._open[-1].text = (self._open[-1].text or "") + data

    def unknown_decl(self, data: str) -> None:
        if data.startswith("CDATA["):
            self.handle_data(data.removeprefix("CDATA["))

"""An answer of the platform, whatever its state: octets → text → XML or JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from smtprelay.platform import almost_xml
from smtprelay.platform.errors import EXCERPT, CallFailed, UnreadableAnswer
from smtprelay.platform.statuses import DONE, Status

_NO_XML_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]{0,100}>\s*)?<(?:!doctype html|html|head|meta|title|body|center|h1|div|p|br|b)[\s/>]",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^<>]*>")
_TITLE = re.compile(r"<(title|h1)\b[^>]{0,100}>([^<]{1,500})</\1", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """The body of a response."""

    body: bytes = field(repr=False)

    @cached_property
    def text(self) -> str:
        """Its characters: UTF-8, or else GB 18030, which GBK and GB 2312 are part of; whatever it declares. Where it is
        neither, since a character was cut, it is what it is for the most part."""
        try:
            return self.body.decode("utf-8-sig")
        except UnicodeDecodeError:
            both = (self.body.decode(charset, "replace") for charset in ("utf-8-sig", "gb18030"))
            return min(both, key=lambda text: text.count("\ufffd"))

    @property
    def excerpt(self) -> str:
        """How it begins, on one line; of a page of HTML its title, or its words."""
        begin = self.text[: 32 * EXCERPT]
        if _PAGE.match(begin):
            title = _TITLE.search(begin)
            begin = unescape(title[2] if title else _TAG.sub(" ", begin))
        return " ".join(begin.split())[:EXCERPT]

    def lines(self) -> list[str]:
        """The lines of a text file; empty ones are left out.

        :raises UnreadableAnswer: it is XML, or a page of HTML. :raises CallFailed: it is an error in XML.
        """
        if self.text.lstrip().startswith("<"):
            self.xml()
            raise UnreadableAnswer("a text file was expected, and XML came", self.excerpt)
        return [line for line in self.text.replace("\r", "\n").split("\n") if line.strip()]

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
            if status and status not in DONE:
                raise CallFailed(Status(status), data)
        if roots and root.tag not in roots:
            raise UnreadableAnswer(f"<{roots[0]}> was expected, and <{root.tag}> came", self.excerpt)
        return root

    def _root(self) -> Element:
        text = _NO_XML_CHARACTERS.sub("", self.text).strip()
        if not text:
            raise UnreadableAnswer("the answer is empty")
        if _PAGE.match(text):
            raise UnreadableAnswer("a page of HTML came in place of an answer", self.excerpt)
        if not text.startswith("<"):
            raise UnreadableAnswer("XML was expected, and text came", self.excerpt)
        try:
            root: Element = fromstring(text, forbid_dtd=True)
        except DefusedXmlException:
            raise UnreadableAnswer("XML with a DTD came, which is not read: it may be a bomb", self.excerpt) from None
        except (ParseError, ValueError):
            return self._mended(text)
        return root

    def _mended(self, text: str) -> Element:
        try:
            return almost_xml.parse(text)
        except almost_xml.NotXML as error:
            raise UnreadableAnswer(f"the answer {error}", self.excerpt) from None

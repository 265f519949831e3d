"""What is almost XML: ampersands that are none, ends of elements that were never begun or have another name.

What breaks off is not mended: nobody would see what is missing.
"""

from __future__ import annotations

import re
from html import unescape
from xml.etree.ElementTree import Element, SubElement

MAX_DEPTH = 32  # elements within elements; the document has four

# The possessive quantifiers and the `[^<>]` see to it that no text takes longer than its length.
_TOKEN = re.compile(
    r"<!\[CDATA\[(?P<cdata>.*?)\]\]>|<[?!][^<>]*+>|<(?P<end>/?)(?P<tag>[^\s<>/?!]++)(?P<rest>[^<>]*+)>", re.DOTALL
)


class NotXML(Exception):
    """It cannot be mended; the text says why, as the predicate of "the answer"."""


def parse(text: str) -> Element:
    """The root element. Attributes are left out: the platform has none.

    :raises NotXML: it is not even that.
    """
    if text.rfind("<![CDATA[") > text.rfind("]]>"):
        raise NotXML("breaks off within CDATA")
    reader, at = _Reader(), 0
    for token in _TOKEN.finditer(text):
        reader.data(_unescaped(text[at : token.start()]))
        at = token.end()
        if token["cdata"] is not None:
            reader.data(token["cdata"])
        elif token["end"]:
            reader.end(token["tag"])
        elif token["tag"]:
            reader.start(token["tag"], empty=token["rest"].endswith("/"))
    reader.data(_unescaped(text[at:]))
    return reader.root()


def _unescaped(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:  # a number of thousands of digits, which Python does not read
        raise NotXML("has a character in it that there is not") from None


class _Reader:
    def __init__(self) -> None:
        self._root: Element | None = None
        self._open: list[Element] = []
        self._stray = ""  # the end of an element that was not open, and …
        self._stray_text = ""  # … what follows it: `</info>done</info>`

    def root(self) -> Element:
        if self._root is None:
            raise NotXML("is no XML")
        # An end that stands last can only be the root's, whatever its name: `<maillist>…</aillist>`.
        if self._open and not (len(self._open) == 1 and self._stray and not self._stray_text.strip()):
            raise NotXML(f"breaks off within <{self._open[-1].tag}>")
        return self._root

    def start(self, tag: str, *, empty: bool) -> None:
        self._stray = self._stray_text = ""
        if self._root is None:
            element = self._root = Element(tag)
        elif not self._open:
            raise NotXML(f"goes on after </{self._root.tag}>")
        elif len(self._open) == MAX_DEPTH:
            raise NotXML("has too many elements within elements")
        else:
            element = SubElement(self._open[-1], tag)
        if not empty:
            self._open.append(element)

    def end(self, tag: str) -> None:
        names = [element.tag for element in self._open]
        if tag in names:
            del self._open[len(names) - 1 - names[::-1].index(tag) :]
        elif self._stray == tag and self._open:
            SubElement(self._open[-1], tag).text = self._stray_text
        elif len(self._open) > 1 and not len(self._open[-1]):
            self._open.pop()  # `<send_id>7</task_sn>`: within a value nothing else can end
        else:
            self._stray, self._stray_text = tag, ""
            return
        self._stray = self._stray_text = ""

    def data(self, text: str) -> None:
        if self._stray:
            self._stray_text += text
        elif self._open and not len(self._open[-1]):
            self._open[-1].text = (self._open[-1].text or "") + text

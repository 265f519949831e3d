"""What is almost XML: ampersands that are none, ends of elements that were never begun or have another name.

What breaks off is not mended: nobody would see what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from html.entities import html5
from xml.etree.ElementTree import Element

from smtprelay.platform.elements import MAX_TEXT, TOO_LONG, Builder, NotXML

LONGEST_TAG = 2**24  # characters: to look through them takes 20 ms

_CDATA, _CDATA_ENDS = "<![CDATA[", "]]>"
# The possessive quantifiers and the `[^<>]` see to it that no text takes longer than its length.
_TAG = re.compile(r"<[?!][^<>]*+>|<(?P<end>/?)(?P<tag>[^\s<>/?!]++)(?P<rest>[^<>]*+)>")
# With its semicolon: HTML knows some without, and in the address of a link `&copy=1` is a parameter.
_REFERENCE = re.compile(r"&(?:(?P<name>\w++)|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")


def parse(text: str) -> Iterator[Element]:
    """The root as it begins, and then each of its elements as it ends, which are not within it.

    :raises NotXML: it is not even that, or too much.
    """
    if text.rfind(_CDATA) > text.rfind(_CDATA_ENDS):
        raise NotXML("breaks off within CDATA")
    builder, at, begin = _Mending(), 0, -1
    # One step for each `<`: a search for what is a tag would keep the interpreter where a million are none.
    while (begin := text.find("<", begin + 1)) >= 0:
        if begin - at > MAX_TEXT:
            raise NotXML(TOO_LONG)
        is_cdata = text.startswith(_CDATA, begin)
        tag = None if is_cdata else _TAG.match(text, begin, begin + LONGEST_TAG)
        if not (is_cdata or tag):
            continue
        builder.data(_unescaped(text[at:begin]))
        if tag is None:
            end = text.index(_CDATA_ENDS, begin)
            builder.data(text[begin + len(_CDATA) : end])
            at = end + len(_CDATA_ENDS)
        else:
            _take(builder, tag)
            at = tag.end()
        begin = at - 1
        yield from builder.take()
    builder.data(_unescaped(text[at:]))
    builder.close()


def _take(builder: _Mending, tag: re.Match[str]) -> None:
    if tag["end"]:
        builder.end(tag["tag"])
    elif tag["tag"]:
        builder.start(tag["tag"])
        if tag["rest"].endswith("/"):
            builder.end(tag["tag"])


def _unescaped(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise NotXML(TOO_LONG)
    return _REFERENCE.sub(_character, text)


def _character(reference: re.Match[str]) -> str:
    is_none = reference["name"] and f"{reference['name']};" not in html5
    return reference[0] if is_none else unescape(reference[0])


class _Mending(Builder):
    """Takes ends that do not fit."""

    def __init__(self) -> None:
        super().__init__()
        self._root = ""
        self._stray = ""  # the end of an element that was not open: `</info>done</info>`

    def start(self, tag: str, attributes: object = None) -> None:
        if self._root and not self._open:
            raise NotXML(f"goes on after </{self._root}>")
        if self._stray:
            self._text.clear()
        super().start(tag)
        self._root, self._stray = self._root or tag, ""

    def end(self, tag: str) -> None:
        stray, self._stray = self._stray, ""
        if stray == tag and self._open:
            within, self._text = self._text, []
            super().start(tag)
            self._text = within
            super().end(tag)
            return
        if stray:
            self._text.clear()
        names = [element.tag for element in self._open]
        if tag in names:
            self._end(len(names) - 1 - names[::-1].index(tag))
        elif len(names) > 1 and not len(self._open[-1]):
            super().end(tag)  # `<send_id>7</task_sn>`: within a value nothing else can end
        else:
            self._settle()
            self._stray = tag

    def close(self) -> None:
        """Nothing more comes. :raises NotXML: something is missing."""
        if not self._root:
            raise NotXML("is no XML")
        # An end that stands last can only be the root's, whatever its name: `<maillist>…</aillist>`.
        if self._open and not (len(self._open) == 1 and self._stray and not "".join(self._text).strip()):
            raise NotXML(f"breaks off within <{self._open[-1].tag}>")

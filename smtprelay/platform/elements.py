"""XML → elements, a slice at a time: an answer may have a million rows, and others need the interpreter meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, SubElement

from defusedxml.ElementTree import XMLParser

SLICE = 2**16  # characters
MAX_DEPTH = 32  # elements within elements; the document has four
MAX_ELEMENTS = 100_000  # within one of the root's
MAX_TAG = 2**17  # octets; its attributes are read in one go
MAX_TEXT = 2**22  # characters of one element: the HTML of a template
TOO_LONG = "has too long a text in one of its elements"


class NotXML(Exception):
    """It is not read; the text says why, as the predicate of "the answer"."""


class Builder:
    """Makes elements of what begins and ends. Attributes are left out: the platform has none."""

    def __init__(self) -> None:
        self._open: list[Element] = []
        self._ready: list[Element] = []
        self._text: list[str] = []
        self._length = 0
        self._count = 0

    def start(self, tag: str, attributes: object = None) -> None:
        self._settle()
        self._count += 1
        if len(self._open) == MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise NotXML("has too many elements within elements")
        below = len(self._open)
        self._open.append(SubElement(self._open[-1], tag) if below > 1 else Element(tag))
        if not below:
            self._ready.append(self._open[0])

    def end(self, tag: str) -> None:
        self._end(len(self._open) - 1)

    def data(self, text: str) -> None:
        self._text.append(text)
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise NotXML(TOO_LONG)

    def take(self) -> list[Element]:
        """What was not taken before: the root, once it has begun, and the elements in it that have ended."""
        ready, self._ready = self._ready, []
        return ready

    def _end(self, at: int) -> None:
        """End the open element of this depth, with all that is open within it."""
        self._settle()
        if at <= 1 < len(self._open):
            self._ready.append(self._open[1])
            self._count = 0
        del self._open[at:]

    def _settle(self) -> None:
        """The text of an element is what stands before the elements in it."""
        if self._text and self._open and self._open[-1].text is None and not len(self._open[-1]):
            self._open[-1].text = "".join(self._text)
        self._text.clear()
        self._length = 0


def parse(text: str) -> Iterator[Element]:
    """The root as it begins, and then each of its elements as it ends, which are not within it.

    :raises ParseError: it is no XML, or can be read without attributes only. :raises NotXML: it is too much.
    :raises DefusedXmlException: it has a DTD.
    """
    builder = Builder()
    parser = XMLParser(target=builder, encoding="utf-8", forbid_dtd=True)
    came = 0
    for at in range(0, len(text), SLICE):
        octets = text[at : at + SLICE].encode()
        parser.feed(octets)
        came += len(octets)
        if came - parser.parser.CurrentByteIndex > MAX_TAG:
            raise ParseError("a tag is too long to be read with its attributes")
        yield from builder.take()
    parser.close()
    yield from builder.take()

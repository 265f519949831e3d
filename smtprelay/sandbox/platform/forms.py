"""What is answered, in the document's forms: XML, text, JSON; and how it is damaged on the way."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from xml.sax.saxutils import escape

from smtprelay.sandbox.platform.quirks import Quirk

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


class CData(str):
    """Text that the document prints in a CDATA section."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Node:
    """An element.

    :param content: its text, or the elements in it.
    :param is_list: so that one element may come without it; see `Quirk.LONE`.
    """

    tag: str
    content: str | tuple[Node, ...] = ""
    is_list: bool = False

    def with_nodes(self, *nodes: Node) -> Node:
        """The same with more elements at its end."""
        assert isinstance(self.content, tuple)
        return replace(self, content=(*self.content, *nodes))


@dataclass(frozen=True, slots=True)
class Json:
    """A list in JSON."""

    rows: list[str] | list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Text:
    """Lines of text."""

    lines: list[str]
    media_type: str = "text/plain"


Answer: TypeAlias = Node | Json | Text


class Refused(Exception):
    """A call is answered with a status other than success, and HTTP 200."""

    def __init__(self, status: str, data: str) -> None:
        super().__init__(status, data)
        self.answer = result(status, data)


def record(tag: str, /, **fields: object) -> Node:
    """An element with one for each value, as `leaf` writes it."""
    return Node(tag, tuple(leaf(name, value) for name, value in fields.items()))


def leaf(tag: str, value: object) -> Node:
    """An element with a value. Times are the platform's, without a zone; None is an empty element."""
    match value:
        case None:
            return Node(tag)
        case datetime():
            return Node(tag, f"{value:%Y-%m-%d %H:%M:%S}")
        case str():
            return Node(tag, value)
    return Node(tag, str(value))


def listing(tag: str, nodes: Iterable[Node]) -> Node:
    """A list; where nothing is in it, an empty element."""
    return Node(tag, tuple(nodes), is_list=True)


def result(status: str, data: object) -> Node:
    """What became of a change."""
    return record("result", status=status, data=CData(data))


def render(answer: Answer, quirks: Collection[Quirk] = ()) -> tuple[bytes, str]:
    """:returns: the octets, and their media type."""
    match answer:
        case Node():
            text, media_type = DECLARATION + _xml(_lone(answer) if Quirk.LONE in quirks else answer, quirks), "text/xml"
        case Json(rows):
            lone = Quirk.LONE in quirks and len(rows) == 1
            text, media_type = json.dumps(rows[0] if lone else rows, ensure_ascii=False), "application/json"
        case Text(lines, media_type):
            text = "".join(f"{line}\n" for line in lines)
    return text.encode("gb18030" if Quirk.GBK in quirks else "utf-8"), media_type


def _lone(node: Node) -> Node:
    if not isinstance(node.content, tuple):
        return node
    if node.is_list and len(node.content) == 1:
        return _lone(node.content[0])
    return Node(node.tag, tuple(_lone(inner) for inner in node.content), node.is_list)


def _xml(node: Node, quirks: Collection[Quirk], indent: str = "") -> str:
    content = node.content
    if isinstance(content, tuple):
        inner = "".join(_xml(one, quirks, f"{indent}  ") for one in content)
        return f"{indent}<{node.tag}>\n{inner}{indent}</{node.tag}>\n"
    if content and (isinstance(content, CData) or Quirk.CDATA in quirks):
        text = f"<![CDATA[{content.replace(']]>', ']]]]><![CDATA[>')}]]>"
    else:
        text = content if Quirk.AMPERSAND in quirks else escape(content)
    return f"{indent}<{node.tag}>{text}</{node.tag}>\n"

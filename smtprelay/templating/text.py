"""HTML → text, for the part that people read where HTML is not shown.

Made for HTML in the form that css-inline writes, in which tags are balanced, values quoted and comments closed. Other
HTML does no harm; every pattern here takes what it began, so the time is proportional to the length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape, unescape

_TOKEN = re.compile(
    r"<!--(?:.*?-->|.*+)"
    r"|<[!?][^>]*+>?"
    r"""|<(?P<slash>/?)(?P<tag>[a-zA-Z][^\s/>]*+)(?P<attributes>(?:[^>"']|"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))*+)>?"""
    r"|(?P<text>[^<]++|<)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]++)\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s>"']++))""")
_NO_ATTRIBUTES: Mapping[str, str] = {}
_BARE_HIDDEN = re.compile(r"(?:^|\s)hidden(?:\s|$)", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*+:\s*+none|mso-hide\s*+:\s*+all", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200f\u2060\ufeff]")  # what preheaders are filled up with
_BLANK_LINES = re.compile(r"\n{3,}")


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_UNSEEN = _names("head title style script template noscript svg math iframe object select textarea")
VOID = _names("area base br col embed hr img input link meta param source track wbr")
_PARAGRAPHS = _names("p h1 h2 h3 h4 h5 h6 ul ol dl table blockquote pre figure form fieldset")
_LINES = _names(
    "div tr li dt dd section article header footer main nav aside address center caption figcaption body html"
)
_CELLS = frozenset(("td", "th"))
_DEEPEST = 8  # levels of lists that are indented


def to_text(html: str) -> str:
    """The text of an HTML document: paragraphs, list items, and where links lead.

    >>> to_text('<h1>Hello</h1><p>See <a href="https://example.com/">this</a>.</p>')
    'Hello\\n\\nSee this <https://example.com/>.\\n'
    """
    writer = _Writer()
    for token in _TOKEN.finditer(html):
        text = token["text"]
        if text is not None:
            writer.text(text)
        elif token["tag"]:
            tag = token["tag"].lower()
            if token["slash"]:
                writer.end(tag)
            else:
                writer.start(tag, token["attributes"])
    return writer.result()


def to_html(text: str) -> str:
    """Text as HTML: what is blank between lines separates paragraphs.

    >>> to_html("Dear A & B,\\n\\none\\ntwo\\n")
    '<p>Dear A &amp; B,</p>\\n<p>one<br>\\ntwo</p>'
    """
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", text.replace("\r\n", "\n").strip())
    return "\n".join(f"<p>{escape(part).replace(chr(10), '<br>' + chr(10))}</p>" for part in paragraphs if part)


class _Writer:
    def __init__(self) -> None:
        self._out: list[str] = []
        self._breaks = 2  # line ends that stand at the end of what is written
        self._space = False  # whether white space waits for the next word
        self._unseen = ""  # the tag within which nothing is shown,
        self._depth = 0  # and how many of it are open
        self._preformatted = 0
        self._link: tuple[str, int] | None = None  # where the open link leads, and where its text begins
        self._lists: list[int] = []  # the number of the last item; of unordered ones, -1

    def text(self, raw: str) -> None:
        if self._unseen:
            return
        text = unescape(raw)
        if not text.isascii():
            text = _INVISIBLE.sub("", text)
        if self._preformatted:
            self._write(text)
            self._breaks = len(text) - len(text.rstrip("\n"))
            return
        words = _SPACE.sub(" ", text).replace("\xa0", " ")
        if words.startswith(" "):
            self._space = True
        if word := words.strip(" "):
            self._write(word)
            self._space = words.endswith(" ")

    def start(self, tag: str, attributes: str) -> None:
        if self._unseen:
            self._depth += tag == self._unseen
            return
        values = _attributes(attributes) if attributes else _NO_ATTRIBUTES
        if tag not in VOID and (tag in _UNSEEN or "hidden" in values or _HIDDEN.search(values.get("style", ""))):
            self._unseen, self._depth = tag, 1
        elif tag == "br":
            self._line()
        elif tag == "hr":
            self._blank_line()
            self._write("-" * 40)
            self._blank_line()
        elif tag == "img":
            self.text(escape(values.get("alt", "")))
        elif tag == "a":
            self._link = (values.get("href", ""), len(self._out))
        elif tag in _CELLS:
            self._space = True
        else:
            self._open_block(tag)

    def end(self, tag: str) -> None:
        if self._unseen:
            self._depth -= tag == self._unseen
            if not self._depth:
                self._unseen = ""
            return
        if tag == "a" and self._link:
            self._end_link(*self._link)
            self._link = None
        elif tag in _CELLS:
            self._space = True
        else:
            self._close_block(tag)

    def result(self) -> str:
        lines = [line.rstrip() for line in "".join(self._out).split("\n")]
        text = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
        return f"{text}\n" if text else ""

    def _open_block(self, tag: str) -> None:
        self._break_for(tag)
        if tag in ("ul", "ol"):
            self._lists.append(0 if tag == "ol" else -1)
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "li":
            self._item()

    def _item(self) -> None:
        mark = "- "
        if self._lists and self._lists[-1] >= 0:
            self._lists[-1] += 1
            mark = f"{self._lists[-1]}. "
        self._write("  " * (min(len(self._lists), _DEEPEST) - 1) + mark)
        self._breaks = 2  # a paragraph that the item begins with stands beside its mark

    def _close_block(self, tag: str) -> None:
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre":
            self._preformatted = max(self._preformatted - 1, 0)
        self._break_for(tag)

    def _break_for(self, tag: str) -> None:
        within_list = tag in ("ul", "ol", "p") and self._lists
        if tag in _PARAGRAPHS and not within_list:
            self._blank_line()
        elif tag in _LINES or within_list:
            self._line_once()

    def _end_link(self, target: str, begin: int) -> None:
        shown = "".join(self._out[begin:]).strip()
        address = target.removeprefix("mailto:").strip()
        if shown and address and not address.startswith("#") and address.rstrip("/") not in shown:
            self._space = True
            self._write(f"<{address}>")

    def _write(self, text: str) -> None:
        if self._space and not self._breaks:
            self._out.append(" ")
        self._space = False
        self._out.append(text)
        self._breaks = 0

    def _line(self) -> None:
        self._out.append("\n")
        self._breaks += 1
        self._space = False

    def _line_once(self) -> None:
        if not self._breaks:
            self._line()
        self._space = False

    def _blank_line(self) -> None:
        while self._breaks < 2:
            self._line()
        self._space = False


def _attributes(text: str) -> Mapping[str, str]:
    values = {name.lower(): unescape(one or two or bare) for name, one, two, bare in _ATTRIBUTE.findall(text)}
    if _BARE_HIDDEN.search(text):
        values["hidden"] = ""
    return values

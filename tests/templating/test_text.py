"""HTML → text."""

from __future__ import annotations

import time

import css_inline
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.templating.text import to_html, to_text

PIECES = [
    *("<p>", "</p>", "<a href='x'>", '<a href="', "</a>", "<!--", "-->", "<ul>", "<ol>", "<li>", "</ul>", "<pre>"),
    *("&amp;", "&#", "<td>", "<br>", "<img alt=x>", "<style>", "</style>", '<i style="display:none">', "</i>"),
    *("<", ">", '"', "'", " ", "\n"),
]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("R&amp;D &lt;x&gt;&nbsp;&copy;", "R&D <x> ©\n"),
        ("<p>one\n two</p><p>three<br>four</p>", "one two\n\nthree\nfour\n"),
        ("a <b>b</b>c <i> d</i>", "a bc d\n"),
        ("<div>a</div><div><div>b</div></div>c", "a\nb\nc\n"),
        ('<a href="https://e.com/a?b=1&amp;c=2">Order</a>.', "Order <https://e.com/a?b=1&c=2>.\n"),
        ('<a href="https://e.com/">https://e.com</a>', "https://e.com\n"),
        ('<a href="mailto:a@e.com">a@e.com</a> <a href="#top">top</a> <a>none</a>', "a@e.com top none\n"),
        ('<a href="https://e.com/"><img src="x" alt="Shop"></a><img src="y">', "Shop <https://e.com/>\n"),
        ("<ul><li>a<ul><li>b</li></ul></li><li><p>c</p></li></ul>d", "- a\n  - b\n- c\n\nd\n"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b\n"),
        ("<table><tr><td>Tea</td><td>12.50</td></tr><tr><th>Sum</th></tr></table>", "Tea 12.50\nSum\n"),
        ("<pre>  a\n\n   b</pre>c", "  a\n\n   b\n\nc\n"),
        ("a<hr>b", f"a\n\n{'-' * 40}\n\nb\n"),
        ("<head><title>T</title><style>p{}</style></head><body>x<script>if(a<b){}</script></body>", "x\n"),
        ('<div style="DISPLAY : none">a<div>b</div>c</div>d<p hidden>e</p>', "d\n"),
        ("a<!-- > b -->c<!--[if mso]>d<![endif]-->e", "ace\n"),
        ("a\u200b\u200c\u00adb", "ab\n"),
    ],
)
def test_form(html: str, text: str) -> None:
    assert to_text(html) == text


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=60).map("".join)))
def test_it_takes_everything(html: str) -> None:
    text = to_text(html)
    assert not text or (text.endswith("\n") and "\n\n\n" not in text and not text.startswith("\n"))
    to_text(css_inline.inline(html.encode("utf-8", "replace").decode()))


@given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=50))
def test_text_survives_html(word: str) -> None:
    assert to_text(css_inline.inline(to_html(f"a {word}\nb\n\nc"))).rstrip().endswith("b\n\nc")


@pytest.mark.parametrize(
    "piece", [*PIECES, '<a "', "<a x", "= ", "<ul><li>", '<a style="display ', "<br>\n", "</ul>", "<a href=x>y"]
)
def test_the_time_is_proportional(piece: str) -> None:
    """Each doubles its input: quadratic time would double twice."""
    assert _time(piece * (400_000 // len(piece))) < 3 * _time(piece * (200_000 // len(piece))) + 0.5


def _time(html: str) -> float:
    began = time.process_time()
    to_text(html)
    return time.process_time() - began

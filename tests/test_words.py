"""Every sentence that is told in the reader's language has its Chinese one, and nothing else is in the catalogue."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from smtprelay.web.words_zh import PAGE
from smtprelay.words import (
    capitalised,
    english,
    in_language,
    interval,
    language_of,
    local_time,
    octets,
    without_bidi_controls,
)
from smtprelay.words_zh import CHINESE
from tests.test_imports import MODULES

PACKAGE = Path(__file__).parent.parent / "smtprelay"
TELLING = ("say", "Sentence")  # what is told now, and what stands in a table until it is


def sentences() -> Iterator[str]:
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TELLING:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield str(first.value)
                assert not isinstance(first, ast.JoinedStr), f"{name}:{node.lineno}: no catalogue has an f-string"
    for path in (PACKAGE / "web").rglob("*.html"):
        for call in jinja2.Environment(autoescape=True).parse(path.read_text("utf-8")).find_all(jinja2.nodes.Call):
            is_said = isinstance(call.node, jinja2.nodes.Name) and call.node.name == "say"
            if is_said and isinstance(call.args[0], jinja2.nodes.Const):  # not: a word that Python marks
                yield call.args[0].as_const()


ALL = {**CHINESE, **PAGE}
SENTENCES = sorted(set(sentences()))


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_has_its_chinese_with_the_same_placeholders(sentence: str) -> None:
    assert sentence in ALL
    assert placeholders(ALL[sentence]) == placeholders(sentence)


def test_the_catalogues_have_nothing_that_is_not_told() -> None:
    assert not ALL.keys() - set(SENTENCES)
    assert not CHINESE.keys() & PAGE.keys()
    assert len(SENTENCES) > 40  # it sees them


@pytest.mark.parametrize(
    ("language", "told"), [("zh", "3 次尝试"), ("zh-CN", "3 次尝试"), ("zh_CN.UTF-8", "3 次尝试"), ("de", "3 attempts")]
)
def test_languages(language: str, told: str) -> None:
    assert in_language(language)("{count} attempts", count=3) == told


def test_a_sentence_begins_with_a_capital_but_where_a_domain_does() -> None:
    assert capitalised("the key at a.example.com is another one") == "The key at a.example.com is another one"
    assert capitalised("example.com has no SPF record") == "example.com has no SPF record"


def test_what_is_put_in_is_not_read_as_a_sentence() -> None:
    assert in_language("zh")("tagged {tags}", tags="{count}") == "标签：{count}"
    assert english("{braces}") == "{braces}"


def test_the_language_of_a_terminal() -> None:
    assert language_of({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}) == "zh_CN.UTF-8"
    assert language_of({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "C"}) == "C"
    assert language_of({}) == ""


@pytest.mark.parametrize(
    ("milliseconds", "told", "in_chinese"),
    [
        (0, "0s", "0 秒"),
        (-5, "0s", "0 秒"),
        (90_000, "1m 30s", "1 分 30 秒"),
        (3_600_000, "1h", "1 小时"),
        (90_061_000, "1d 1h", "1 天 1 小时"),
    ],
)
def test_intervals(milliseconds: int, told: str, in_chinese: str) -> None:
    assert interval(milliseconds) == told
    assert interval(milliseconds, in_language("zh")) == in_chinese


def test_what_turns_text_around_is_shown_to_a_terminal() -> None:
    controls = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    assert without_bidi_controls(controls) == ascii(controls)[1:-1]
    for text in ("plain", "مرحبا", "👩\u200d👧"):
        assert without_bidi_controls(text) == text


def test_times_and_sizes() -> None:
    assert local_time(0) == "-"
    assert local_time(1_760_000_000_123)[:5] == "2025-"
    assert [octets(size) for size in (0, 1023, 5300, 3 * 2**20, 5 * 2**30)] == [
        *("0 B", "1023 B", "5.2 KiB", "3.0 MiB", "5.0 GiB")
    ]

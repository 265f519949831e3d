"""Which language a browser gets, and how things read in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.web.language import Words, list_time, number, offset, preferred
from smtprelay.words import local_time


@pytest.mark.parametrize(
    ("field", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("zh-Hant-TW", "zh"),
        ("de,zh;q=0.5", "zh"),
        ("de,fr", "en"),
        ("de,*;q=0.5", "en"),
        ("zh;q=0,en;q=0.1", "en"),
        ("en;q=0.2, ZH ; q = 0.7", "zh"),
        ("zhuang", "en"),
        ("zh;q=9", "en"),
        ("x," * 100 + "zh", "en"),
    ],
)
def test_the_browser_says(field: str, language: str) -> None:
    assert preferred(field) == language


@given(st.text(max_size=200))
def test_any_text_is_read(field: str) -> None:
    assert preferred(field) in ("en", "zh")


def test_words() -> None:
    assert Words("zh").say("Queue") == "队列"
    assert Words("en").say("Queue") == "Queue"
    assert (Words("zh").tag, Words("en").tag) == ("zh-Hans", "en")
    assert Words("zh").interval(90_000) == "1 分 30 秒"


def test_figures() -> None:
    assert [number(value) for value in (0, 999, 1_234_567, 0.25)] == ["0", "999", "1,234,567", "0.2"]


def test_a_time_in_a_list_has_no_offset_but_where_it_is_another() -> None:
    now = 1_795_000_000_000
    assert list_time(now) + f" {offset()}" == local_time(now)

"""Elements, and JSON, as typed values; enumerations that keep what is not documented; errors as values."""

from __future__ import annotations

import copy
import pickle
from contextlib import suppress
from datetime import UTC, date, datetime
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.platform import (
    CallFailed,
    NotAuthorised,
    PlatformError,
    PlatformUnreachable,
    TooManyCalls,
    UnreadableAnswer,
)
from smtprelay.platform.account import ServiceStatus
from smtprelay.platform.answer import Answer
from smtprelay.platform.failures import FailureType
from smtprelay.platform.read import amount, children, count, day, instant, number, one_of, text
from smtprelay.platform.result import Result, read_result
from smtprelay.platform.statuses import Status
from smtprelay.values import SHANGHAI


def row(value: str) -> dict[str, object]:
    return {"it": value}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("", None),
        (" ", None),
        ("0", 0),
        (" 7\n", 7),
        ("-1", -1),
        ("1,234,567", 1234567),
        ("12.00", 12),
        ("![CDATA[7]]", 7),
    ],
)
def test_numbers(told: str, expected: int | None) -> None:
    assert number(row(told), "it") == expected
    assert count(row(told), "it") == (expected or 0)


@pytest.mark.parametrize("told", ["seven", "1,2", "1_000", "12.5", "7 8", "²", "9" * 5000, "用户 ID"])
def test_what_is_no_number_is_not_taken_for_one(told: str) -> None:
    with pytest.raises(UnreadableAnswer, match=r"^<it> should be a number: '") as caught:
        number(row(told), "it")
    assert len(str(caught.value)) < 200


def test_measures() -> None:
    assert [amount(row(told), "it") for told in ("", "12.5", "1,234.5", "7")] == [None, 12.5, 1234.5, 7.0]
    for told in ("nan", "inf", "1e999", "-1", "12.5 KB"):
        with pytest.raises(UnreadableAnswer, match="<it> should be a number"):
            amount(row(told), "it")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2018-08-22", datetime(2018, 8, 22, tzinfo=SHANGHAI)),
        ("2018/8/2", datetime(2018, 8, 2, tzinfo=SHANGHAI)),
        ("2018-08-22 09:30", datetime(2018, 8, 22, 9, 30, tzinfo=SHANGHAI)),
        ("2018-08-22T09:30:15", datetime(2018, 8, 22, 9, 30, 15, tzinfo=SHANGHAI)),
        ("1534901415", datetime(2018, 8, 22, 9, 30, 15, tzinfo=SHANGHAI)),
        ("", None),
        ("0", None),
        ("-", None),
        ("0000-00-00", None),
        ("0000-00-00 00:00:00", None),
    ],
)
def test_moments_are_those_of_shanghai(told: str, expected: datetime | None) -> None:
    assert instant(row(told), "it") == expected
    assert day(row(told), "it") == (expected.date() if expected else None)


def test_a_moment_has_its_zone() -> None:
    moment = instant(row("2018-08-22 00:00"), "it")
    assert moment is not None
    assert moment.astimezone(UTC) == datetime(2018, 8, 21, 16, tzinfo=UTC)
    assert day(row("1534870800"), "it") == date(2018, 8, 22)


@pytest.mark.parametrize("told", ["yesterday", "2018-13-01", "2018-02-30", "2018-08-22 25:00", "20180822", "日期"])
def test_what_is_no_date_is_not_taken_for_one(told: str) -> None:
    with pytest.raises(UnreadableAnswer, match=r"^<it> should be a date: '"):
        instant(row(told), "it")


@given(st.text())
def test_any_text_is_read_or_refused(told: str) -> None:
    for read in (number, instant, day):
        with suppress(UnreadableAnswer):
            read(row(told), "it")


def test_the_first_name_that_has_something_counts() -> None:
    element = fromstring(
        "<a><old>7</old><new> </new><lost>![CDATA[深圳]]</lost><lost2>&lt;![CDATA[ b ]]&gt;</lost2></a>"
    )
    assert text(element, "new", "old") == "7"
    assert text(element, "none") == ""
    assert text(element, "lost") == "深圳"
    assert text(element, "lost2") == "b"
    assert text({"new": None, "old": 7}, "new", "old") == "7"
    assert text({"new": False, "old": 0}, "new", "old") == "0"
    with pytest.raises(UnreadableAnswer, match=r"<new> should be text: '\[7\]'"):
        text({"new": [7]}, "new", "old")


def test_a_list_of_one_may_be_left_out_and_a_list_of_none_is_empty() -> None:
    assert [child.text for child in children(fromstring("<list><row>1</row><row>2</row></list>"), "row")] == ["1", "2"]
    assert [child.text for child in children(fromstring("<row>1</row>"), "row")] == ["1"]
    assert list(children(fromstring("<list/>"), "row")) == []
    assert [row.findtext("id") for row in Answer(b"<row><id>1</id></row>").rows("row", "list")] == ["1"]
    assert list(Answer(b"<list>\n</list>").rows("row", "list")) == []
    with pytest.raises(UnreadableAnswer, match="<list> was expected, and <other> came"):
        list(Answer(b"<other/>").rows("row", "list"))


def test_a_value_that_is_not_documented_is_kept() -> None:
    unknown = one_of(FailureType, row("4"), "it")
    assert unknown == "4"
    assert (unknown.value, unknown.is_documented, unknown.english, unknown.chinese) == ("4", False, "", "")
    assert unknown == FailureType("4")
    assert {unknown: 1}[FailureType("4")] == 1
    assert unknown not in list(FailureType)
    assert f"{unknown}" == "4"
    assert one_of(FailureType, row(""), "it").is_documented is False


def test_a_documented_value_has_its_meaning_in_two_languages() -> None:
    assert FailureType("1") is FailureType.NOT_EXIST is FailureType("not_exist")
    assert (FailureType.NOT_EXIST.english, FailureType.NOT_EXIST.chinese) == ("no such mailbox", "邮箱不存在")
    assert FailureType.NOT_EXIST.is_documented


@pytest.mark.parametrize("value", [ServiceStatus.ENABLED, ServiceStatus("frozen"), Status("")])
def test_values_are_the_same_after_a_journey(value: ServiceStatus) -> None:
    for there in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert there == value
        assert (there.english, there.is_documented, type(there)) == (value.english, value.is_documented, type(value))


@pytest.mark.parametrize("value", [7, None, b"1"])
def test_what_is_no_text_is_no_value(value: object) -> None:
    with pytest.raises(ValueError):
        FailureType(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PlatformUnreachable("no answer in time"), "no answer in time"),
        (
            PlatformUnreachable("no answer in time", ambiguous=True),
            "no answer in time; it may have been done all the same: look before you try again",
        ),
        (NotAuthorised("refused"), "refused"),
        (UnreadableAnswer("it is no XML", "a\n b" + 1000 * "c"), f"it is no XML: 'a b{117 * 'c'}'"),
        (CallFailed(Status.ERROR, "参数错误"), "the platform says error: a parameter is wrong"),
        (CallFailed(Status("new"), "why"), "the platform says new (why)"),
        (TooManyCalls(100, 61), "the platform takes 100 of these an hour: try again in 2 minutes"),
        (TooManyCalls(100, 0.5), "the platform takes 100 of these an hour: try again in 1 minute"),
    ],
)
def test_errors_are_the_same_in_another_process(error: PlatformError, words: str) -> None:
    error.add_note("call 1.1")
    there = pickle.loads(pickle.dumps(error))
    assert str(error) == str(there) == words
    assert vars(there) == vars(error)
    assert (type(there), there.ambiguous) == (type(error), error.ambiguous)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<result><status>success</status><data>78</data></result>", Result(Status.SUCCESS, 78)),
        (
            "<result><status>success</status><id>7</id><data>添加成功</data></result>",
            Result(Status.SUCCESS, 7, "添加成功"),
        ),
        ("<result><status>success</status><data>²</data></result>", Result(Status.SUCCESS, 0, "²")),
        ("<result><status>success_and_check_ok</status></result>", Result(Status.SUCCESS_AND_CHECK_OK)),
        (" 78\n", Result(Status.SUCCESS, 78)),
    ],
)
def test_what_was_done(body: str, expected: Result) -> None:
    assert read_result(Answer(body.encode())) == expected


@pytest.mark.parametrize("body", ["<result><data>78</data></result>", "<data>78</data>", "²", "9" * 5000, ""])
def test_what_nobody_knows_to_be_done(body: str) -> None:
    with pytest.raises(UnreadableAnswer):
        read_result(Answer(body.encode()))


@pytest.mark.parametrize("status", [status for status in Status if not status.value.startswith("success")])
def test_what_was_not_done_says_what_the_document_says_of_it(status: Status) -> None:
    body = f"<result><status>{status}</status><data>{status.chinese}</data></result>"
    with pytest.raises(CallFailed) as caught:
        read_result(Answer(body.encode()))
    assert caught.value.status is status
    assert str(caught.value) == f"the platform says {status}: {status.english}"

"""2.3: four forms of one list, and what has to be given for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from smtprelay.platform.answer import Answer
from smtprelay.platform.errors import CallFailed, UnreadableAnswer
from smtprelay.platform.failures import Failure, Failures, FailureType

Form = Callable[[list[dict[str, str]]], str]

DAY = date(2012, 3, 2)
FIRST = Failure("1595936793@qq.com", FailureType.USER_REJECT, 1036770)
SECOND = Failure("550317164@qq.com", FailureType.INVALID_ADDRESS, 1037645)
ROWS = [
    {"email": "1595936793@qq.com", "type": "3", "task_id": "1036770"},
    {"email": "550317164@qq.com", "type": "8", "task_id": "1037645"},
]
TEXT = "email\ttype\ttask_id\n1595936793@qq.com\t3\t1036770\n550317164@qq.com\t8\t1037645\n"


def xml(rows: list[dict[str, str]]) -> str:
    recipients = "".join(
        "<recipient>" + "".join(f"<{name}>{value}</{name}>" for name, value in row.items()) + "</recipient>"
        for row in rows
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<fail_recipient_list>{recipients}</fail_recipient_list>'


def read(body: str) -> list[Failure]:
    return Failures.all.describe(None, DAY).read(Answer(body.encode()))


def addresses(body: str) -> list[str]:
    return Failures.addresses.describe(None, DAY).read(Answer(body.encode()))


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ROWS),
        xml(ROWS),
        TEXT,
        TEXT.removeprefix("email\ttype\ttask_id\n"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\t", ","),
        re.sub(r"[^\t\n]+", r'"\g<0>"', TEXT).replace("\t", ","),
    ],
)
def test_whichever_form_comes_the_failures_are_the_same(body: str) -> None:
    assert read(body) == [FIRST, SECOND]
    assert addresses(body) == [FIRST.address, SECOND.address]


@pytest.mark.parametrize(
    "body",
    [
        '["a@example.com", "b@example.com"]',
        "a@example.com\nb@example.com\n",
        "email\na@example.com\nb@example.com",
        '"email"\n"a@example.com"\nb@example.com\n',
    ],
)
def test_addresses_alone_are_failures_of_no_known_type(body: str) -> None:
    assert addresses(body) == ["a@example.com", "b@example.com"]
    assert read(body) == [Failure("a@example.com", FailureType("")), Failure("b@example.com", FailureType(""))]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ROWS[:1]),
        json.dumps(ROWS[0]),
        json.dumps({"7": ROWS[0]}),
        xml(ROWS[:1]),
        xml(ROWS[:1]).replace("fail_recipient_list>", "recipient>").replace("recipient><recipient>", "recipient>"),
        "1595936793@qq.com\t3\t1036770",
    ],
)
def test_a_list_of_one_may_come_without_the_list(body: str) -> None:
    assert read(body.replace("</recipient></recipient>", "</recipient>")) == [FIRST]


def test_an_address_that_is_none_is_told_as_it_is_in_each_form() -> None:
    """Type 9. Commas part values only where the head says so."""
    failure = Failure('a,"b@example.com', FailureType.FORMAT_ERROR, 7)
    assert read('email\ttype\ttask_id\na,"b@example.com\t9\t7\n') == [failure]
    assert read('email,type,task_id\n"a,""b@example.com",9,7\n') == [failure]
    assert addresses('"a b"@example.com\na,"b@example.com\n') == ['"a b"@example.com', failure.address]


def test_what_is_escaped_in_json_is_as_harmless_as_in_xml() -> None:
    assert addresses(r'["\u0000a\ud800@example.com"]') == ["a@example.com"]


def test_one_address_may_come_without_the_list() -> None:
    assert addresses('"1595936793@qq.com"') == [FIRST.address]


@pytest.mark.parametrize(
    "body", ["", "\n", "[]", "{}", "null", '""', "<fail_recipient_list/>", xml([]), "email\ttype\ttask_id\n"]
)
def test_a_day_without_failures_is_an_empty_list(body: str) -> None:
    assert read(body) == []
    assert addresses(body) == []


@pytest.mark.parametrize("form", [lambda rows: json.dumps(rows, ensure_ascii=False), xml])
def test_newer_answers_call_the_type_otherwise_and_tell_it_in_words(form: Form) -> None:
    """Their types are more than the document has: 4 is seen."""
    rows = [{"email": "a@example.com", "error_type": "4", "error_type_dec": "其他", "task_id": "7"}]
    [failure] = read(form(rows))
    assert failure == Failure("a@example.com", FailureType("4"), 7, "其他")
    assert (failure.type.is_documented, failure.type.english) == (False, "")


@pytest.mark.parametrize(
    "body",
    [
        "date error",
        "日期错误\n",
        "[1, 2]",
        '[{"address": "a@example.com"}]',
        "[[]]",
        "7x",
        "[",
        "<html></html>",
        "<a/>",
        '"date error"',
        '{"error": "参数错误"}',
        '{"code": "1", "msg": "no such task"}',
        '{"status": "success"}',
        '{"status": []}',
        '[{"email": ["a@example.com"]}]',
        '[{"email": NaN}]',
        'email,type\n"a@example.com,1\nb@example.com,2\n',
        f"email\n{'a' * 200_000}@example.com\n",
    ],
)
def test_what_is_no_list_of_addresses_is_refused(body: str) -> None:
    with pytest.raises(UnreadableAnswer):
        read(body)
    with pytest.raises(UnreadableAnswer):
        addresses(body)


@pytest.mark.parametrize(
    "body", ['{"status": "error", "data": "参数错误"}', "<result><status>error</status><data>参数错误</data></result>"]
)
def test_an_error_in_place_of_the_list(body: str) -> None:
    with pytest.raises(CallFailed, match="the platform says error: a parameter is wrong"):
        read(body)


def test_the_request_is_for_json_and_for_every_type() -> None:
    call = Failures.all.describe(None, DAY)
    assert (call.path, call.form, call.repeatable) == ("failexportall.php", None, True)
    assert call.query == {"date": "2012-03-02", "type": "-1", "out_type": "json"}
    call = Failures.all.describe(None, DAY, FailureType.SPAM, date_end=date(2012, 3, 4))
    assert call.query == {"date": "2012-03-02", "date_end": "2012-03-04", "type": "5", "out_type": "json"}


def test_the_day_of_a_moment_is_the_one_of_shanghai() -> None:
    moment = datetime(2012, 3, 1, 16, tzinfo=UTC)
    assert Failures.all.describe(None, moment).query["date"] == "2012-03-02"
    assert Failures.all.describe(None, datetime(2012, 3, 2, 23, 59)).query["date"] == "2012-03-02"


@pytest.mark.parametrize("name", ["not_exist", "over_quota", "user_reject"])
def test_some_types_want_a_task(name: str) -> None:
    with pytest.raises(ValueError, match="give `task_id` or `task_ident` as well"):
        Failures.all.describe(None, DAY, FailureType(name))
    query = Failures.addresses.describe(None, DAY, FailureType(name), task_id=7).query
    assert (query["type"], query["task_id"]) == (FailureType(name).value, "7")
    assert Failures.all.describe(None, DAY, FailureType(name), task_ident="20120302-362-F9B1E5").query["task_ident"]


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="`date_end` is before `date`"):
        Failures.all.describe(None, DAY, date_end=date(2012, 3, 1))

"""What apps say by header fields: ours, Mandrill's, Mailgun's; raw and encoded; and what is refused."""

from __future__ import annotations

import email.message
import email.policy
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.instructions import (
    FURTHEST,
    MAX_DEPTH,
    NONE,
    Instructions,
    may_instruct,
    queued_as,
    read_header,
    read_instructions,
    read_queued,
    write_fields,
)
from smtprelay.message import new_id
from smtprelay.reply import Reject

NOW = 1_790_000_000_000
TEMPLATE = "X-SMTPRelay-Template: welcome\n"
NAME = "李雷"


def read(header: str | bytes, *charsets: str) -> Instructions:
    content = (header.encode() if isinstance(header, str) else header) + b"\nbody\n"
    assert may_instruct(content) or b"\nX-" not in b"\n" + content
    return read_instructions(read_header(content), charsets, NOW)


def refusal(header: str | bytes) -> str:
    with pytest.raises(Reject) as caught:
        read(header)
    return str(caught.value)


@pytest.mark.parametrize("name", ["X-SMTPRelay-Template", "x-mc-template", "X-Mailgun-Template-Name"])
def test_a_template_by_each_of_its_names(name: str) -> None:
    assert read(f"{name}: welcome\n").template == "welcome"


def test_mandrill_names_a_block_behind_the_template() -> None:
    assert read("X-MC-Template: welcome|main\n").template == "welcome"


@pytest.mark.parametrize("name", ["X-SMTPRelay-Vars", "X-MC-MergeVars", "X-Mailgun-Template-Variables"])
@pytest.mark.parametrize("write", ["raw", "escaped", "rfc2047", "gbk"])
def test_chinese_variables(name: str, write: str) -> None:
    values = {"name": NAME, "amount": 12.5, "lines": [{"item": "茶", "price": "￥ 8"}]}
    raw = f"{TEMPLATE}{name}: {json.dumps(values, ensure_ascii=write == 'escaped')}\n"
    header = raw.encode("gb18030" if write == "gbk" else "utf-8")
    if write == "rfc2047":
        message = email.message.EmailMessage(policy=email.policy.SMTP)
        message["X-SMTPRelay-Template"] = "welcome"
        message[name] = json.dumps(values, ensure_ascii=False)
        header = message.as_bytes().partition(b"\r\n\r\n")[0] + b"\r\n"
        assert b"=?utf-8?" in header
    assert read(header, "gb18030").variables == values


def test_repeated_fields_are_merged_and_later_ones_win() -> None:
    asked = read(
        f'{TEMPLATE}X-SMTPRelay-Vars: {{"a": 1, "b": 1}}\nX-SMTPRelay-Vars: {{"b": 2}}\nX-MC-MergeVars: {{"c": 3}}\n'
    )
    assert asked.variables == {"a": 1, "b": 2, "c": 3}
    assert not asked.own


def test_variables_of_one_recipient() -> None:
    asked = read(
        f'{TEMPLATE}X-MC-MergeVars: {{"_rcpt": "Ann@Example.org", "name": "Ann"}}\n'
        'X-MC-MergeVars: {"shop": "s"}\n'
        'X-SMTPRelay-Vars: {"_rcpt": "ann@example.org", "code": 7}\n'
        'X-Mailgun-Recipient-Variables: {"bob@example.org": {"name": "Bob"}}\n'
    )
    assert asked.variables == {"shop": "s"}
    assert asked.own == {"ann@example.org": {"name": "Ann", "code": 7}, "bob@example.org": {"name": "Bob"}}


def test_recipients_are_known_however_their_domain_is_written() -> None:
    asked = read(
        f'{TEMPLATE}X-MC-MergeVars: {{"_rcpt": "{NAME}@例子.CN", "a": 1}}\n'
        'X-Mailgun-Recipient-Variables: {"Bob@Example.ORG.": {"b": 2}}\n'
    )
    assert asked.own == {f"{NAME}@xn--fsqu00a.cn": {"a": 1}, "bob@example.org": {"b": 2}}


def test_a_long_field_may_be_folded_and_empty_ones_say_nothing() -> None:
    asked = read(
        'X-SMTPRelay-Template:\n welcome\nX-SMTPRelay-Vars: {"a":\n\t"x  y"}\nX-SMTPRelay-Tag:\nX-MC-Template: \n'
    )
    assert asked == Instructions(template="welcome", variables={"a": "x  y"})


def test_tags_of_all_three() -> None:
    asked = read("X-SMTPRelay-Tag: shop\nX-MC-Tags: a, b,a\nX-Mailgun-Tag: c\nX-Mailgun-Tag: shop\n")
    assert asked.tags == ("shop", "c", "a", "b")


@pytest.fixture
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("X-SMTPRelay-Send-At: 2026-11-24T18:00:00+08:00", "2026-11-24T10:00:00+00:00"),
        ("X-SMTPRelay-Send-At: 2026-11-24T10:00:00Z", "2026-11-24T10:00:00+00:00"),
        ("X-SMTPRelay-Send-At: Tue, 24 Nov 2026 18:00:00 +0800", "2026-11-24T10:00:00+00:00"),
        ("X-SMTPRelay-Send-At: Tue, 24 Nov 2026 10:00:00 -0000", "2026-11-24T10:00:00+00:00"),
        ("X-SMTPRelay-Send-At: 1795514400", "2026-11-24T10:00:00+00:00"),
        ("X-MC-SendAt: 2026-11-24 10:00:00", "2026-11-24T10:00:00+00:00"),  # Mandrill: UTC
        ("X-SMTPRelay-Send-At: Tue, 24 Nov 2026 18:00:00", "2026-11-24T10:00:00+00:00"),
        ("X-SMTPRelay-Send-At: 20261124", "2026-11-23T16:00:00+00:00"),  # no Unix time: that was in 1970
    ],
)
def test_times(field: str, expected: str, in_shanghai: None) -> None:
    assert read(f"{field}\n").send_at == datetime.fromisoformat(expected).timestamp() * 1000


def test_a_time_without_offset_is_local() -> None:
    expected = datetime(2026, 11, 24, 18, 0).astimezone().timestamp() * 1000
    assert read("X-SMTPRelay-Send-At: 2026-11-24 18:00\n").send_at == expected


def test_what_was_to_be_sent_in_the_past_is_sent_now() -> None:
    assert read("X-SMTPRelay-Send-At: 2001-01-01\n").send_at == 0


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (TEMPLATE + 'X-SMTPRelay-Vars: {"a": }\n', "X-SMTPRelay-Vars: not JSON (Expecting value: line 1 column 7"),
        (TEMPLATE + "X-SMTPRelay-Vars: [1]\n", "not a JSON object"),
        (TEMPLATE + 'X-MC-MergeVars: {"a": NaN}\n', "X-MC-MergeVars: not JSON (NaN is no JSON)"),
        (TEMPLATE + 'X-MC-MergeVars: {"a": 1e999}\n', "a number is too large"),
        (TEMPLATE + f'X-MC-MergeVars: {{"a": {"9" * 5000}}}\n', "X-MC-MergeVars: not JSON"),
        (TEMPLATE + 'X-MC-MergeVars: {"a": "\\ud800"}\n', "half of a surrogate pair"),
        (TEMPLATE + 'X-MC-MergeVars: {"_rcpt": ["a@b"]}\n', "one address alone, as a string, not ['a@b']"),
        (TEMPLATE + 'X-MC-MergeVars: {"_rcpt": "Ann <ann@example.org>"}\n', "not 'Ann <ann@example.org>'"),
        (TEMPLATE + 'X-Mailgun-Recipient-Variables: {"a@b": 1}\n', "a@b needs an object"),
        ('X-SMTPRelay-Vars: {"a": 1}\n', "no template for them: name it in X-SMTPRelay-Template"),
        (TEMPLATE + "X-MC-Template: other\n", "they differ"),
        ("X-SMTPRelay-Temlate: welcome\n", "X-SMTPRelay-Temlate: this is not known; there are X-SMTPRelay-Template, "),
        (f"X-SMTPRelay-Template: {'x' * 256}\n", "longer than 255 characters"),
        ("X-SMTPRelay-Send-At: tomorrow\n", "X-SMTPRelay-Send-At: tomorrow is no time"),
        (f"X-MC-SendAt: {'9' * 5000}\n", "is no time"),
        ("X-SMTPRelay-Send-At: 1795514400000\n", "Unix time is in seconds"),
        ("X-SMTPRelay-Send-At: 99999-01-01\n", "is no time"),
        (f"X-SMTPRelay-Send-At: {(NOW + FURTHEST) // 1000 + 1}\n", "more than a year away"),
        (f"X-SMTPRelay-Idempotency-Key: {'k' * 256}\n", "X-SMTPRelay-Idempotency-Key: longer than 255"),
        ("".join(f"X-SMTPRelay-Tag: {n}\n" for n in range(11)), "11 tags: give at most 10"),
    ],
)
def test_what_is_refused(header: str, words: str) -> None:
    told = refusal(header)
    assert told.startswith("550 5.6.0 X-")
    assert words in told


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
def test_json_that_is_nested_without_end_is_refused(depth: int) -> None:
    told = refusal(f'{TEMPLATE}X-SMTPRelay-Vars: {{"a": {"[" * depth}{"]" * depth}}}\n')
    assert told == f"550 5.6.0 X-SMTPRelay-Vars: nested more than {MAX_DEPTH} deep"


def test_ten_megabytes_of_json_are_too_large_a_header() -> None:
    assert refusal(f'{TEMPLATE}X-SMTPRelay-Vars: {{"a": "{"x" * 10_000_000}"}}\n').startswith("552 5.3.4")


@pytest.mark.parametrize(
    "content", [b"", b"Subject: x\n\nX-SMTPRelay-Tag: in the body\n", b"X-SMTPRelayed: no\r\n\r\n"]
)
def test_most_mail_instructs_nothing(content: bytes) -> None:
    assert read_instructions(read_header(content), (), NOW) == NONE


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("first", [b"", b"Subject: x"])
def test_the_quick_look_sees_every_line_end(end: bytes, first: bytes) -> None:
    content = end.join([*filter(None, [first]), b"x-mc-tags: a", b"", b"body", b""])
    assert may_instruct(content)
    assert read_instructions(read_header(content), (), NOW).tags == ("a",)
    assert not may_instruct(b"Subject: x\r\n\r\nX-MC-Tags: a\r\n")


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=10).filter(lambda name: name != "_rcpt")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=100)


@given(
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.dictionaries(st.sampled_from(["a@example.org", "b@example.org"]), st.dictionaries(NAMES, VALUES, min_size=1)),
    WORDS,
    st.lists(WORDS, max_size=3, unique=True),
    st.integers(0, FURTHEST // 1000),
)
def test_what_is_written_is_what_is_read(
    variables: Mapping[str, Any], own: Mapping[str, Any], word: str, tags: list[str], later: int
) -> None:
    asked = Instructions(word, variables, own, tuple(tags), NOW + later * 1000 if later else 0, word)
    fields = write_fields(asked)
    assert fields.isascii()
    assert max(map(len, fields.split(b"\r\n"))) <= 998
    assert read(fields) == asked


@given(st.binary(max_size=300))
def test_no_octets_break_it(value: bytes) -> None:
    with suppress(Reject):
        read(b"X-SMTPRelay-Template: a\nX-SMTPRelay-Vars: " + value.replace(b"\n", b"") + b"\n", "gb18030")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_the_reply_names_the_message(before: bool, count: int) -> None:
    ids = [new_id(NOW) for _ in range(count)]
    text = queued_as(ids, before=before)
    assert text.startswith(f"Ok: queued as {ids[0]}")
    assert read_queued(text) == (ids[0], before)
    assert read_queued("Ok: whatever another server says") == ("", False)

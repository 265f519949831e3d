"""Files of addresses that are not to be sent to."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.contacts import BadLine, ContactFile
from smtprelay.spool import Suppression
from smtprelay.suppression_file import Format, header, lines_of, read_entries
from smtprelay.suppression_list import MAX_TEXT, MAX_TIME, Entry, parse_text

AT = 1_700_000_000_123
CSV_HEAD = "address,cause,since,expires,source,note\n"


def read(content: str | bytes, form: Format | None = None) -> list[Entry | BadLine]:
    octets = content.encode() if isinstance(content, str) else content
    return list(read_entries(ContactFile(io.BytesIO(octets), form.lines if form else None), "operator", "import"))


def bare(address: str, **words: object) -> Entry:
    return Entry(address, **{"source": "import", **words})  # type: ignore[arg-type]


def test_csv_has_times_that_people_read() -> None:
    entry = Suppression("a@example.org", "2", AT, AT + 7, "platform acme", 'is "full", they say')
    text = header(Format.CSV) + lines_of([entry, Suppression("b@example.org", "1", AT)], Format.CSV)
    assert text == (
        CSV_HEAD
        + 'a@example.org,2,2023-11-14T22:13:20.123Z,2023-11-14T22:13:20.130Z,platform acme,"is ""full"", they say"\n'
        + "b@example.org,1,2023-11-14T22:13:20.123Z,,,\n"
    )


TEXT = st.text(max_size=30).map(lambda text: parse_text("note", text))
TIMES = st.integers(0, MAX_TIME)
LOCAL = st.one_of(
    st.sampled_from(["a", "王芳", '"a b"', "o'neil", "=1+1", '"a,b"']), st.from_regex("[a-z0-9+]{1,9}", fullmatch=True)
)
ENTRIES = st.builds(
    Suppression,
    st.builds("{}@example.org".format, LOCAL),
    st.sampled_from(["1", "2", "3", "5", "8", "9", "4", "unsubscribed", "operator"]),
    TIMES,
    TIMES,
    TEXT.filter(bool),  # a source that nobody named is "import"
    TEXT,
)


@given(
    st.lists(ENTRIES, min_size=1, max_size=8), st.sampled_from(Format), st.sampled_from(["\n", "\r\n"]), st.booleans()
)
def test_what_was_exported_comes_back(entries: list[Suppression], form: Format, end: str, guessed: bool) -> None:
    text = (header(form) + lines_of(entries, form)).replace("\n", end)
    assert read(text, None if guessed else form) == [
        Entry(one.address, one.cause, one.since, one.expires, one.source, one.note) for one in entries
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_bare_addresses(end: str, encoding: str) -> None:
    """What the configuration says is for how long."""
    content = end.join(["a@example.org", "", "王芳@example.org", "B@EXAMPLE.org"]).encode(encoding)
    assert read(content) == [bare("a@example.org"), bare("王芳@example.org"), bare("B@example.org")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # the platform's failexportall
        (
            "email\ttype\ttask_id\n1595936793@qq.com\t3\t1036770\nb@qq.com\t8\t1\n",
            [bare("1595936793@qq.com", cause="3"), bare("b@qq.com", cause="8")],
        ),
        # SendGrid
        (
            "status,reason,email,created\n5.1.1,550 5.1.1 no such user,a@example.org,1700000000\n",
            [bare("a@example.org", since=1_700_000_000_000, note="550 5.1.1 no such user")],
        ),
        # Mailgun
        (
            'address,code,error,created_at\na@example.org,550,no,"Tue, 14 Nov 2023 22:13:20 UTC"\n',
            [bare("a@example.org", since=1_700_000_000_000, note="no")],
        ),
        # Amazon SES
        (
            '{"EmailAddress": "a@example.org", "Reason": "COMPLAINT", "LastUpdateTime": "2023-11-14T22:13:20+00:00"}',
            [bare("a@example.org", cause="3", since=1_700_000_000_000)],
        ),
        # a person, with Excel
        (
            "\ufeff邮箱,备注\r\na@example.org,客户来电\r\n",
            [bare("a@example.org", note="客户来电")],
        ),
        # Postmark
        (
            "EmailAddress,SuppressionReason,Origin,CreatedAt\na@example.org,HardBounce,Recipient,2023-11-14T22:13:20Z\n",
            [bare("a@example.org", cause="1", since=1_700_000_000_000)],
        ),
    ],
)
def test_what_other_providers_export_is_understood(content: str, expected: list[Entry]) -> None:
    assert read(content) == expected


def test_a_column_of_expiry_says_never_where_it_is_empty() -> None:
    assert read("address,expires\na@example.org,\nb@example.org,2023-11-14T22:13:20Z\n") == [
        bare("a@example.org", expires=0),
        bare("b@example.org", expires=1_700_000_000_000),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nobody,1,,,,", "'nobody' is not an address of the form local@domain"),
        ("a@example.org,full,,,,", "'full' is no cause: there are 1, 2, 3, 5, 8, 9, unsubscribed, operator"),
        ("a@example.org,1,yesterday,,,", "since: 'yesterday' is no time, such as 2026-11-24T18:00:00Z"),
        ("a@example.org,1,,-5,,", "expires: '-5' is no time, such as 2026-11-24T18:00:00Z"),
        ("a@example.org,1,,,," + "x" * (MAX_TEXT + 1), "note: longer than 1000 characters"),
        ("a@example.org,1,,,,,more", "the line has 7 fields, and the header has 6"),
    ],
)
def test_a_bad_line_is_told_and_the_others_go_in(line: str, reason: str) -> None:
    assert read(f"{CSV_HEAD}{line}\nb@example.org,1,,,,\n") == [
        BadLine(2, reason),
        bare("b@example.org", cause="1", expires=0),
    ]


FIELDS = st.sampled_from(["cause", "since", "expires", "source", "note", "created", "reason", "type", "error"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20))


@given(st.lists(st.dictionaries(FIELDS, VALUES, max_size=4), min_size=1, max_size=5))
def test_any_values(objects: list[dict[str, object]]) -> None:
    """Each is an entry or a bad line, and nothing fails."""
    lines = [json.dumps({"address": f"{i}@example.org", **fields}) for i, fields in enumerate(objects)]
    found = read("\n".join(lines))
    assert len(found) == len(objects)
    for item in found:
        assert isinstance(item, BadLine) or Entry.parse(item.words()) == item

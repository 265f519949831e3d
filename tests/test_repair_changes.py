"""What repair changed in the header, as a difference."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.message import Origin
from smtprelay.repair.changes import CUT, MAX_CHANGES, MAX_LINE, changes
from smtprelay.repair.fields import Field
from smtprelay.repair.header import CONTROL
from smtprelay.reply import Reject
from tests.repair_kit import WHOLE, mend, mend_whole, without_received

BARE = b"From: app@example.com\r\n"
# Words of a header, whole and broken ones, beside any octets.
PIECES = [
    b"From: a@example.com\r\n",
    b"Subject: \xe6\xb5\x8b\r\n",
    b"To: a@b.example; c@d.example\r\n",
    b"Bcc: x@y.z\r\n",
]
PIECES += [b"X-A : b\r\n", b" folded\r\n", b"To: b@c.example\n", b"\r\n", b"Content-Type: text/plain\r\n", b"\x1b[2J"]


def test_nothing_where_nothing_was_changed() -> None:
    assert mend_whole(b"Subject: Hello\r\n\r\nHello\r\n").changes == ()


def test_our_received_is_no_change_and_neither_is_a_repair_of_the_body() -> None:
    repaired = mend_whole(b"Subject: Hello\r\n\r\nHello\nthere\r\n")
    assert repaired.repairs == ("line ends made <CRLF>",)
    assert repaired.changes == ()


@pytest.mark.parametrize(
    ("rest", "changes"),
    [
        (
            "Subject: 您的订单\r\n".encode(),
            ("-Subject: 您的订单", "+Subject: =?utf-8?b?5oKo55qE6K6i5Y2V?="),
        ),
        (
            "Subject: 您的订单\r\n".encode("gbk"),
            (r"-Subject: \xc4\xfa\xb5\xc4\xb6\xa9\xb5\xa5", "+Subject: =?utf-8?b?5oKo55qE6K6i5Y2V?="),
        ),
        (
            b"To: a@b.example; c@d.example\r\n",
            ("-To: a@b.example; c@d.example", "+To: a@b.example, c@d.example"),
        ),
        (b"Subject : Hello\r\n", ("-Subject : Hello", "+Subject: Hello")),
        (b"Subject: He\x00l\x1bl\x07o\r\n", (r"-Subject: He\x00l\x1bl\x07o", "+Subject: Hel\\x1blo")),
        (b"Bcc: boss@example.com,\r\n\tcfo@example.com\r\n", ("-Bcc: boss@example.com,", "-\tcfo@example.com")),
        (b"Subject: One\r\nTo: a@b.example\r\nSubject: Two\r\n", ("-Subject: Two",)),
        (b"X-SMTPRelay-Vars: {\"code\":\r\n \"123456\"}\r\n", (f"-X-SMTPRelay-Vars: {CUT}",)),
        (b"X-MC-MergeVars: {}\r\n", (f"-X-MC-MergeVars: {CUT}",)),
    ],
)  # fmt: skip
def test_a_field_that_was_changed(rest: bytes, changes: tuple[str, ...]) -> None:
    assert mend_whole(rest + b"\r\nHello\r\n").changes == changes


def test_what_was_added_stands_at_its_place() -> None:
    changes = mend(BARE + b"Bcc: x@example.com\r\nSubject: a\r\n\r\n\xe6\xb5\x8b\r\n").changes
    assert changes[0] == "-Bcc: x@example.com"
    assert [line.partition(":")[0] for line in changes[1:]] == [
        *("+Date", "+Message-ID", "+MIME-Version", "+Content-Type", "+Content-Transfer-Encoding")
    ]


def test_the_author_that_a_credential_asks_for() -> None:
    repaired = mend_whole(b"\r\nHello\r\n", rewrite="from", username="news@example.net")
    assert repaired.changes == (
        "-From: App <app@example.com>",
        "+From: App <news@example.net>",
        "+Reply-To: App <app@example.com>",
    )


def test_a_long_line_is_cut() -> None:
    (line,) = mend_whole(b"Bcc: " + "王".encode() * 5000 + b"\r\n\r\n").changes
    assert line == "-Bcc: " + "王" * (MAX_LINE - len("Bcc: ")) + CUT


def test_many_lines_are_cut() -> None:
    changes = mend_whole(b"".join(b"X-%d : %b\r\n" % (i, b"a" * 90) for i in range(500)) + b"\r\n").changes
    assert changes[-1] == CUT
    assert MAX_CHANGES - 200 < sum(len(line.encode()) + 1 for line in changes) <= MAX_CHANGES


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=40)))
def test_whatever_came(pieces: list[bytes]) -> None:
    """The lines are bounded, printable, and what they say to have left has left."""
    try:
        repaired = mend(BARE + b"".join(pieces), origin=Origin("local"))
    except Reject:
        return
    assert sum(len(line.encode()) + 1 for line in repaired.changes) <= MAX_CHANGES
    left = without_received(repaired.content).splitlines()
    for line in repaired.changes:
        assert line[0] in "-+" or line == CUT
        assert line.replace("\t", "").isprintable() or not line.isascii()
        if line[0] == "+" and "\\x" not in line:
            assert line[1:].encode() in left


def test_costs_little() -> None:
    """Less than a tenth of what a signature takes (some 900 µs), where half the header was changed."""
    fields = [Field("subject", b"Subject: =?utf-8?b?5oKo?=\r\n", "Subject: 您\r\n".encode()) for _ in range(10)]
    fields += [Field("to", WHOLE, WHOLE) for _ in range(10)]
    began = time.thread_time()  # on the wall clock, a busy machine would count too
    for _ in range(100):
        changes(fields, fields, CONTROL)
    assert (time.thread_time() - began) / 100 < 90e-6

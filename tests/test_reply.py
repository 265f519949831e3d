"""SMTP replies: the codes always agree, the lines always fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.reply import MAX_LINE, Defer, Reject, Reply, SMTPReplyError


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (250, "2.1.0 Ok", Reply(250, "1.0", "Ok")),
        (550, "5.1.1 No such user", Reply(550, "1.1", "No such user")),
        (550, "5.1.1", Reply(550, "1.1", "")),
        (550, "  5.1.1  No such user ", Reply(550, "1.1", "No such user")),
        (550, "5.1.1 No\n5.1.1 such user", Reply(550, "1.1", "No\nsuch user")),
        (550, "5.1.1 No\nsuch user", Reply(550, "1.1", "No\nsuch user")),
        (550, "5.1.1 No\n5.1.10 is another", Reply(550, "1.1", "No\n5.1.10 is another")),
        (550, "5.1.1 See 5.1.1 in RFC 3463", Reply(550, "1.1", "See 5.1.1 in RFC 3463")),
        (550, "4.1.1 the class of another code", Reply(550, "", "4.1.1 the class of another code")),
        (550, "5.1.1.1 is a version", Reply(550, "", "5.1.1.1 is a version")),
        (550, "No such user", Reply(550, "", "No such user")),
        (354, "Go ahead", Reply(354, "", "Go ahead")),
        (550, "", Reply(550, "", "")),
    ],
)
def test_received(code: int, text: str, expected: Reply) -> None:
    assert Reply.received(code, text) == expected


def test_class_of_the_enhanced_code_is_that_of_the_basic_code() -> None:
    assert Reply(250, "1.0", "Ok").enhanced == "2.1.0"
    assert Reply(451, "3.0", "Later").enhanced == "4.3.0"
    assert Reply(550, "7.1", "No").enhanced == "5.7.1"
    assert Reply(354, "", "Go ahead").enhanced == ""


def test_status_is_never_empty() -> None:
    assert Reply(550, "1.1", "").status == "5.1.1"
    assert Reply(451, "", "").status == "4.0.0"


@pytest.mark.parametrize(
    ("code", "temporary", "permanent"), [(250, False, False), (451, True, False), (550, False, True)]
)
def test_classes(code: int, temporary: bool, permanent: bool) -> None:
    reply = Reply(code, "", "")
    assert (reply.temporary, reply.permanent) == (temporary, permanent)


def test_str_is_one_line() -> None:
    assert str(Reply(550, "1.1", "No\n such  user")) == "550 5.1.1 No such user"
    assert str(Reply(220, "", "ready")) == "220 ready"
    assert str(Reply(250, "0.0", "")) == "250 2.0.0"


def test_encode_one_line() -> None:
    assert Reply(250, "1.0", "Ok").encode() == b"250 2.1.0 Ok\r\n"
    assert Reply(220, "", "ready").encode() == b"220 ready\r\n"


def test_encode_puts_the_enhanced_code_on_every_line() -> None:
    assert Reply(550, "7.1", "No,\nnever").encode() == b"550-5.7.1 No,\r\n550 5.7.1 never\r\n"


def test_encode_breaks_between_words() -> None:
    lines = Reply(550, "7.1", "word " * 199 + "word").encode().split(b"\r\n")[:-1]
    assert len(lines) == 2
    assert all(line.endswith(b" word") for line in lines)


def test_encode_for_clients_that_read_one_line() -> None:
    octets = Reply(550, "7.1", "many\nlines " * 100).encode(one_line=True)
    assert octets.startswith(b"550 5.7.1 many lines many lines")
    assert octets.count(b"\r\n") == 1
    assert len(octets) == MAX_LINE


def test_encode_is_printable_ascii() -> None:
    assert Reply(550, "7.1", "a\rb\0c 张 d").encode() == b"550 5.7.1 a?b?c ? d\r\n"


def test_reject_is_permanent_and_defer_is_temporary() -> None:
    assert Reject(550, "7.1", "No").reply == Reply(550, "7.1", "No")
    assert str(Defer(451, "3.0", "Later")) == "451 4.3.0 Later"
    assert issubclass(Reject, SMTPReplyError)
    assert issubclass(Defer, SMTPReplyError)
    with pytest.raises(ValueError, match="5yz, not 451"):
        Reject(451, "7.1", "No")
    with pytest.raises(ValueError, match="4yz, not 550"):
        Defer(550, "7.1", "No")


CODES = st.sampled_from([220, 250, 354, 421, 451, 452, 535, 550, 552, 554])
DETAILS = st.just("") | st.from_regex(r"[0-7]\.[0-9]{1,3}", fullmatch=True)
REPLIES = st.builds(Reply, CODES, DETAILS, st.text(max_size=2000))


def read_back(octets: bytes) -> Reply:
    """As a client reads it: codes and separators off, lines joined."""
    lines = octets.decode("ascii").split("\r\n")[:-1]
    assert {line[3] for line in lines[:-1]} <= {"-"}
    assert lines[-1][3] == " "
    return Reply.received(int(lines[0][:3]), "\n".join(line[4:] for line in lines))


@given(REPLIES, st.booleans())
def test_lines_fit(reply: Reply, one_line: bool) -> None:
    octets = reply.encode(one_line=one_line)
    assert octets.endswith(b"\r\n")
    lines = octets.split(b"\r\n")[:-1]
    assert all(len(line) + 2 <= MAX_LINE and line.isascii() and line.decode().isprintable() for line in lines)
    assert len(lines) == 1 or not one_line


WORDS = st.lists(st.from_regex(r"[A-Za-z][!-~]{0,20}", fullmatch=True), min_size=1, max_size=10).map(" ".join)


@given(CODES, DETAILS, st.lists(WORDS, min_size=1, max_size=4).map("\n".join))
def test_what_was_encoded_is_received(code: int, detail: str, text: str) -> None:
    reply = Reply(code, detail if code != 354 else "", text)
    assert read_back(reply.encode()) == reply


@given(CODES, st.text(max_size=600))
def test_any_text_is_received(code: int, text: str) -> None:
    reply = Reply.received(code, text)
    assert reply.code == code
    assert reply.status.startswith(str(code)[0])

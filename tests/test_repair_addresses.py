"""Fields that hold addresses: each test is named after the fault that is mended."""

from __future__ import annotations

import pytest

from tests.repair_kit import field, has_field, mend, mend_whole, read


def to(value: str) -> str:
    return field(mend_whole(f"To: {value}\r\n\r\n".encode()).content, b"to").decode()


@pytest.mark.parametrize(
    "value",
    [
        "a@b.example",
        "<a@b.example>",
        "Foo Bar <a@b.example>",
        "hello<a@b.example>",
        '"Foo; Bar, Inc." <a@b.example>, c@d.example',
        "a@b.example (Foo; Bar (x))",
        "John Q. Public <a@b.example>",
        "undisclosed-recipients:;",
        "Friends: a@b.example, c@d.example;",
        "Friends: a@b.example;, x@y.example",
        "=?utf-8?q?J=C3=B6rg?= <a@b.example>",
        '"=?utf-8?q?J=C3=B6rg?=" <a@b.example>',
        '"a@b.example" <a@b.example>',
        '"quo\\"ted" <"local part"@b.example>',
        "a@[IPv6:2001:db8::1]",
        "root",
        "A@B.EXAMPLE",
    ],
)
def test_nothing_is_wrong(value: str) -> None:
    repaired = mend_whole(f"To: {value}\r\n\r\n".encode())
    assert f"To: {value}\r\n".encode() in repaired.content
    assert repaired.repairs == ()


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        ("a@b.example;c@d.example", "a@b.example, c@d.example"),
        ("a@b.example; c@d.example;", "a@b.example, c@d.example"),
        ('"x;y" <a@b.example>;c@d.example (;)', '"x;y" <a@b.example>, c@d.example (;)'),
        ("g: a@b.example, c@d.example; e@f.example; h@i.example", None),
        ("a@b.example,,c@d.example,", "a@b.example, c@d.example"),
    ],
)
def test_semicolons_and_empty_addresses(came: str, leaves: str | None) -> None:
    expected = leaves or "g: a@b.example, c@d.example;, e@f.example, h@i.example"
    assert to(came) == expected


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        ("a@b.example<a@b.example>", "<a@b.example>"),
        ("A@b.example <a@b.example>", "<a@b.example>"),
        ("c@d.example <a@b.example>", '"c@d.example" <a@b.example>'),
        ("Sales [EU] <a@b.example>", '"Sales [EU]" <a@b.example>'),
        ("Ticket: 123 <a@b.example>", '"Ticket: 123" <a@b.example>'),
        ("=?utf-8?q?J=C3=B6rg?= [EU] <a@b.example>", "=?utf-8?b?SsO2cmcgW0VVXQ==?= <a@b.example>"),
        ("Back\\slash <a@b.example>", '"Back\\\\slash" <a@b.example>'),
    ],
)
def test_display_name_out_of_form(came: str, leaves: str) -> None:
    assert to(came) == leaves


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        ("Foo < a@b.example >", "Foo <a@b.example>"),
        ("Foo <a@b.example", "Foo <a@b.example>"),
        ("<<a@b.example>>", "<a@b.example>"),
        ("<a@b.example> Foo", "Foo <a@b.example>"),
        ('"Foo <a@b.example>', "Foo <a@b.example>"),
        ("Foo (bar <a@b.example>", "Foo bar <a@b.example>"),
        ("a@b.example.", "a@b.example"),
    ],
)
def test_brackets_and_quotes_out_of_form(came: str, leaves: str) -> None:
    assert to(came) == leaves


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        ("张三 <a@b.example>", "=?utf-8?b?5byg5LiJ?= <a@b.example>"),
        ('"张三, Sales" <a@b.example>', "=?utf-8?b?5byg5LiJLCBTYWxlcw==?= <a@b.example>"),
        ("a@b.example (张三)", "a@b.example (=?utf-8?b?5byg5LiJ?=)"),
        ("Jörg: a@b.example;", "=?utf-8?b?SsO2cmc=?=: a@b.example;"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("张三", "=?utf-8?b?5byg5LiJ?=:;"),
        ("g: 张三, a@b.example;", "g: =?utf-8?b?5byg5LiJ?=, a@b.example;"),
    ],
)
def test_raw_text(came: str, leaves: str) -> None:
    assert to(came) == leaves


def test_local_part_that_needs_smtputf8_stays() -> None:
    repaired = mend_whole("To: Jörg <jörg@bücher.example>\r\n\r\n".encode())
    assert field(repaired.content, b"to") == "=?utf-8?b?SsO2cmc=?= <jörg@xn--bcher-kva.example>".encode()
    assert repaired.needs_smtputf8


def test_words_without_an_address_and_a_colon() -> None:
    """Somebody forgot the semicolon, which ends a group."""
    assert to("undisclosed-recipients:") == "undisclosed-recipients:;"


def test_comma_in_the_name_of_the_author() -> None:
    repaired = mend(b"From: Foo, Inc. <a@b.example>\r\n\r\n")
    assert field(repaired.content, b"from") == b'"Foo, Inc." <a@b.example>'
    assert repaired.authors[0] == "a@b.example"


def test_comma_in_an_encoded_word() -> None:
    """The encoded word should not hold it (RFC 2047 §5); what it says is kept."""
    repaired = mend(b"From: =?utf-8?Q?Foo,_Inc.?= <a@b.example>\r\n\r\n")
    assert str(read(repaired.content)["from"]) == '"Foo, Inc." <a@b.example>'


def test_several_authors() -> None:
    """RFC 5322 §3.6.2: then there must be a Sender."""
    repaired = mend(b"From: a@b.example, C <c@d.example>\r\nSender: s@b.example\r\n\r\n")
    assert field(repaired.content, b"from") == b"a@b.example, C <c@d.example>"
    assert field(repaired.content, b"sender") == b"s@b.example"
    assert repaired.authors[0] == "a@b.example"
    without_sender = mend(b"From: a@b.example, C <c@d.example>\r\n\r\n")
    assert field(without_sender.content, b"sender") == b"a@b.example"


def test_author_beside_what_is_no_address() -> None:
    repaired = mend(b"From: <a@b.example>, <nobody>\r\n\r\n")
    assert field(repaired.content, b"from") == b"<a@b.example>"
    assert repaired.authors[0] == "a@b.example"


def test_author_in_a_long_list_without_white_space() -> None:
    addresses = [b"user%d@example.net" % number for number in range(200)]
    repaired = mend_whole(b"Cc: " + b",".join(addresses) + b"\r\n\r\n")
    assert field(repaired.content, b"cc").split(b", ") == addresses
    assert max(map(len, repaired.content.split(b"\r\n"))) <= 78


def test_author_with_an_international_domain() -> None:
    repaired = mend("From: 张三 <a@例子.example>\r\n\r\n".encode())
    assert repaired.authors[0] == "a@xn--fsqu00a.example"
    assert repaired.from_domain == "xn--fsqu00a.example"


def test_encoded_word_cannot_inject_a_field() -> None:
    """An attack: the word holds a line end, and is read because the name beside it is out of form."""
    repaired = mend_whole(b"To: =?utf-8?q?x=0D=0ABcc:_v@w.example?= [x] <a@b.example>\r\n\r\n")
    assert not has_field(repaired.content, b"bcc")
    assert field(repaired.content, b"to") == b'"x Bcc: v@w.example [x]" <a@b.example>'

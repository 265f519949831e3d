"""The header: each test is named after the fault that is mended."""

from __future__ import annotations

from encodings.aliases import aliases

import pytest

from smtprelay.message import Envelope, Origin, Recipient
from smtprelay.repair.charsets import codec_of
from smtprelay.reply import Reject
from tests.repair_kit import ENVELOPE, ID, WHOLE, field, has_field, mend, mend_whole, read, text, without_received

PHP_SAMPLE = (
    "MIME-Version:1.0\r\n"
    "Content-Type:text/html\r\n"
    "To: someone@example.net\r\n"
    "From: app@mail79.example.com<app@mail79.example.com>\r\n"
    "Subject: 测试 umail 邮件系统\r\n"
    "Date: Wed, 22 Aug 2018 14:10:00 +0800\r\n"
    "X-Mailer:By Redhat\r\n(PHP/5.6.36)\r\n"
    "Message-ID: <20180822141000.123456.app@mail79.example.com>\r\n"
    "\r\n"
    "<h1>这是 smtp 测试邮件</h1>"
)


def test_whole_message_only_gets_received() -> None:
    content = WHOLE + b"To: a@b.example\r\nSubject:  odd   spacing \r\nX-A: 1\r\n 2\r\n\r\nHello\r\n"
    repaired = mend(content)
    assert without_received(repaired.content) == content
    assert repaired.repairs == ()
    assert repaired.authors[0] == "app@example.com"
    assert repaired.from_domain == "example.com"
    assert repaired.message_id == "<1@example.com>"
    assert not repaired.needs_smtputf8


@pytest.mark.parametrize(
    ("fields", "bulk"),
    [
        (b"List-Unsubscribe: <https://example.com/u>\r\n", True),
        (b"LIST-ID: news <news.example.com>\r\n", True),
        (b"Precedence: bulk\r\n", True),
        (b"precedence:  List \r\n", True),
        (b"Precedence: junk\r\n", True),
        (b"Precedence: first-class\r\n", False),
        (b"List-Help: <https://example.com/>\r\nAuto-Submitted: auto-generated\r\n", False),
        (b"", False),
    ],
)
def test_what_goes_to_many_is_known_by_its_header(fields: bytes, bulk: bool) -> None:
    assert mend_whole(fields + b"To: a@b.example\r\n\r\nList-Id: no field\r\n").bulk == bulk


# Real apps


def test_php_sample() -> None:
    """The platform's own sample: no charset, raw UTF-8, the address as its own display name, a broken X-Mailer."""
    repaired = mend(PHP_SAMPLE.replace("By Redhat\r\n", "By Redhat ").encode())
    message = read(repaired.content)
    assert message["subject"] == repaired.subject == "测试 umail 邮件系统"
    assert field(repaired.content, b"from") == b"<app@mail79.example.com>"
    assert field(repaired.content, b"content-type") == b"text/html; charset=utf-8"
    assert text(message) == "<h1>这是 smtp 测试邮件</h1>\n"
    assert b"MIME-Version:1.0\r\nContent-Type" in repaired.content
    assert repaired.content.isascii()


def test_php_sample_with_its_line_break_in_the_header() -> None:
    """As printed, X-Mailer's second line is no field: the header ends there, and nothing is lost."""
    repaired = mend(PHP_SAMPLE.encode())
    assert "blank line put between header and body" in repaired.repairs
    assert text(read(repaired.content)).startswith("(PHP/5.6.36)\n")


def test_python_sample() -> None:
    """gb2312 in base64, recipients joined with semicolons, a name right before the angle bracket."""
    repaired = mend(
        b'Content-Type: text/html; charset="gb2312"\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n'
        b"Subject: hello\nFrom: hello<app@example.com>\nTo: a@example.net;b@example.net\n\n"
        b"suLK1MTayN0=\n"
    )
    message = read(repaired.content)
    assert field(repaired.content, b"to") == b"a@example.net, b@example.net"
    assert field(repaired.content, b"from") == b"hello<app@example.com>"
    assert text(message) == "测试内容"
    assert "To: ';' between addresses replaced by ','" in repaired.repairs


def test_php_mail_with_doubled_fields() -> None:
    """mail() writes To and Subject, and the app gives them once more among the additional headers."""
    repaired = mend(
        b"To: bob@example.net\nSubject: Hello\nFrom: app@example.com\nTo: bob@example.net\nSubject: Hello\n"
        b"MIME-Version: 1.0\nMIME-Version:  1.0\nContent-type: text/plain; charset=utf-8\n\nHi\n"
    )
    assert field(repaired.content, b"to") == b"bob@example.net"
    assert field(repaired.content, b"subject") == b"Hello"
    assert field(repaired.content, b"mime-version") == b"1.0"


# What must be there


def test_missing_fields() -> None:
    repaired = mend(b"Subject: x\r\n\r\nHello\r\n")
    assert without_received(repaired.content) == (
        b"Subject: x\r\nFrom: app@example.com\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
        b"Message-ID: <0123456789abcdef@example.com>\r\nMIME-Version: 1.0\r\n\r\nHello\r\n"
    )
    assert repaired.repairs == ("added From", "added Date", "added Message-ID", "added MIME-Version")
    assert repaired.message_id == f"<{ID}@example.com>"


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"Hello", b"Hello\r\nSubject: no field of this\r\n", b" indented\r\n"]
)
def test_no_header_at_all(content: bytes) -> None:
    repaired = mend(content)
    message = read(repaired.content)
    assert message["from"] == repaired.authors[0] == "app@example.com"
    assert message["subject"] is None
    assert repaired.content.partition(b"\r\n\r\n")[2].strip() == content.strip()


def test_empty_fields_count_as_missing() -> None:
    repaired = mend(
        b"From: a@b.example\r\nDate: \r\nMessage-ID:\r\nMIME-Version:\r\nTo: \r\nCc: ,\r\nReply-To:\r\n\r\n"
    )
    assert field(repaired.content, b"date") == b"Tue, 14 Nov 2023 22:13:20 +0000"
    assert field(repaired.content, b"message-id") == b"<0123456789abcdef@b.example>"
    assert not any(has_field(repaired.content, name) for name in (b"to", b"cc", b"reply-to"))


def test_missing_from_and_null_reverse_path() -> None:
    with pytest.raises(Reject, match=r"550 5\.6\.0 .*From:"):
        mend(b"Subject: x\r\n\r\n", envelope=Envelope("", (Recipient("b@c.example"),)))


@pytest.mark.parametrize(
    ("came", "leaves"),
    [
        (b"root", b"root <app@example.com>"),
        (b"Web Server [prod]", b'"Web Server [prod]" <app@example.com>'),
        ("服务器".encode(), b"=?utf-8?b?5pyN5Yqh5Zmo?= <app@example.com>"),
        (b"<>", b"app@example.com"),
    ],
)
def test_from_without_an_address(came: bytes, leaves: bytes) -> None:
    repaired = mend(b"From: " + came + b"\r\n\r\n")
    assert field(repaired.content, b"from") == leaves
    assert repaired.authors[0] == "app@example.com"


def test_message_id_without_angle_brackets() -> None:
    repaired = mend(b"From: a@b.example\r\nMessage-ID: 4711@b.example\r\n\r\n")
    assert field(repaired.content, b"message-id") == b"<4711@b.example>"
    assert repaired.message_id == "<4711@b.example>"


# What must not be there


def test_private_fields_and_instructions() -> None:
    repaired = mend_whole(
        b"Bcc: secret@example.net\r\nResent-Bcc: x@y.example\r\nReturn-Path: <z@y.example>\r\n"
        b"X-SMTPRelay-Tag: t\r\nX-MC-Tags: t\r\nx-mailgun-tag: t\r\nX-MCat: kept\r\n\r\n"
    )
    assert without_received(repaired.content) == WHOLE + b"X-MCat: kept\r\n\r\n"
    assert repaired.repairs[0] == "removed Bcc"


def test_loop() -> None:
    twenty_nine = b"Received: by a.example; Mon, 6 Nov 2023 08:00:00 +0800\r\n" * 29
    assert mend_whole(twenty_nine + b"\r\n").repairs == ()
    with pytest.raises(Reject, match=r"554 5\.4\.6 mail loop"):
        mend_whole(twenty_nine + b"Received: once more\r\n\r\n")


def test_different_from_fields() -> None:
    with pytest.raises(Reject, match=r"550 5\.6\.0 .*different From"):
        mend(b"From: a@b.example\r\nFrom: c@d.example\r\n\r\n")
    assert mend(b"From: a  <a@b.example>\r\nFrom: a\r\n <a@b.example>\r\n\r\n").authors[0] == "a@b.example"


def test_doubled_to_is_merged_and_doubled_subject_is_not() -> None:
    repaired = mend_whole(b"To: a@b.example\r\nSubject: 1\r\nTo: c@d.example; e@f.example\r\nSubject: 2\r\n\r\n")
    assert field(repaired.content, b"to") == b"a@b.example, c@d.example, e@f.example"
    assert field(repaired.content, b"subject") == b"1"
    assert "To: 2 fields merged into one" in repaired.repairs
    assert "Subject: first of 2 fields kept" in repaired.repairs


def test_first_of_alternating_fields_stays() -> None:
    repaired = mend_whole(b"Subject: 1\r\nSubject: 2\r\nSubject: 1\r\nTo: a@b\r\nTo: c@d\r\nTo: a@b\r\n\r\n")
    assert field(repaired.content, b"subject") == b"1"
    assert field(repaired.content, b"to") == b"a@b, c@d"


def test_doubled_content_fields() -> None:
    repaired = mend_whole(b"Content-Type: text/html\r\nContent-Type: text/plain\r\nContent-Type:\r\n\r\nx\r\n")
    assert field(repaired.content, b"content-type") == b"text/html"


# The form of the header


@pytest.mark.parametrize(
    "above", [b"From app@example.com Mon Nov  6 08:00:00 2023\r\n", b">From x\r\n", b" folded\r\n", b"\xef\xbb\xbf"]
)
def test_something_above_the_header(above: bytes) -> None:
    repaired = mend(above + WHOLE + b"\r\nHello\r\n")
    assert without_received(repaired.content) == WHOLE + b"\r\nHello\r\n"
    assert repaired.repairs[0].startswith("what stood above the header removed")


def test_line_without_a_colon() -> None:
    repaired = mend(WHOLE + b"this is no field\r\nX-A: 1\r\n")
    assert without_received(repaired.content) == WHOLE + b"\r\nthis is no field\r\nX-A: 1\r\n"
    assert repaired.repairs == ("blank line put between header and body",)


def test_white_space_before_the_colon() -> None:
    """RFC 5322 §4.5; many readers take such a line for the end of the header."""
    repaired = mend(b"From : a@b.example\r\nSubject\t: x\r\n\r\n")
    assert b"From: a@b.example\r\nSubject: x\r\n" in repaired.content


def test_blank_looking_line_within_a_field() -> None:
    repaired = mend_whole(b"X-A: 1\r\n  \r\n 2\r\nX-B: 3\r\n \t\r\n\r\nHello\r\n")
    assert without_received(repaired.content) == WHOLE + b"X-A: 1\r\n 2\r\nX-B: 3\r\n\r\nHello\r\n"


def test_nul_and_other_controls_in_the_header() -> None:
    repaired = mend_whole(b"Subject: a\0b\x07c\x0bd\r\n\r\n")
    assert field(repaired.content, b"subject") == b"abcd"


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\r\n"])
def test_line_ends(line_end: bytes) -> None:
    content = WHOLE + b"Subject: x\r\n\r\nHello\r\n\r\nWorld"
    repaired = mend(content.replace(b"\r\n", line_end))
    assert without_received(repaired.content) == content + b"\r\n"
    assert repaired.repairs == ("line ends made <CRLF>",)


def test_too_large_header() -> None:
    with pytest.raises(Reject, match=r"552 5\.3\.4"):
        mend(WHOLE + b"X-A: 1\r\n" * 1000 + b"\r\n")
    with pytest.raises(Reject, match=r"552 5\.3\.4"):
        mend(b"X-A: " + b"1" * 2**20 + b"\r\n\r\n")
    with pytest.raises(Reject, match=r"552 5\.3\.4"):
        mend(b"X-A:\r\n" + b" 1\r\n" * 2**18)
    assert mend(b"1" * 2**21).authors[0] == "app@example.com"


# Raw 8-bit text


@pytest.mark.parametrize(
    ("raw", "declared", "charset"),
    [
        ("Grüße".encode("latin-1"), b"iso-8859-1", "iso-8859-1"),
        ("Grüße".encode(), b"", "utf-8"),
        ("Grüße".encode(), b"us-ascii", "utf-8"),
        ("测试".encode("gb2312"), b"", "gb18030"),
        ("測試".encode("big5"), b"big5", "big5"),
        ("镕".encode("gbk"), b"gb2312", "gb18030"),
        ("Grüße".encode(), b"zlib", "utf-8"),
        ("Grüße".encode(), b"punycode", "utf-8"),
    ],
)
def test_raw_subject(raw: bytes, declared: bytes, charset: str) -> None:
    """The declared charset is tried first, then UTF-8, then the configured ones."""
    content_type = b"Content-Type: text/plain; charset=" + declared + b"\r\n" if declared else b""
    repaired = mend_whole(b"Subject: " + raw + b"\r\n" + content_type + b"\r\n")
    expected = raw.decode(charset)
    assert repaired.subject == expected
    assert read(repaired.content)["subject"] == expected
    assert f"Subject: raw {charset} text encoded (RFC 2047)" in repaired.repairs


def test_every_charset_contains_ascii() -> None:
    """An attack: a stranger declares EBCDIC, in which a percent sign is a line feed."""
    printable = "".join(map(chr, range(0x20, 0x7F))).translate({ord(char): None for char in "\\\\~"})
    for codec in set(map(codec_of, aliases)) - {""}:
        assert printable.encode("ascii").decode(codec) == printable, codec


def test_raw_subject_in_no_known_charset() -> None:
    repaired = mend_whole(b"Subject: a\xff\r\n\r\n", charsets=())
    assert repaired.subject == "a\ufffd"


def test_long_raw_subject_is_split_between_characters() -> None:
    subject = "邮件😀" * 100
    repaired = mend_whole(f"Subject: {subject}\r\n\r\n".encode())
    words = field(repaired.content, b"subject").split()
    assert all(len(word) <= 75 for word in words)
    assert all(len(line) <= 78 for line in repaired.content.split(b"\r\n"))
    assert read(repaired.content)["subject"] == subject
    assert all(read(b"Subject: " + word + b"\r\n\r\n")["subject"] in subject for word in words)


def test_raw_text_beside_encoded_words() -> None:
    """The words that came are read, so that they are not shown as they stand."""
    raw = "Re: =?gb2312?B?suLK?= =?gb2312?B?1A==?= 邮件 =?utf-8?q?a=0D=0Ab?= =?x-none?q?c?="
    repaired = mend_whole(f"Subject: {raw}\r\n\r\n".encode())
    assert read(repaired.content)["subject"] == repaired.subject == "Re: 测试 邮件 a b=?x-none?q?c?="


def test_words_that_are_no_encoded_words_are_shown_as_they_stand() -> None:
    assert mend_whole(b"Subject: =?utf-8?b?a?= =?utf-8?q?ok?=\r\n\r\n").subject.endswith("ok")
    assert mend_whole(b"Subject: =?utf-8?b?====?=x\r\n\r\n").subject == "x"


def test_raw_text_in_ids_dates_and_traces() -> None:
    repaired = mend(
        "From: a@b.example\r\nMessage-ID: <é@b.example>\r\nIn-Reply-To: <1@b> <ü@b>\r\nReferences: <ü@b>\r\n"
        "Date: 6. März 2023\r\nReceived: by bürö; today\r\nX-A: 1\r\n\r\n".encode(),
    )
    assert field(repaired.content, b"in-reply-to") == b"<1@b>"
    assert not has_field(repaired.content, b"references")
    assert b"Received: by b??r??; today\r\n" in repaired.content
    assert field(repaired.content, b"message-id") == b"<0123456789abcdef@b.example>"
    assert field(repaired.content, b"date") == b"Tue, 14 Nov 2023 22:13:20 +0000"


def test_raw_text_in_a_url() -> None:
    repaired = mend_whole("List-Unsubscribe: <https://example.com/ü>\r\n\r\n".encode())
    assert field(repaired.content, b"list-unsubscribe") == b"<https://example.com/%C3%BC>"


# Over-long lines


def test_long_line_is_folded_at_white_space() -> None:
    references = b" ".join(b"<%d@example.com>" % number for number in range(100))
    repaired = mend_whole(b"References: " + references + b"\r\n\r\n")
    assert field(repaired.content, b"references") == references
    assert max(map(len, repaired.content.split(b"\r\n"))) <= 78
    assert repaired.repairs == ("References: over-long line folded",)


def test_long_word_is_encoded() -> None:
    repaired = mend_whole(b"X-Data: " + b"x" * 1200 + b"\r\n\r\n")
    assert read(repaired.content)["x-data"] == "x" * 1200
    assert max(map(len, repaired.content.split(b"\r\n"))) <= 78


def test_long_word_where_no_encoded_word_may_stand_is_cut() -> None:
    repaired = mend_whole(b"DKIM-Signature: b=" + b"x" * 1200 + b"\r\n\r\n")
    assert field(repaired.content, b"dkim-signature").replace(b" ", b"") == b"b=" + b"x" * 1200
    assert max(map(len, repaired.content.split(b"\r\n"))) <= 998


def test_field_of_nothing_but_white_space_stays() -> None:
    assert without_received(mend_whole(b"Subject:" + b" " * 2000 + b"\r\n\r\n").content) == WHOLE + b"Subject:\r\n\r\n"


# Received


@pytest.mark.parametrize(
    ("origin", "clause"),
    [
        (
            Origin("192.0.2.7", "printer.lan", "ESMTP"),
            b"from printer.lan ([192.0.2.7]) by relay.example.com with ESMTP",
        ),
        (Origin("2001:db8::1", "h", "ESMTPSA"), b"from h ([IPv6:2001:db8::1]) by relay.example.com with ESMTPSA"),
        (Origin("fe80::1%eth0", "h"), b"from h ([IPv6:fe80::1]) by relay.example.com with SMTP"),
        (Origin("::ffff:192.0.2.7", "h"), b"from h ([192.0.2.7]) by relay.example.com with SMTP"),
        (Origin("192.0.2.7", "a b\r\nX: (ü)"), b"from abX: ([192.0.2.7]) by relay.example.com with SMTP"),
        (Origin("192.0.2.7", "()"), b"from unknown ([192.0.2.7]) by relay.example.com with SMTP"),
        (Origin("local"), b"by relay.example.com"),
    ],
)
def test_received(origin: Origin, clause: bytes) -> None:
    """RFC 5321 §4.4; what a client calls itself cannot break out."""
    received = field(mend_whole(b"\r\n", origin=origin).content, b"received")
    assert received == clause + b" id 0123456789abcdef for <bob@example.net>; Tue, 14 Nov 2023 22:13:20 +0000"


def test_received_does_not_tell_of_blind_copies() -> None:
    envelope = Envelope("app@example.com", (Recipient("bob@example.net"), Recipient("secret@example.net")))
    content = mend_whole(b"\r\n", envelope=envelope).content
    assert field(content, b"received").endswith(b"id 0123456789abcdef; Tue, 14 Nov 2023 22:13:20 +0000")


def test_received_stays_ascii() -> None:
    content = mend_whole(b"\r\n", envelope=Envelope("a@b.example", (Recipient("jörg@example.net"),))).content
    assert b" for " not in field(content, b"received")


# Rewriting


def test_rewrite_from() -> None:
    repaired = mend_whole(b"\r\n", rewrite="from", username="news@platform.example")
    assert field(repaired.content, b"from") == b"App <news@platform.example>"
    assert field(repaired.content, b"reply-to") == b"App <app@example.com>"
    assert repaired.authors[0] == "app@example.com"
    assert repaired.from_domain == "platform.example"


def test_rewrite_from_leaves_reply_to() -> None:
    repaired = mend_whole(b"Reply-To: help@example.com\r\n\r\n", rewrite="from", username="news@platform.example")
    assert field(repaired.content, b"reply-to") == b"help@example.com"


def test_rewrite_from_of_the_same_address() -> None:
    assert mend_whole(b"\r\n", rewrite="from", username="APP@example.com").repairs == ()


def test_rewrite_missing_from() -> None:
    repaired = mend(b"\r\n", rewrite="from", username="news@platform.example", envelope=Envelope("", ()))
    assert field(repaired.content, b"from") == b"news@platform.example"
    assert repaired.authors[0] == "news@platform.example"
    assert not has_field(repaired.content, b"reply-to")


def test_rewrite_envelope_changes_nothing_in_the_header() -> None:
    assert mend_whole(b"\r\n", rewrite="envelope", username="news@platform.example").repairs == ()


def test_rewrite_to_what_is_no_address() -> None:
    with pytest.raises(Reject, match=r"554 5\.3\.5 .*rewrite_sender"):
        mend_whole(b"\r\n", rewrite="from", username="news@")


def test_client_that_says_utf8() -> None:
    """With SMTPUTF8 the header is UTF-8 (RFC 6532 §3.2), whatever charset the body has."""
    content = WHOLE + "To: jörg@example.com\r\nContent-Type: text/plain; charset=latin1\r\n\r\n".encode()
    repaired = mend(content, envelope=Envelope(ENVELOPE.reverse_path, ENVELOPE.recipients, smtputf8=True))
    assert without_received(repaired.content) == content
    assert repaired.needs_smtputf8
    assert repaired.repairs == ()

"""The body: each test is named after the fault that is mended."""

from __future__ import annotations

import quopri
from base64 import b64encode

import pytest

from smtprelay.reply import Reject
from tests.repair_kit import WHOLE, field, has_field, mend, mend_whole, read, text, without_received

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def body_of(content: bytes) -> bytes:
    return content.partition(b"\r\n\r\n")[2]


def longest_line(content: bytes) -> int:
    return max(map(len, content.split(b"\r\n")))


# Text without a charset


@pytest.mark.parametrize(
    ("raw", "charset"), [("Schöne Grüße", "utf-8"), ("测试内容", "gb18030"), ("na\u00efve ol\u00e9", "iso-8859-1")]
)
@pytest.mark.parametrize(
    "declared", [b"", b"Content-Type:text/html\r\n", b"Content-Type: text/html; charset=us-ascii\r\n"]
)
def test_text_without_charset(raw: str, charset: str, declared: bytes) -> None:
    repaired = mend_whole(declared + b"\r\n" + raw.encode(charset) + b"\r\n")
    message = read(repaired.content)
    assert message.get_content_charset() == charset
    assert message.get_content_type() == ("text/html" if declared else "text/plain")
    assert text(message) == raw + "\n"
    assert f"body: charset {charset} declared" in repaired.repairs


def test_text_in_no_known_charset() -> None:
    repaired = mend_whole(b"\r\n\xff\r\n", charsets=())
    assert read(repaired.content).get_content_charset() == "unknown-8bit"


def test_declared_charset_stays() -> None:
    repaired = mend_whole(b"Content-Type: text/plain; charset=GB2312; format=flowed\r\n\r\n" + "测试".encode("gbk"))
    assert field(repaired.content, b"content-type") == b"text/plain; charset=GB2312; format=flowed"
    assert text(read(repaired.content)) == "测试\n"


def test_content_type_without_its_semicolon() -> None:
    repaired = mend_whole(b"Content-Type: text/html charset=utf-8\r\n\r\n\xc3\xbc\r\n")
    assert field(repaired.content, b"content-type") == b"text/html; charset=utf-8"


# 8-bit bodies, over-long lines


def test_mostly_ascii_text_becomes_quoted_printable() -> None:
    repaired = mend_whole(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "Viele liebe Grüße, X.\r\n".encode() * 9)
    assert body_of(repaired.content) == b"Viele liebe Gr=C3=BC=C3=9Fe, X.\r\n" * 9
    assert repaired.repairs == ("body: 8-bit text encoded as quoted-printable",)


def test_mostly_other_text_becomes_base64() -> None:
    repaired = mend_whole(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "测试\r\n".encode())
    assert body_of(repaired.content) == b64encode("测试\r\n".encode()) + b"\r\n"


def test_one_line_html() -> None:
    html = "<p>" + "x" * 3000 + " </p> ="
    repaired = mend_whole(b"Content-Type: text/html\r\n\r\n" + html.encode() + b"\r\n")
    assert text(read(repaired.content)) == html + "\n"
    assert longest_line(repaired.content) <= 76
    assert field(repaired.content, b"content-type") == b"text/html"


def test_wrong_transfer_encoding() -> None:
    repaired = mend_whole(b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 8-bit\r\n\r\n\xc3\xbc\r\n")
    assert field(repaired.content, b"content-transfer-encoding") == b"base64"
    assert text(read(repaired.content)) == "ü\n"


def test_nul_in_the_body() -> None:
    repaired = mend_whole(b"\r\na\0b\r\n")
    assert text(read(repaired.content)) == "a\0b\n"


def test_white_space_at_line_ends_survives_within_76_characters() -> None:
    lines = [b"x" * length + tail for length in range(70, 80) for tail in (b"", b" ", b"\t", b"  ")]
    body = b"\r\n".join([b"\xc3\xbc", b".", *lines]) + b"\r\n"
    repaired = mend_whole(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + body)
    assert quopri.decodestring(body_of(repaired.content)) == body
    assert longest_line(body_of(repaired.content)) <= 76


def test_binary_attachment() -> None:
    data = bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") * 300
    repaired = mend_whole(
        MIXED + b"--b\r\n\r\nHi\r\n--b\r\nContent-Type: application/pdf\r\n\r\n" + data + b"\r\n--b--\r\n"
    )
    parts = list(read(repaired.content).iter_parts())
    assert parts[1].get_content() == data
    assert repaired.repairs == ("part 2: 8-bit data encoded as base64",)


def test_base64_on_one_line() -> None:
    data = bytes(range(256)) * 10
    repaired = mend_whole(
        b"Content-Type: image/x\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" + b64encode(data) + b"\r\n"
    )
    assert longest_line(body_of(repaired.content)) == 76
    assert read(repaired.content).get_content() == data
    assert repaired.repairs == ("body: base64 put into 7-bit lines",)


def test_quoted_printable_with_raw_octets_and_long_lines() -> None:
    body = ("a=3Dü " * 500 + "=\r\nb\r\n").encode()
    repaired = mend_whole(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + body)
    assert quopri.decodestring(body_of(repaired.content)) == quopri.decodestring(body)
    assert longest_line(body_of(repaired.content)) <= 76
    assert text(read(repaired.content)) == "a=ü " * 500 + "b\n"


def test_unknown_transfer_encoding_of_clean_content() -> None:
    content = WHOLE + b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n"
    assert without_received(mend(content).content) == content


# Part by part


def test_clean_parts_are_copied() -> None:
    clean = b"Content-Type: text/plain\r\nX-A:  odd \r\n\r\nHi \r\n"
    repaired = mend_whole(MIXED + b"--b \t\r\n" + clean + b"\r\n--b\r\n\r\n\xc3\xbc\r\n--b--\r\nepilogue\r\n")
    assert b"\r\n--b \t\r\n" + clean + b"\r\n--b\r\n" in repaired.content
    assert repaired.content.endswith(b"\r\n--b--\r\nepilogue\r\n")
    assert repaired.repairs == ("part 2: charset utf-8 declared", "part 2: 8-bit text encoded as base64")


def test_raw_filename() -> None:
    repaired = mend_whole(
        MIXED + b"--b\r\nContent-Type: application/pdf; name=\xb2\xe2\xca\xd4.pdf; x=y\r\n"
        b'Content-Disposition: attachment; size=3; filename="\xb2\xe2\\"\xca\xd4.pdf"\r\n\r\nabc\r\n--b--\r\n'
    )
    part = next(iter(read(repaired.content).iter_parts()))
    assert part.get_filename() == '测"试.pdf'
    assert b"Content-Type: application/pdf; name*=utf-8''%E6%B5%8B%E8%AF%95.pdf; x=y\r\n" in repaired.content
    assert "part 1: Content-Type: raw 8-bit text encoded (RFC 2231)" in repaired.repairs


def test_long_raw_filename() -> None:
    name = "测试" * 100 + ".pdf"
    repaired = mend_whole(f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode())
    assert read(repaired.content).get_filename() == name
    assert longest_line(repaired.content) <= 78


def test_raw_text_elsewhere_in_content_type() -> None:
    repaired = mend_whole('Content-Type: text/plain; cha\u00fc=x; name*0="ü"; charset="ü" ü\r\n\r\nx\r\n'.encode())
    assert field(repaired.content, b"content-type") == b'text/plain; cha??=x; name*0="??"; charset="??" ??'


def test_text_around_the_parts() -> None:
    """No reader shows it."""
    repaired = mend_whole(MIXED + b"pr\xe9\r\n--b\r\n\r\nHi\r\n--b--\r\n" + b"x" * 999 + b"\r\n")
    assert text(next(iter(read(repaired.content).iter_parts()))) == "Hi"
    assert repaired.repairs == (
        "body: text before the first part removed: it was not 7-bit",
        "body: text after the last part removed: it was not 7-bit",
    )
    assert repaired.content.endswith(b"\r\n--b--\r\n")


def test_attached_message() -> None:
    inner = (
        "Subject: 测试\r\nFrom: jörg@example.com\r\nTo: Jörg <a@b.example>\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n".encode()
    )
    repaired = mend_whole(MIXED + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b--\r\n")
    attached = next(iter(read(repaired.content).iter_parts())).get_content()
    assert attached["subject"] == "测试"
    assert text(attached) == "Grüße\n"
    assert attached["to"].addresses[0].display_name == "Jörg"
    assert attached["from"].groups[0].display_name == "jörg@example.com"
    assert repaired.content.isascii()
    assert not repaired.needs_smtputf8
    assert attached["date"] is None


def test_nested_multiparts() -> None:
    inner = (
        b'Content-Type: multipart/alternative; boundary="a b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        b"--a b\r\n\r\nplain\r\n--a b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\xc3\xbc\r\n--a b--\r\n"
    )
    repaired = mend_whole(MIXED + b"--b\r\n" + inner + b"\r\n--b--\r\n")
    leaves = [part for part in read(repaired.content).walk() if not part.is_multipart()]
    assert [text(part) for part in leaves] == ["plain", "ü"]
    assert repaired.repairs == (
        "part 1: Content-Transfer-Encoding set to 7bit",
        "part 1.2: 8-bit text encoded as base64",
    )


def test_digest() -> None:
    """Its parts are messages where they do not say otherwise (RFC 2046 §5.1.5)."""
    repaired = mend_whole(
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: \xc3\xbc\r\n\r\nHi\r\n--b--\r\n"
    )
    part = next(iter(read(repaired.content).iter_parts()))
    assert part.get_content()["subject"] == "ü"


def test_signed_part_is_left_alone() -> None:
    signed = b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n\xc3\xbc" + b"x" * 999 + b"\r\n--s--\r\n"
    repaired = mend_whole(signed)
    assert without_received(repaired.content) == WHOLE + signed
    assert repaired.repairs == ("body: signed, so left as it is although it is not 7-bit",)
    nested = mend_whole(MIXED + b"\xff\r\n--b\r\n" + signed + b"\r\n--b--\r\n")
    assert b"\r\n--b\r\n" + signed + b"\r\n--b--\r\n" in nested.content


# Multiparts that are none


@pytest.mark.parametrize(
    "content_type",
    [b"multipart/mixed", b"multipart/mixed; boundary=other", b"multipart/mixed; boundary=" + b"x" * 300],
)
def test_multipart_without_its_boundary(content_type: bytes) -> None:
    """It may not be encoded as what it says it is (RFC 2045 §6.4)."""
    body = "--b\r\n\r\nGrüße\r\n--b--\r\n"
    repaired = mend_whole(b"Content-Type: " + content_type + b"\r\n\r\n" + body.encode())
    message = read(repaired.content)
    assert message.get_content_type() == "text/plain"
    assert text(message) == body.replace("\r\n", "\n")
    assert "body: multipart without its boundary, sent as text/plain" in repaired.repairs


def test_multipart_in_base64() -> None:
    """Forbidden, but what it holds is not lost."""
    data = b64encode(b"--b\r\n\r\nHi\r\n--b--\r\n" * 60)
    repaired = mend_whole(b"Content-Transfer-Encoding: base64\r\n" + MIXED + data + b"\r\n")
    assert body_of(repaired.content).replace(b"\r\n", b"") == data


def test_multipart_without_its_end() -> None:
    repaired = mend_whole(MIXED + b"--b\r\n\r\nHi\r\n--b\r\n\r\n\xc3\xbc")
    assert [text(part) for part in read(repaired.content).iter_parts()] == ["Hi", "ü\n"]
    assert repaired.content.endswith(b"\r\n")


def test_empty_parts_and_false_boundaries() -> None:
    repaired = mend_whole(MIXED + b"--b\r\n--b\r\n\r\n--b\r\n\r\n--bx\r\n\xc3\xbc\r\n--b--x\r\n--b--\r\n")
    *_, last = read(repaired.content).iter_parts()
    assert text(last) == "--bx\nü\n--b--x"


def test_part_without_a_blank_line() -> None:
    repaired = mend_whole(MIXED + b"--b\r\nContent-Type: text/plain\r\n\xc3\xbc!\r\n--b--\r\n")
    assert text(next(iter(read(repaired.content).iter_parts()))) == "ü!"
    assert repaired.repairs[0] == "part 1: blank line put between header and body"


def test_attached_message_without_mime_version() -> None:
    """Without it, nobody would decode the body (RFC 2045 §4)."""
    repaired = mend_whole(b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n\xc3\xbc\r\n")
    assert body_of(repaired.content).count(b"MIME-Version: 1.0\r\n") == 1


def test_too_deep() -> None:
    def nested(depth: int) -> bytes:
        fields = (b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
        return b"".join(fields) + b"\r\n\xff"

    assert mend_whole(nested(50)).content.isascii()
    with pytest.raises(Reject, match=r"554 5\.6\.0 .*nested"):
        mend_whole(nested(51))
    assert mend_whole(nested(51)[:-1]).repairs == ()  # what is clean is not even looked at


def test_too_many_parts() -> None:
    with pytest.raises(Reject, match=r"554 5\.6\.0 .*MIME parts"):
        mend_whole(MIXED + b"--b\r\n\r\nx\r\n" * 10_001 + b"\xff")


def test_repairs_of_very_many_parts_are_summed_up() -> None:
    repaired = mend_whole(MIXED + b"--b\r\nContent-Type: a/b\r\n\r\n\xff\r\n" * 200 + b"--b--\r\n")
    assert len(repaired.repairs) == 100
    assert repaired.repairs[-1] == "and 101 more"


def test_header_of_an_attached_message_stays_without_additions() -> None:
    repaired = mend_whole(b"Content-Type: message/rfc822\r\n\r\nBcc: x@y.example\r\nSubject: \xc3\xbc\r\n\r\nHi\r\n")
    assert body_of(repaired.content) == b"Bcc: x@y.example\r\nSubject: =?utf-8?b?w7w=?=\r\n\r\nHi\r\n"
    assert not has_field(repaired.content, b"bcc")

"""Mail taken apart for people: what a reader of mail would show of it."""

from __future__ import annotations

import base64
import time
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smtprelay.web.mail import MAX_DEPTH, MAX_NAME, MAX_PARTS, MAX_PICTURES, MAX_TEXT, file_name, read
from tests.test_repair_properties import PIECES

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MESSAGES = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=40).map(b"".join)


def message(*lines: str) -> bytes:
    return "\r\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def test_a_mail_with_everything() -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "您的订单", "王芳 <wang@example.com>"
    mail.set_content("Your order\n")
    mail.add_alternative('<p>Your order</p><img src="cid:logo@x"><img src="https://e.test/x.png">', subtype="html")
    html = mail.get_payload()[1]  # type: ignore[index]
    html.add_related(PNG, "image", "png", cid="<logo@x>")  # type: ignore[union-attr]
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Rechnung März.pdf")
    read_ = read(mail.as_bytes(policy=SMTP))
    assert dict(read_.fields)["Subject"] == "您的订单"
    assert dict(read_.fields)["From"] == "王芳 <wang@example.com>"
    assert read_.text == "Your order\r\n"
    assert f'<img src="data:image/png;base64,{base64.b64encode(PNG).decode()}">' in read_.html
    assert '<img src="https://e.test/x.png">' in read_.html, (
        "as it was written: the policy of the page has it not loaded"
    )
    assert [(a.name, a.kind, a.content, a.shown) for a in read_.attachments] == [
        (read_.attachments[0].name, "image/png", PNG, True),
        ("Rechnung März.pdf", "application/pdf", b"%PDF", False),
    ]
    assert not read_.shortened


@pytest.mark.parametrize(
    ("charset", "encoding", "body"),
    [
        ("gb2312", "base64", base64.b64encode("测试镕".encode("gbk")).decode()),  # outside of GB2312, within GBK
        ("GBK", "quoted-printable", "=B2=E2=CA=D4=E9F"),
        ("utf-8", "QUOTED-PRINTABLE", "=E6=B5=8B=E8=AF=95=E9=95=\r\n=95"),
        ("x-unknown", "8bit", "测试镕"),
        ("", "x-odd", "测试镕"),
        ("big5", "base64 ", base64.b64encode("測試鎔".encode("big5")).decode()),
    ],
)
def test_text_of_any_charset(charset: str, encoding: str, body: str) -> None:
    parameter = f"; charset={charset}" if charset else ""
    content = message(f"Content-Type: text/plain{parameter}", f"Content-Transfer-Encoding: {encoding}", "", body)
    text = read(content).text.strip()
    assert text == ("測試鎔" if charset == "big5" else "测试镕")


def test_octets_that_no_charset_reads_are_shown_somehow() -> None:
    content = b"Content-Type: text/plain; charset=utf-8\r\n\r\nok \xff\xfe ok\r\n"
    assert read(content).text == "ok \ufffd\ufffd ok\r\n"


def test_what_is_no_text_is_an_attachment() -> None:
    """TNEF, S/MIME, a message within the message, a calendar: for the programs that can read them."""
    content = message(
        "Content-Type: multipart/mixed; boundary=b", "", "for old readers",
        "--b", "Content-Type: application/ms-tnef", "", "x",
        "--b", "Content-Type: message/rfc822", "Content-Transfer-Encoding: base64", "", "U3ViamVjdDogaW5uZXINCg==",
        "--b", "Content-Type: text/plain", "Content-Disposition: attachment; filename=notes.txt", "", "kept apart",
        "--b", "Content-Type: text/calendar", "", "BEGIN:VCALENDAR",
        "--b", "Content-Type: application/pkcs7-signature; name=smime.p7s", "", "x",
        "--b--", "after the end",
    )  # fmt: skip
    mail = read(content)
    assert (mail.text, mail.html) == ("", "")
    assert [(a.name, a.content) for a in mail.attachments] == [
        ("part-1.dat", b"x"),
        ("part-2.eml", b"Subject: inner\r\n"),
        ("notes.txt", b"kept apart"),
        ("part-4.ics", b"BEGIN:VCALENDAR"),
        ("smime.p7s", b"x"),
    ]
    assert (
        read(message("Content-Type: application/pkcs7-mime; name=smime.p7m", "", "x")).attachments[0].name
        == "smime.p7m"
    )


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=\"../../etc/passwd\"", "passwd"),
        ("attachment; filename=\"C:\\Temp\\a.pdf\"", "a.pdf"),
        ("attachment; filename*=utf-8''%E5%90%88%E5%90%8C.pdf", "合同.pdf"),
        ("attachment; filename*0*=utf-8''%E5%90; filename*1*=%88.pdf", "合.pdf"),
        ("attachment; filename=\"=?gb2312?B?suLK1A==?=.pdf\"", "测试.pdf"),
        ("attachment; filename=\"exe.\u202efdp.scr\"", "exe._fdp.scr"),
        ("attachment; filename=\"a\tb<c>.txt\"", "a b_c_.txt"),
        ("attachment; filename=\"...\"", "part-1.bin"),
        ("attachment; filename*=undefined*)''x", "part-1.bin"),
        ("attachment", "part-1.bin"),
    ],
)  # fmt: skip
def test_names_are_made_harmless(disposition: str, name: str) -> None:
    content = message("Content-Type: application/x-thing", f"Content-Disposition: {disposition}", "", "x")
    assert [a.name for a in read(content).attachments] == [name]


def test_a_long_name_keeps_its_extension() -> None:
    name = file_name("x" * 500 + ".pdf", "application/pdf", 1)
    assert (len(name), name[-4:]) == (MAX_NAME, ".pdf")


def test_a_digest_is_messages() -> None:
    content = message("Content-Type: multipart/digest; boundary=b", "", "--b", "", "Subject: a", "", "x", "--b--")
    [attachment] = read(content).attachments
    assert (attachment.kind, attachment.content) == ("message/rfc822", b"Subject: a\r\n\r\nx")


@pytest.mark.parametrize("head", ["Content-Type: multipart/mixed", "Content-Type: multipart/mixed; boundary=elsewhere"])
def test_a_multipart_without_parts_is_text(head: str) -> None:
    assert read(message(head, "", "--b", "", "Hello")).text == "--b\r\n\r\nHello\r\n"


def test_a_multipart_that_was_cut_off() -> None:
    assert read(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello").text == "Hello"


# Limits: a mail may be made to exhaust who reads it


def test_a_picture_is_not_multiplied_without_end() -> None:
    """The fault: a megabyte of references to a megabyte of picture would have been 30 GB of HTML."""
    picture = base64.encodebytes(bytes(2**20)).decode().replace("\n", "\r\n")
    content = message(
        "Content-Type: multipart/related; boundary=b", "",
        "--b", "Content-Type: text/html", "", "<img src=cid:a>" * 1000,
        "--b", "Content-Type: image/png", "Content-ID: <a>", "Content-Transfer-Encoding: base64", "", picture,
        "--b--",
    )  # fmt: skip
    mail = read(content)
    assert MAX_PICTURES < len(mail.html) < 2 * MAX_PICTURES
    assert mail.shortened


def test_only_pictures_become_data() -> None:
    """An HTML page in a data: URL would be a document of its own."""
    content = message(
        "Content-Type: multipart/related; boundary=b", "", "--b", "Content-Type: text/html", "", "<a href=cid:a>",
        "--b", "Content-Type: text/html; name=x", "Content-Disposition: attachment", "Content-ID: <a>", "", "<script>",
        "--b--",
    )  # fmt: skip
    mail = read(content)
    assert "cid:a" in mail.html
    assert not mail.attachments[0].shown


def test_depth_parts_and_text_have_limits() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(5000))
    assert read(deep).text.startswith("--b"), "what is too deep is shown as it stands"
    many = message("Content-Type: multipart/mixed; boundary=b", "", *["--b", "", "x"] * (MAX_PARTS + 10), "--b--")
    assert read(many).shortened
    assert read(many).text.count("x") == MAX_PARTS - 1
    long = read(b"Subject: x\r\n\r\n" + b"a" * (MAX_TEXT + 1))
    assert (len(long.text), long.shortened) == (MAX_TEXT, True)
    assert MAX_DEPTH < 100, "it recurses"


def test_attachments_together_are_no_larger_than_the_message() -> None:
    """The fault: parts within parts would have been kept once for each level."""
    inner = b"Content-Type: application/x\r\n\r\n" + b"a" * 10_000
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" + inner + b"\r\n--b--\r\n"
    assert sum(len(a.content) for a in read(content).attachments) <= len(content)


@pytest.mark.parametrize("filler", [b"a\r\n", b"--b--b", b"\r\n--b\r\r\n", b"\r\n--b\r\n", b"=\r\n", b";" * 60])
def test_25_mib_take_seconds_at_most(filler: bytes) -> None:
    """Each of these made some parser quadratic."""
    head = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    content = head + filler * (25 * 2**20 // len(filler))
    begin = time.process_time()
    read(content)
    assert time.process_time() - begin < 5


@given(MESSAGES)
@settings(max_examples=300)
@example(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b")
@example(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n")
@example(b'Content-Disposition: attachment; filename*0*="\xff"\r\n\r\n')
@example(b"Content-Transfer-Encoding: base64\r\n\r\n=A=")
@example(b"")
def test_whatever_comes_is_shown(content: bytes) -> None:
    mail = read(content)
    for text in (mail.text, mail.html, *(a.name for a in mail.attachments), *sum(mail.fields, ())):
        text.encode()  # a page can hold it
    assert all(a.name and "/" not in a.name for a in mail.attachments)
    assert sum(len(a.content) for a in mail.attachments) <= len(content)

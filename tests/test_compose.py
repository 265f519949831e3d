"""MIME bodies, as another library reads them."""

from __future__ import annotations

import email.policy
import re
from email import message_from_bytes
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.compose import Attachment, compose

TEXT = st.text(st.characters(codec="utf-8")) | st.text("aä中= .\t\r\n\0", max_size=3000)


def read(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not [part.defects for part in message.walk() if part.defects]
    assert octets.isascii()
    assert b"\0" not in octets
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in octets.split(b"\r\n"))
    assert octets.endswith(b"\r\n")
    return message


def leaves(message: EmailMessage) -> list[EmailMessage]:
    return [part for part in message.walk() if isinstance(part, EmailMessage) and not part.is_multipart()]


def shape(message: EmailMessage) -> object:
    parts = [shape(part) for part in message.iter_parts() if isinstance(part, EmailMessage)]
    return (message.get_content_subtype(), *parts) if parts else message.get_content_type()


@given(TEXT)
def test_a_text_arrives(text: str) -> None:
    message = read(compose(text, None))
    lines = re.sub(r"\r\n?", "\n", text).removesuffix("\n") + "\n"
    assert str(message.get_content()).replace("\r\n", "\n") == lines


@given(TEXT, TEXT, st.lists(st.tuples(st.text(max_size=100), st.binary(max_size=200)), max_size=3))
def test_everything_arrives(text: str, html: str, files: list[tuple[str, bytes]]) -> None:
    message = read(compose(text, html, [Attachment(name, content) for name, content in files]))
    plain, marked, *attached = leaves(message)
    assert (plain.get_content_type(), marked.get_content_type()) == ("text/plain", "text/html")
    assert [part.get_payload(decode=True) for part in attached] == [content for _, content in files]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Hello\n.\nFrom me\n", "7bit"), ("Grüße an alle, die Deutsch lesen\n", "quoted-printable"),
     ("你好，世界\n" * 9, "base64"),
     ("x" * 999, "quoted-printable"), ("x" * 998, "7bit"), ("[\x1b] is ESC\n", "quoted-printable"), ("", "7bit")],
)  # fmt: skip
def test_the_encoding_is_the_shortest(text: str, encoding: str) -> None:
    assert read(compose(text, None))["Content-Transfer-Encoding"] == encoding


def test_shapes() -> None:
    picture, file = Attachment("logo.png", b"1", content_id="logo"), Attachment("a.pdf", b"2")
    assert shape(read(compose(None, None))) == "text/plain"
    assert shape(read(compose(None, "h"))) == "text/html"
    assert shape(read(compose("t", "h"))) == ("alternative", "text/plain", "text/html")
    assert shape(read(compose("t", None, [picture]))) == ("mixed", "text/plain", "image/png")
    assert shape(read(compose("t", "h", [file, picture]))) == (
        "mixed",
        ("alternative", "text/plain", ("related", "text/html", "image/png")),
        "application/pdf",
    )


def test_names_and_types() -> None:
    def part(attachment: Attachment) -> EmailMessage:
        return leaves(read(compose("t", "h", [attachment])))[2]

    assert part(Attachment("月报.pdf", b"x")).get_filename() == "月报.pdf"
    assert part(Attachment("月" * 80 + '";.pdf', b"x")).get_filename() == "月" * 80 + '";.pdf'
    assert part(Attachment("a.csv", b"x", "text/csv; charset=gbk")).get_content_charset() == "gbk"
    for bad in ("message/rfc822", "multipart/mixed", "x", "text/plain\r\nBcc: a@b", "a/b;\r\n c=d"):
        assert part(Attachment("a", b"x", bad)).get_content_type() == "application/octet-stream"
    assert part(Attachment("a", b"x", content_id="x.y@z"))["Content-ID"] == "<x.y@z>"


@given(st.text(), st.text(), st.text())
def test_no_name_makes_a_field(name: str, type_: str, content_id: str) -> None:
    part = leaves(read(compose("t", "h", [Attachment(name, b"x", type_, content_id)])))[2]
    assert set(part.keys()) <= {"Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID"}

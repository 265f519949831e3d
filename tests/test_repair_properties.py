"""What holds for every message that repair takes, and what it keeps of a valid one."""

from __future__ import annotations

from dataclasses import replace
from email.header import decode_header, make_header
from email.message import EmailMessage

from hypothesis import example, given, settings
from hypothesis import strategies as st

from smtprelay.repair import Repaired
from smtprelay.reply import Reject
from tests.repair_kit import ENVELOPE, field, mend, read, text, without_received

# Pieces that mean something to a parser of messages; between them, anything.
PIECES = [
    *(b"From: ", b"To: ", b"Subject: ", b"Message-ID: ", b"Date: ", b"References: ", b"X-A: ", b"Sender: ", b"From x"),
    *(b"Content-Type: multipart/mixed; boundary=b", b'Content-Type: multipart/digest; boundary="c d"'),
    *(b"Content-Type: message/rfc822", b"Content-Type: text/html; charset=gb2312", b"Content-Type: "),
    *(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable", b"Content-Disposition: "),
    *(
        b"\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\r\r\n",
        b" ",
        b"\t",
        b"  \r\n",
        b"\0",
        b"\x0b",
        b"\x1b$B",
        b"\x7f",
    ),
    *(b"a@b.c", b"<a@b.c>", b"<", b">", b'"', b"(", b")", b"[", b"]", b",", b";", b":", b"\\", b"@", b".", b"="),
    *("测试".encode(), "测试".encode("gbk"), "ü@b.c".encode(), "a@münchen.de".encode(), b"\xff", b"\xef\xbb\xbf"),
    *(b"=?utf-8?q?=0D=0ABcc:x@y?=", b"=?gb2312?B?suLK1A==?=", b"=41", b"=\r\n", b'; filename="', b"; name="),
    *(b"--b\r\n", b"--b--\r\n", b"--c d\r\n", b"--c d--\r\n", b"x" * 1100, b" y" * 600, b"QUJD" * 300),
]
MESSAGES = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=40).map(b"".join)


def mended(content: bytes) -> Repaired | None:
    """None where repair refuses; it raises nothing else."""
    try:
        return mend(content)
    except Reject:
        return None


@given(MESSAGES)
@settings(max_examples=400)
@example(b"--b\r\n")
@example(b"From: Foo> <a@b.c>\r\n")
@example(b"Cc: ():;=\xff\r\n")
@example(b"Message-ID: \x7f  \r\nTo: :\r\n")
def test_anything_becomes_a_message_of_short_seven_bit_lines(content: bytes) -> None:
    repaired = mended(content)
    if repaired is None:
        return
    lines = repaired.content.split(b"\r\n")
    assert lines[-1] == b""
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert max(map(len, lines)) <= 998
    assert repaired.content.isascii() or repaired.needs_smtputf8
    assert repaired.authors[0]
    assert repaired.message_id.startswith("<")
    assert "\n" not in repaired.subject


@given(MESSAGES)
@settings(max_examples=400)
def test_a_repaired_message_needs_no_repair(content: bytes) -> None:
    repaired = mended(content)
    if repaired is None:
        return
    again = mend(repaired.content, envelope=replace(ENVELOPE, smtputf8=repaired.needs_smtputf8))
    assert without_received(again.content) == repaired.content
    assert again.repairs == ()
    assert (again.subject, again.message_id) == (repaired.subject, repaired.message_id)


@given(MESSAGES.map(lambda content: content.replace(b"\r", b"")))
def test_line_ends_do_not_matter(content: bytes) -> None:
    repaired = mended(content)
    assert repaired == mended(content.replace(b"\n", b"\r"))
    crlf = mended(content.replace(b"\n", b"\r\n"))
    assert (repaired and repaired.content) == (crlf and crlf.content)


# Valid messages

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\t\n"), max_size=300)
# Without what the standard library takes for an encoded word, though it is none (RFC 2047 §2): "=??Q??=".
NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=60).filter(
    lambda name: "=?" not in name
)
CHARSETS = st.sampled_from(["utf-8", "gb18030", "utf-8"])


@given(subject=NAMES, body=TEXTS, charset=CHARSETS, repeat=st.integers(1, 40))
def test_raw_text_is_read_as_it_was_meant(subject: str, body: str, charset: str, repeat: int) -> None:
    lines = body * repeat + "\n"
    fields = f"From: a@b.c\nSubject: x{subject}\nContent-Type: text/plain; charset={charset}\n"
    message = read(mend(f"{fields}\n{lines}".encode(charset)).content)
    assert str(message["subject"]) == f"x{subject}"
    assert text(message) == lines


@given(name=NAMES)
def test_raw_names_are_read_as_they_were_meant(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    content = mend(f'From: a@b.c\nTo: "{quoted}é" <x@y.z>, c@d.e\n\n'.encode()).content
    assert [address.addr_spec for address in read(content)["to"].addresses] == ["x@y.z", "c@d.e"]
    # headerregistry shows the space between two encoded words (before Python 3.13); decode_header does not.
    phrase = field(content, b"to").partition(b" <")[0].decode()
    assert str(make_header(decode_header(phrase))) == f"{name}é"


@given(name=NAMES)
def test_raw_filenames_are_read_as_they_were_meant(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    fields = f'From: a@b.c\nContent-Disposition: attachment; filename="{quoted}é"; size=3\n\n'
    assert read(mend(fields.encode()).content).get_filename() == f"{name}é"


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> EmailMessage:
    """A message as the standard library writes it: alternatives, attachments, attached messages."""
    message = EmailMessage()
    message.set_content(draw(TEXTS), cte=draw(st.sampled_from(["8bit", "quoted-printable", "base64"])))
    if draw(st.booleans()):
        message.add_alternative(draw(TEXTS), subtype="html", cte="8bit")
    if draw(st.booleans()):
        data = draw(st.binary(max_size=3000)).replace(b"\r", b"").replace(b"\n", b"")
        message.add_attachment(data, "image", "png", cte=draw(st.sampled_from(["8bit", "base64"])))
    if depth < 3 and draw(st.booleans()):
        message.add_attachment(draw(trees(depth + 1)))
    return message


@given(trees())
@settings(max_examples=200)
def test_every_leaf_of_a_valid_message_keeps_its_content(message: EmailMessage) -> None:
    message["From"] = "a@b.c"
    content = message.as_bytes(policy=message.policy.clone(linesep="\r\n", max_line_length=None))
    before, after = leaves(read(content)), leaves(read(mend(content).content))
    assert before == after


def leaves(message: EmailMessage) -> list[tuple[str, bytes]]:
    return [
        (part.get_content_type(), part.get_payload(decode=True).replace(b"\r\n", b"\n"))  # type: ignore[union-attr]
        for part in message.walk()
        if not part.is_multipart()
    ]

"""The mails that every server gets, and what must be read in them at the other end."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP

from tests.process.relay import ACCOUNT

PNG = bytes.fromhex("89504e470d0a1a0a") + random.Random(1).randbytes(2000)
CHINESE = "测试 umail 邮件系统"


@dataclass(frozen=True)
class Mail:
    """One mail.

    :ivar content: as the app sends it.
    :ivar text: of its first part that is text.
    :ivar files: content by name, or by Content-ID.
    """

    content: bytes
    subject: str
    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, message: EmailMessage, text: str, **files: bytes) -> Mail:
        message["From"], message["To"] = ACCOUNT, "undisclosed:;"
        return cls(message.as_bytes(policy=SMTP), message["Subject"], text, files)

    def assert_read_in(self, message: EmailMessage) -> None:
        """What arrived says the same."""
        assert message["Subject"] == self.subject
        assert message["From"] == ACCOUNT
        body = message.get_body(("html", "plain"))
        assert isinstance(body, EmailMessage)
        assert body.get_content().splitlines() == self.text.splitlines()
        files = {_name(part): part.get_content() for part in message.walk() if _name(part)}
        assert files == self.files


def _name(part: EmailMessage) -> str:
    return part.get_filename() or (part["Content-ID"] or "").strip("<>")


def _message(subject: str, text: str, subtype: str = "plain") -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message.set_content(text, subtype=subtype)
    return message


def _ascii() -> Mail:
    text = "All is well.\n"
    return Mail.of(_message("backup finished", text), text)


def _html() -> Mail:
    text = f"<h1>这是 smtp 测试邮件</h1>\n<p>{'价格与库存，' * 300}</p>\n"
    return Mail.of(_message(CHINESE, text, "html"), text)


def _gb2312() -> Mail:
    """As an old app sends it: raw 8-bit octets in the header, and in a body that says so."""
    text = "<p>您好，您的订单已发货。</p>\n"
    header = f"From: {ACCOUNT}\nSubject: {CHINESE}\nMIME-Version: 1.0\nContent-Type: text/html; charset=gb2312\n\n"
    return Mail((header + text).replace("\n", "\r\n").encode("gb2312"), CHINESE, text)


def _dots() -> Mail:
    text = ".\n..\n.a line that begins with a dot\n...\nthe end\n.\n"
    return Mail.of(_message("dots", text), text)


def _attachment(size: int) -> Mail:
    text, data = "The report is attached. 报表见附件。\n", random.Random(size).randbytes(size)
    message = _message("月度报表 (monthly report)", text)
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename="报表.bin")
    return Mail.of(message, text, **{"报表.bin": data})


def _inline_image() -> Mail:
    text = '<p>Look: <img src="cid:logo@example.com"></p>\n'
    message = _message("a picture", text, "html")
    message.add_related(PNG, maintype="image", subtype="png", cid="<logo@example.com>")
    return Mail.of(message, text, **{"logo@example.com": PNG})


MAILS: Mapping[str, Mail] = {
    "ascii": _ascii(),
    "html": _html(),
    "gb2312": _gb2312(),
    "dots": _dots(),
    "attachment": _attachment(300_000),
    "inline-image": _inline_image(),
    "large": _attachment(5_000_000),
}
TOO_LARGE = _attachment(6_500_000)

"""The mails that every client sends, as its script finds them in the environment, and what must arrive of them."""

from __future__ import annotations

import email
import email.policy
import hashlib
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import getaddresses
from pathlib import Path

from smtprelay.sandbox.smarthost import Received
from tests.process.relay import ACCOUNT, DOMAIN
from tests.verifiers import dkimpy_verify, opendkim_verify

TEXT = """\
Dear customer,

.a line that begins with a dot
..
.
From here on it would be the next mail in a mailbox file.
The end.
"""
HTML = "<html><body><h1>Report</h1>\n<p>.profit &amp; loss</p>\n<p>您好</p></body></html>\n"
CONTENT_ID = "logo@example.com"
IMAGE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)  # PNG of one red pixel
ATTACHMENT = b"%PDF-1.7\n" + random.Random(1).randbytes(40_000) + b"\r\n.\r\n\n.\n\r\0"


@dataclass(frozen=True)
class Mail:
    """One kind of mail. A name stands beside the address of the author, and of the one recipient, or of neither."""

    kind: str
    subject: str = "Report of November"
    author: str = ACCOUNT
    text: str = TEXT
    html: str = ""
    from_name: str = ""
    to_name: str = ""
    to: int = 1
    cc: int = 0
    bcc: int = 0
    attachment: str = ""
    image: str = ""
    headers: Sequence[tuple[str, str]] = ()


MAILS = {
    mail.kind: mail
    for mail in (
        Mail("plain"),
        Mail("html", text="", html=HTML),
        Mail("attachment", attachment="报表 11.pdf"),
        Mail("inline image", text="", html=HTML.replace("您好", f'<img src="cid:{CONTENT_ID}">'), image="logo.png"),
        Mail(
            "Chinese",
            subject="测试 umail 邮件系统：十一月报表已完成，请查收",
            text="您好，\n报表已完成。\n",
            from_name="财务部 王伟",
            to_name="李娜",
        ),
        Mail("20 recipients", to=8, cc=5, bcc=7),
        Mail(
            "output of a job",
            author=f"root@{DOMAIN}",
            from_name="root",
            subject=f"Cron <root@{socket.gethostname()}> cat /run/report",
            text=TEXT + "完成\n",
        ),
    )
}


@dataclass(frozen=True)
class Posting:
    """A mail with its addresses, which are its own, so that it is found among what has arrived."""

    mail: Mail
    to: Sequence[str]
    cc: Sequence[str]
    bcc: Sequence[str]

    @classmethod
    def of(cls, mail: Mail, name: str) -> Posting:
        """:param name: what the recipients' addresses begin with."""
        to, cc, bcc = (
            [f"{name}.{field}{i}@example.org" for i in range(count)]
            for field, count in (("to", mail.to), ("cc", mail.cc), ("bcc", mail.bcc))
        )
        return cls(mail, to, cc, bcc)

    @property
    def recipients(self) -> set[str]:
        return {*self.to, *self.cc, *self.bcc}

    def environment(self, folder: Path) -> dict[str, str]:
        """What a client's script is told; what is not to be in the mail is empty.

        :param folder: for the files to attach, and for ``MAIL_FILE``: the mail ready-made, as a script would write
            it, for clients that compose none.
        """
        paths = {}
        for name, octets in ((self.mail.attachment, ATTACHMENT), (self.mail.image, IMAGE)):
            if name:
                paths[name] = folder / name
                paths[name].write_bytes(octets)
        ready_made = folder / "mail"
        ready_made.write_bytes(self.ready_made())
        return {
            "MAIL_FROM": self.mail.author,
            "MAIL_FROM_NAME": self.mail.from_name,
            "MAIL_TO": ", ".join(self.to),
            "MAIL_TO_NAME": self.mail.to_name,
            "MAIL_CC": ", ".join(self.cc),
            "MAIL_BCC": ", ".join(self.bcc),
            "MAIL_SUBJECT": self.mail.subject,
            "MAIL_TEXT": self.mail.text,
            "MAIL_HTML": self.mail.html,
            "MAIL_ATTACHMENT": str(paths.get(self.mail.attachment, "")),
            "MAIL_IMAGE": str(paths.get(self.mail.image, "")),
            "MAIL_IMAGE_ID": CONTENT_ID if self.mail.image else "",
            "MAIL_HEADERS": "\n".join(f"{name}: {value}" for name, value in self.mail.headers),
            "MAIL_FILE": str(ready_made),
        }

    def ready_made(self) -> bytes:
        """Header and body in raw UTF-8, line feeds alone, no Date, no Message-ID."""
        message = EmailMessage(email.policy.SMTPUTF8.clone(linesep="\n", cte_type="8bit"))
        message["From"] = f"{self.mail.from_name} <{self.mail.author}>".lstrip()
        message["To"] = f"{self.mail.to_name} <{self.to[0]}>" if self.mail.to_name else ", ".join(self.to)
        for name, addresses in (("Cc", self.cc), ("Bcc", self.bcc)):
            if addresses:
                message[name] = ", ".join(addresses)
        message["Subject"] = self.mail.subject
        message.set_content(self.mail.html or self.mail.text, "html" if self.mail.html else "plain", cte="8bit")
        if self.mail.image:
            message.add_related(IMAGE, "image", "png", cid=f"<{CONTENT_ID}>", filename=self.mail.image)
        if self.mail.attachment:
            message.add_attachment(ATTACHMENT, "application", "pdf", filename=self.mail.attachment)
        return message.as_bytes()

    def check(self, received: Received, records: Mapping[str, str]) -> None:
        """It is all there, as it was meant, and the signature holds."""
        assert received.envelope_from == self.mail.author
        assert set(received.recipients) == self.recipients
        message = email.message_from_bytes(received.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self._check_header(email.message_from_bytes(received.content), received.content)
        self._check_body(message)
        assert dkimpy_verify(received.content, records) == [True]
        assert opendkim_verify(received.content, records) == [True]

    def _check_header(self, message: Message, content: bytes) -> None:
        assert "Bcc" not in message
        header = content.partition(b"\r\n\r\n")[0].decode("ascii")
        assert not [address for address in self.bcc if address in header]
        assert _decoded(message["Subject"]) == self.mail.subject
        assert _mailboxes(message["From"]) == {(self.mail.from_name, self.mail.author)}
        assert _mailboxes(message["To"]) == {(self.mail.to_name, address) for address in self.to}
        assert _mailboxes(message["Cc"]) == {("", address) for address in self.cc}
        for name in ("Date", "Message-ID", "MIME-Version"):
            assert message[name], name

    def _check_body(self, message: EmailMessage) -> None:
        texts = {"plain": self.mail.text, "html": self.mail.html}
        for subtype, expected in texts.items():
            if expected:
                part = message.get_body((subtype,))
                assert part, subtype
                assert _lines(part.get_content()) == _lines(expected)
        files = {self.mail.attachment: ATTACHMENT, self.mail.image: IMAGE}
        for name, octets in files.items():
            if name:
                [part] = [part for part in message.walk() if part.get_filename() == name]
                assert _sha256(part.get_payload(decode=True)) == _sha256(octets)
        if self.mail.image:
            [image] = [part for part in message.walk() if part.get_content_maintype() == "image"]
            assert image["Content-ID"] == f"<{CONTENT_ID}>"


def _mailboxes(value: object) -> set[tuple[str, str]]:
    """Names and addresses of a field; Flask-Mail has them in no order."""
    return {(_decoded(name), address) for name, address in getaddresses([str(value or "")]) if address}


def _decoded(value: str) -> str:
    return str(make_header(decode_header(value))).strip()


def _lines(text: str) -> list[str]:
    """Clients differ in how many line ends they leave at the end."""
    return text.rstrip().splitlines()


def _sha256(octets: object) -> str:
    assert isinstance(octets, bytes)
    return hashlib.sha256(octets).hexdigest()

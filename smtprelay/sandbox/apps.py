"""What real apps do at the wire, written anew: the platform's two samples, and three of everyday. For demo and tests.

All of them block; run them in a thread.
"""

from __future__ import annotations

import base64
import json
import re
import smtplib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.mime.text import MIMEText

PHP_LINE = 512  # octets that the PHP sample reads of a reply
TIMEOUT = 30.0  # seconds


class AppError(Exception):
    """The app would have reported an error; the text is the reply that it did not like."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an app is configured with. Without a username it does not log in."""

    host: str
    port: int
    username: str = ""
    password: str = ""


class PhpSample:
    """The platform's PHP class: HELO, AUTH LOGIN with the username, one line of at most 512 octets a reply, the body
    without waiting for 354.

    :param behind: as printed, it does not read the greeting, so that it sees each reply one step late.
    """

    def __init__(self, endpoint: Endpoint, *, behind: bool) -> None:
        self._endpoint = endpoint
        self._behind = behind

    def sendmail(self, to: str, sender: str, subject: str, body: str) -> None:
        """Send an HTML mail. :raises AppError:"""
        header = (
            "MIME-Version:1.0\r\nContent-Type:text/html\r\n"
            f"To: {to}\r\nFrom: {sender}<{sender}>\r\nSubject: {subject}\r\n"
            f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S +0800', time.gmtime(time.time() + 8 * 3600))}\r\n"
            "X-Mailer:By Redhat (PHP/5.6.40)\r\n"
            f"Message-ID: <{time.strftime('%Y%m%d%H%M%S')}.{time.time_ns() // 1000 % 1_000_000}.{sender}>\r\n"
        )
        # Its stuffing of dots as it is: lines with one dot stay bare, those with two get a backslash.
        body = re.sub(r"(^|\r\n)(\.\.)", r"\1\\.\2", body)
        with socket.create_connection((self._endpoint.host, self._endpoint.port), TIMEOUT) as sock:
            self._reader = sock.makefile("rb")
            self._sock = sock
            if not self._behind:
                self._check()
            self._command("HELO localhost")
            self._command(f"AUTH LOGIN {base64.b64encode(self._endpoint.username.encode()).decode()}")
            self._command(base64.b64encode(self._endpoint.password.encode()).decode())
            self._command(f"MAIL FROM:<{sender}>")
            self._command(f"RCPT TO:<{to}>")
            self._command("DATA")
            sock.sendall(f"{header}\r\n{body}".encode())
            sock.sendall(b"\r\n.\r\n")
            self._check()
            self._command("QUIT")
            self._reader.close()

    def _command(self, line: str) -> None:
        self._sock.sendall(f"{line}\r\n".encode())
        self._check()

    def _check(self) -> None:
        reply = self._reader.readline(PHP_LINE)
        if reply[:1] not in (b"2", b"3"):
            raise AppError(reply.decode("utf-8", "replace").strip())


def python_sample(endpoint: Endpoint, to: Sequence[str], subject: str, content: str) -> None:
    """The platform's Python sample: HTML in gb2312, ``To`` joined with ``;``, a name before the reverse-path."""
    me = f"hello<{endpoint.username}>"
    message = MIMEText(content, _subtype="html", _charset="gb2312")
    message["Subject"] = subject
    message["From"] = me
    message["To"] = ";".join(to)
    with smtplib.SMTP(timeout=TIMEOUT) as smtp:
        smtp.connect(endpoint.host, endpoint.port)
        smtp.login(endpoint.username, endpoint.password)
        smtp.sendmail(me, list(to), message.as_string())


def plain_mail(endpoint: Endpoint, to: str, sender: str) -> None:
    """What a cron job sends: no Date, no Message-ID, no MIME, no log-in."""
    with smtplib.SMTP(endpoint.host, endpoint.port, timeout=TIMEOUT) as smtp:
        smtp.sendmail(sender, [to], f"From: {sender}\nTo: {to}\nSubject: backup finished\n\nAll is well.\n.\n")


def attachment_mail(endpoint: Endpoint, to: str, sender: str, size: int) -> None:
    """A mail with an attachment of so many octets."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, "月度报表 (monthly report)"
    message.set_content("The report is attached.\n报表见附件。\n")
    data = bytes(range(256)) * (size // 256 + 1)
    message.add_attachment(data[:size], maintype="application", subtype="octet-stream", filename="报表.bin")
    with smtplib.SMTP(endpoint.host, endpoint.port, timeout=TIMEOUT) as smtp:
        smtp.login(endpoint.username, endpoint.password)
        smtp.send_message(message)


def receipt_mail(endpoint: Endpoint, to: str, sender: str, fullname: str) -> None:
    """What a shop sends that knows templates by their names alone: header fields, in raw UTF-8, and a bare text."""
    items = [{"name": "铁观音（秋茶）250 克", "quantity": 2, "price": "¥236.00"}]
    variables = {"fullname": fullname, "order": "A-20461", "total": "¥236.00", "items": items, "language": "zh-CN"}
    message = (
        f"From: {sender}\nTo: {to}\nX-SMTPRelay-Template: receipt\n"
        f"X-SMTPRelay-Vars: {json.dumps(variables, ensure_ascii=False)}\n\nYour receipt\n"
    )
    with smtplib.SMTP(endpoint.host, endpoint.port, timeout=TIMEOUT) as smtp:
        smtp.login(endpoint.username, endpoint.password)
        smtp.sendmail(sender, [to], message.encode())

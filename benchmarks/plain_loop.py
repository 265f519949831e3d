"""The loop that a user would write, with smtplib, Jinja2 and dkimpy, for the same mail.

``python -m benchmarks.plain_loop CONTACTS COUNT VARS TEMPLATES KEY PORT`` sends to the first of the contacts.
"""

from __future__ import annotations

import json
import smtplib
import sys
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from itertools import islice
from pathlib import Path

import css_inline
import dkim
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.load import PASSWORD, SENDER
from smtprelay.templating.text import to_text

DOMAIN = SENDER.partition("@")[2]
RELAXED = (b"relaxed", b"relaxed")
SIGNED = [b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type"]


def main(contacts: Path, count: int, variables: Path, templates: Path, key: Path, port: int) -> None:
    """One message after another over one connection."""
    jinja = Environment(loader=FileSystemLoader(templates), autoescape=True, undefined=StrictUndefined)
    html = jinja.get_template("newsletter/body.html.j2")
    values, logo, pem = json.loads(variables.read_text()), (templates / "_logo.png").read_bytes(), key.read_bytes()
    inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)
    with contacts.open(encoding="utf-8") as lines, smtplib.SMTP("127.0.0.1", port) as smtp:
        smtp.login(SENDER, PASSWORD)
        for line in islice(lines, count):
            address, fullname, _, _, _, _, var1 = line.rstrip("\n").split(";")
            body = inliner.inline(html.render(values, fullname=fullname, var1=var1))
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = SENDER, address, values["headline"]
            message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=DOMAIN)
            message["List-Unsubscribe"] = f"<{values['unsubscribe_url']}>"
            message.set_content(to_text(body))
            message.add_alternative(body, subtype="html")
            message.get_payload(1).add_related(logo, "image", "png", cid="<logo>")  # type: ignore[union-attr]
            content = message.as_bytes().replace(b"\n", b"\r\n")
            signature = dkim.sign(
                content, b"relay1", DOMAIN.encode(), pem, canonicalize=RELAXED, include_headers=SIGNED
            )
            smtp.sendmail(SENDER, [address], signature + content)


if __name__ == "__main__":
    file, number, values_file, directory, private_key, to_port = sys.argv[1:]
    main(Path(file), int(number), Path(values_file), Path(directory), Path(private_key), int(to_port))

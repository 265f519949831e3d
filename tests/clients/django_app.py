"""Django's mail, with its default backend."""

from __future__ import annotations

import os
from email.mime.image import MIMEImage
from email.utils import formataddr
from pathlib import Path

import django
from django.conf import settings
from django.core.mail import EmailMultiAlternatives

env = os.environ
settings.configure(
    EMAIL_HOST=env["SMTP_HOST"],
    EMAIL_PORT=int(env["SMTP_PORT"]),
    EMAIL_HOST_USER=env["SMTP_USER"],
    EMAIL_HOST_PASSWORD=env["SMTP_PASSWORD"],
    EMAIL_USE_TLS=bool(env["SMTP_STARTTLS"]),
)
django.setup()

message = EmailMultiAlternatives(
    subject=env["MAIL_SUBJECT"],
    body=env["MAIL_TEXT"],
    from_email=formataddr((env["MAIL_FROM_NAME"], env["MAIL_FROM"])),
    to=[formataddr((env["MAIL_TO_NAME"], address)) for address in env["MAIL_TO"].split(", ")],
    cc=[address for address in env["MAIL_CC"].split(", ") if address],
    headers=dict(header.split(": ", 1) for header in env["MAIL_HEADERS"].splitlines()),
    bcc=[address for address in env["MAIL_BCC"].split(", ") if address],
)
if env["MAIL_HTML"]:
    message.attach_alternative(env["MAIL_HTML"], "text/html")
if env["MAIL_ATTACHMENT"]:
    message.attach_file(env["MAIL_ATTACHMENT"])
if env["MAIL_IMAGE"]:
    image = MIMEImage(Path(env["MAIL_IMAGE"]).read_bytes())
    image.add_header("Content-ID", f"<{env['MAIL_IMAGE_ID']}>")
    image.add_header("Content-Disposition", "inline", filename=Path(env["MAIL_IMAGE"]).name)
    message.mixed_subtype = "related"
    message.attach(image)
message.send()

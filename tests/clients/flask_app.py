"""Flask-Mail."""

from __future__ import annotations

import mimetypes
import os
from pathlib import Path

from flask import Flask
from flask_mail import Mail, Message

env = os.environ
app = Flask(__name__)
app.config.update(
    MAIL_SERVER=env["SMTP_HOST"],
    MAIL_PORT=int(env["SMTP_PORT"]),
    MAIL_USERNAME=env["SMTP_USER"] or None,
    MAIL_PASSWORD=env["SMTP_PASSWORD"] or None,
    MAIL_USE_TLS=bool(env["SMTP_STARTTLS"]),
)
mail = Mail(app)

with app.app_context():
    message = Message(
        env["MAIL_SUBJECT"],
        sender=(env["MAIL_FROM_NAME"], env["MAIL_FROM"]) if env["MAIL_FROM_NAME"] else env["MAIL_FROM"],
        recipients=[
            (env["MAIL_TO_NAME"], address) if env["MAIL_TO_NAME"] else address for address in env["MAIL_TO"].split(", ")
        ],
        cc=[address for address in env["MAIL_CC"].split(", ") if address],
        bcc=[address for address in env["MAIL_BCC"].split(", ") if address],
        body=env["MAIL_TEXT"],
        html=env["MAIL_HTML"],
    )
    for name, headers in (("MAIL_ATTACHMENT", {}), ("MAIL_IMAGE", {"Content-ID": f"<{env['MAIL_IMAGE_ID']}>"})):
        if env[name]:
            path = Path(env[name])
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            disposition = "inline" if headers else "attachment"
            message.attach(path.name, kind, path.read_bytes(), disposition, headers)
    mail.send(message)

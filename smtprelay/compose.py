"""The body of a new message: text, HTML, inline images and attachments (RFC 2045 to 2047, RFC 2387)."""

from __future__ import annotations

import email.policy
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage

_POLICY = email.policy.SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along.

    >>> Attachment("invoice.pdf", b"%PDF-1.7").media_type
    'application/pdf'

    :param type: the media type (RFC 2046); ``""`` is guessed from the name.
    :param content_id: where the HTML shows it by ``cid:`` (RFC 2392), without angle brackets; else ``""``.
    """

    filename: str
    content: bytes = field(repr=False)
    type: str = ""
    content_id: str = ""

    @property
    def media_type(self) -> str:
        """The media type, given or guessed."""
        return self.type or mimetypes.guess_type(self.filename)[0] or "application/octet-stream"


def compose(text: str | None, html: str | None, attachments: Sequence[Attachment] = ()) -> bytes:
    """The MIME fields, the blank line and the body, each line ended by <CRLF>; the other fields go before it.

    :param attachments: those with a content id go beside the HTML (RFC 2387), the others after the text.
    """
    message = EmailMessage(policy=_POLICY)
    if html is None:
        message.set_content(text or "")
    elif text is None:
        message.set_content(html, subtype="html")
    else:
        message.set_content(text)
        message.add_alternative(html, subtype="html")
    shown = message if text is None or html is None else message.get_payload(1)
    assert isinstance(shown, EmailMessage)
    for attachment in attachments:
        maintype, subtype = _types(attachment)
        if attachment.content_id and html is not None:
            shown.add_related(
                attachment.content, maintype, subtype,
                cid=f"<{attachment.content_id}>", filename=attachment.filename, disposition="inline",
            )  # fmt: skip
        else:
            message.add_attachment(attachment.content, maintype, subtype, filename=attachment.filename)
    return message.as_bytes()


def _types(attachment: Attachment) -> tuple[str, str]:
    """A message or a multipart cannot be in base64 (RFC 2046 §5.2.1): it goes as mere octets."""
    maintype, _, subtype = attachment.media_type.partition("/")
    return ("application", "octet-stream") if maintype in ("message", "multipart") else (maintype, subtype)

"""The body of a new message: text, HTML, inline images and attachments (RFC 2045 to 2047, RFC 2387)."""

from __future__ import annotations

import binascii
import email.policy
import mimetypes
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import lru_cache

_MAX_LINE = 998  # RFC 5322 §2.1.1
_BASE64_LINE = 76  # RFC 2045 §6.8
_NOT_7BIT = re.compile(rb"[^\t\n\x20-\x7e]")
_TYPE = re.compile(r"[A-Za-z0-9.+_-]+/[A-Za-z0-9.+_-]+(?:\s*;[\x20-\x7e]*)?")
_CONTENT_ID = re.compile(r"[!-;=?-~]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


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

    It is all 7-bit. Half characters (surrogates), which apps that cut strings leave, become question marks.

    :param attachments: those with a content id go beside the HTML (RFC 2387), the others after the text.
    """
    inline = [one for one in attachments if one.content_id and html is not None]
    others = [one for one in attachments if not one.content_id or html is None]
    bodies = []
    if text is not None or html is None:
        bodies.append(_text("plain", text or ""))
    if html is not None:
        bodies.append(_multipart("related", [_text("html", html), *map(_attached, inline)]))
    content = _multipart("mixed", [_multipart("alternative", bodies), *map(_attached, others)])
    return b"".join([b"MIME-Version: 1.0\r\n", *content])


def _multipart(subtype: str, parts: Sequence[list[bytes]]) -> list[bytes]:
    """The parts within one that holds them all; one alone stays as it is."""
    if len(parts) == 1:
        return parts[0]
    # "=_" stands in no quoted-printable and in no base64 (RFC 2045 §6.7), and nobody can guess the rest.
    boundary = f"=_{secrets.token_hex(12)}".encode()
    pieces = [b'Content-Type: multipart/%s;\r\n boundary="%s"\r\n\r\n' % (subtype.encode(), boundary)]
    for part in parts:
        pieces += [b"--%s\r\n" % boundary, *part, b"\r\n"]
    return [*pieces, b"--%s--\r\n" % boundary]


def _text(subtype: str, text: str) -> list[bytes]:
    """A part of text, in the encoding that is shortest (RFC 2045 §6)."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n") + "\n"
    data = lines.encode("utf-8", "replace")
    encoding, body = b"7bit", data
    if _NOT_7BIT.search(data) or max(map(len, data.split(b"\n"))) > _MAX_LINE:
        encoding, body = b"quoted-printable", binascii.b2a_qp(data, istext=True)
    if len(body) > len(data) * 4 / 3:
        encoding, body = b"base64", _base64(data.replace(b"\n", b"\r\n"))
    else:
        body = body.replace(b"\n", b"\r\n")
    fields = b'Content-Type: text/%s; charset="utf-8"\r\nContent-Transfer-Encoding: %s\r\n\r\n'
    return [fields % (subtype.encode(), encoding), body]


def _attached(attachment: Attachment) -> list[bytes]:
    fields = _fields(attachment.filename, attachment.media_type, attachment.content_id)
    return [fields, _base64(attachment.content)]


@lru_cache(maxsize=128)
def _fields(filename: str, type_: str, content_id: str) -> bytes:
    """The header of an attachment. No name or type makes a field of its own in it."""
    # A message or a multipart cannot be in base64 (RFC 2046 §5.2.1): it goes as mere octets.
    is_type = _TYPE.fullmatch(type_) and not type_.lower().startswith(("message/", "multipart/"))
    part = EmailMessage(policy=email.policy.SMTP)
    part["Content-Type"] = type_ if is_type else "application/octet-stream"
    part["Content-Transfer-Encoding"] = "base64"
    name = _CONTROLS.sub("_", filename).encode("utf-8", "replace").decode()
    part.add_header("Content-Disposition", "inline" if content_id else "attachment", filename=name)
    fields = part.as_bytes()
    return b"Content-ID: <%s>\r\n%s" % (content_id.encode(), fields) if _CONTENT_ID.fullmatch(content_id) else fields


def _base64(data: bytes) -> bytes:
    encoded = binascii.b2a_base64(data, newline=False)
    lines = [encoded[start : start + _BASE64_LINE] for start in range(0, len(encoded), _BASE64_LINE)]
    return b"".join([line + b"\r\n" for line in lines])

"""The app's own message, from which a template takes the bodies, the subject and the attachments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import Compat32
from functools import cached_property

from smtprelay.compose import Attachment
from smtprelay.repair.charsets import decode
from smtprelay.repair.words import decode_words
from smtprelay.templating.text import to_html, to_text

_CHARSETS = ("utf-8", "gb18030", "latin-1")  # tried after the declared one
_OTHER_THAN_TEXT = re.compile(rb"^content-(?:type:[ \t]*(?!text/)|disposition:)", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(rb"^subject:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
_CONTENT_ID = re.compile(r"<([^<>\s]+)>")


@dataclass(frozen=True, slots=True)
class _Part:
    type: str
    filename: str
    message: Message

    @property
    def octets(self) -> bytes:
        if self.message.is_multipart():  # an attached message
            return b"".join(bytes(message) for message in _within(self.message))
        payload = self.message.get_payload(decode=True)
        return payload if isinstance(payload, bytes) else b""

    @property
    def text(self) -> str:
        declared = self.message.get_param("charset")
        charset = declared if isinstance(declared, str) else ""
        return decode(self.octets, (charset, *_CHARSETS))[0].replace("\r\n", "\n")


class _Raw(Compat32):
    """Old apps write names of files as they are, without encoding; the email package would make question marks of
    them."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return decode(value.encode("utf-8", "surrogateescape"), _CHARSETS)[0]


class Content:
    """What an app's message holds. It is read only as far as it is asked for.

    :param octets: the message; ``b""`` for none.
    """

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        end = _END_OF_HEADER.search(octets)
        self._header = octets[: end.start()] if end else octets

    @cached_property
    def digest(self) -> bytes:
        """The same for the same octets."""
        return hashlib.blake2b(self._octets).digest()

    @cached_property
    def subject(self) -> str:
        """Decoded; ``""`` where there is none."""
        match = _SUBJECT.search(self._header)
        return " ".join(decode_words(decode(match[1], _CHARSETS)[0]).split()) if match else ""

    @cached_property
    def body_text(self) -> str:
        """The text; where there is only HTML, what that says."""
        plain = self._body("text/plain")
        return plain.text if plain else to_text(self._html)

    @cached_property
    def body_html(self) -> str:
        """The HTML; where there is only text, its paragraphs."""
        return self._html or (to_html(self.body_text) if self._body("text/plain") else "")

    @cached_property
    def attachments(self) -> tuple[Attachment, ...]:
        """All parts but the two bodies."""
        if not _OTHER_THAN_TEXT.search(self._header):
            return ()
        bodies = (self._body("text/plain"), self._body("text/html"))
        return tuple(_attachment(part) for part in self._parts if part not in bodies)

    @property
    def _html(self) -> str:
        html = self._body("text/html")
        return html.text if html else ""

    def _body(self, type_: str) -> _Part | None:
        return next((part for part in self._parts if part.type == type_ and not part.filename), None)

    @cached_property
    def _parts(self) -> list[_Part]:
        return list(_leaves(message_from_bytes(self._octets, policy=_Raw()))) if self._octets else []


def _leaves(message: Message) -> Iterator[_Part]:
    maintype = message.get_content_maintype()
    if message.is_multipart() and maintype == "multipart":
        for part in _within(message):
            yield from _leaves(part)
        return
    attached = message.get_content_disposition() == "attachment" or maintype == "message"
    filename = decode_words(message.get_filename() or ("attachment" if attached else ""))
    yield _Part(message.get_content_type(), filename, message)


def _within(message: Message) -> list[Message]:
    payload = message.get_payload()
    return [part for part in payload if isinstance(part, Message)] if isinstance(payload, list) else []


def _attachment(part: _Part) -> Attachment:
    content_id = _CONTENT_ID.search(str(part.message.get("Content-ID", "")))
    return Attachment(part.filename, part.octets, part.type, content_id[1] if content_id else "")

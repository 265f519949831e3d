"""A captured mail as a person sees it: fields, text, HTML with its pictures, attachments.

It was written by strangers, and whatever they write is shown somehow: nothing here raises. It takes time with a large
mail, so it goes into a thread.
"""

from __future__ import annotations

import binascii
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from smtprelay.repair.charsets import codec_of, decode
from smtprelay.repair.words import decode_words
from smtprelay.web.entity import CHARSETS, Entity

MAX_DEPTH = 30
MAX_PARTS = 500
MAX_TEXT = 2 * 2**20  # octets of text, and of HTML
MAX_PICTURES = 16 * 2**20  # octets of all pictures within the HTML: one may stand there a million times
MAX_VALUE = 10_000  # characters of a header field
MAX_NAME = 100  # characters of a file's name

_PICTURES = frozenset(
    f"image/{kind}" for kind in ("png", "jpeg", "jpg", "gif", "webp", "bmp", "avif", "svg+xml", "x-icon")
)
_CID = re.compile(r"cid:([^\s\"'<>()]{1,1000})", re.IGNORECASE)
# Slashes and what Windows forbids; controls, and what turns text around (Unicode TR36 §2.4.1: exe.gpj is jpg.exe).
_UNSAFE = re.compile(r"[/\\:*?\"<>|\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+")
_NO_NAMES: Mapping[str, str] = {
    "message/rfc822": ".eml",
    "message/delivery-status": ".txt",
    "text/rfc822-headers": ".txt",
    "text/calendar": ".ics",
    "application/ms-tnef": ".dat",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/pgp-signature": ".asc",
}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not read as text.

    :param name: fit for a file: no path, nothing that hides what it is.
    :param kind: ``type/subtype`` as its sender calls it.
    :param content: without its transfer encoding.
    :param shown: it is a picture that stands within the HTML.
    """

    name: str
    kind: str
    content: bytes = field(repr=False)
    shown: bool = False


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, taken apart.

    :param fields: of its header in their order, decoded.
    :param html: as its sender wrote it, but that pictures of the mail itself are ``data:`` URLs. It is to be shown in
        a sandboxed frame alone, under a policy that lets it load nothing.
    :param shortened: some of it is not here, because it is over a limit; the source has it.
    """

    fields: tuple[tuple[str, str], ...] = ()
    text: str = ""
    html: str = ""
    attachments: tuple[Attachment, ...] = ()
    shortened: bool = False


def read(content: bytes) -> Mail:
    """Take a mail apart.

    :param content: as the spool has it, with normalised line ends.
    """
    message = Entity.whole(content)
    reader = _Reader(len(content))
    reader.take(message)
    return Mail(tuple(_fields(message)), reader.text, *reader.dressed(), reader.shortened)


def _fields(message: Entity) -> Iterator[tuple[str, str]]:
    for header_field in message.header.fields:
        value = decode_words(decode(header_field.value, CHARSETS)[0])
        yield header_field.written_name, value[:MAX_VALUE] + "…" * (len(value) > MAX_VALUE)


class _Reader:
    """Goes through the parts, and sorts them.

    :param room: octets that all attachments have together: no more than the message has, however it is nested.
    """

    def __init__(self, room: int) -> None:
        self.shortened = False
        self._texts: list[str] = []
        self._html: list[str] = []
        self._left = {"text/plain": MAX_TEXT, "text/html": MAX_TEXT}
        self._attachments: list[Attachment] = []
        self._ids: dict[str, int] = {}  # Content-ID → place among the attachments
        self._room = room
        self._parts = 0

    @property
    def text(self) -> str:
        return "\n".join(self._texts)

    def take(self, entity: Entity, depth: int = 0) -> None:
        self._parts += 1
        parts = entity.parts() if entity.kind.startswith("multipart/") and depth < MAX_DEPTH else iter(())
        first = next(parts, None)
        if first is not None:
            self.take(first, depth + 1)
            for part in parts:
                if self._parts >= MAX_PARTS:
                    self.shortened = True
                    return
                self.take(part, depth + 1)
        elif entity.disposition == "attachment" or not entity.kind.startswith(
            ("text/plain", "text/html", "multipart/")
        ):
            self._attach(entity)
        elif entity.kind == "text/html":
            self._html.append(self._read(entity))
        else:  # a multipart without parts is text too
            self._texts.append(self._read(entity))

    def _read(self, entity: Entity) -> str:
        kind = "text/html" if entity.kind == "text/html" else "text/plain"
        octets = entity.octets(self._left[kind] + 1)
        self.shortened |= len(octets) > self._left[kind]
        octets = octets[: self._left[kind]]
        self._left[kind] -= len(octets)
        codec = codec_of(entity.charset)
        return octets.decode(codec, "replace") if codec else decode(octets, CHARSETS)[0]

    def _attach(self, entity: Entity) -> None:
        octets = entity.octets(self._room + 1)
        self.shortened |= len(octets) > self._room
        octets = octets[: self._room]
        self._room -= len(octets)
        if entity.content_id:
            self._ids.setdefault(entity.content_id, len(self._attachments))
        name = file_name(entity.filename, entity.kind, len(self._attachments) + 1)
        self._attachments.append(Attachment(name, entity.kind, octets))

    def dressed(self) -> tuple[str, tuple[Attachment, ...]]:
        """The HTML with the mail's own pictures, and the attachments."""
        shown: set[int] = set()
        left = MAX_PICTURES

        def picture(match: re.Match[str]) -> str:
            nonlocal left
            place = self._ids.get(unquote(match[1]))  # RFC 2392 §2
            if place is None or self._attachments[place].kind not in _PICTURES:
                return match[0]
            attachment = self._attachments[place]
            if len(attachment.content) > left:
                self.shortened = True
                return match[0]
            left -= len(attachment.content)
            shown.add(place)
            return f"data:{attachment.kind};base64,{binascii.b2a_base64(attachment.content, newline=False).decode()}"

        html = _CID.sub(picture, "\n".join(self._html))
        attachments = enumerate(self._attachments)
        return html, tuple(Attachment(a.name, a.kind, a.content, place in shown) for place, a in attachments)


def file_name(name: str, kind: str, number: int) -> str:
    """A name that a browser can give a file: the sender's, made harmless, or one of ours.

    :param number: for a part without a name.
    """
    name = _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip(" ._")
    if not name:
        return f"part-{number}{_NO_NAMES.get(kind) or mimetypes.guess_extension(kind) or '.bin'}"
    stem, dot, extension = name.rpartition(".")
    if len(name) > MAX_NAME and dot and len(extension) <= 10:
        return f"{stem[: MAX_NAME - len(extension) - 1]}.{extension}"
    return name[:MAX_NAME]

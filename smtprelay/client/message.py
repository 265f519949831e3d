"""What `send` is given, and the octets and the envelope that come of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from smtprelay.client.parcel import Addresses, Parcel, check_text, read
from smtprelay.compose import Attachment, compose
from smtprelay.errors import InvalidMessage
from smtprelay.instructions import IDEMPOTENCY_KEY, SEND_AT, TAG, TEMPLATE, VARS, Instructions, write_fields
from smtprelay.repair.fields import Field
from smtprelay.repair.mending import mend_field
from smtprelay.repair.words import encode_words

_NAME = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 §2.2
_PLAIN = re.compile(r"(?!.*=\?)[!-~]+(?: [!-~]+)*")  # text that leaves as it is, and is read again as it is
_SUBJECT_ROOM = 66  # RFC 2047 §2: 76 less the field's name
_OWN = {
    "from": "from_", "to": "to", "cc": "cc", "bcc": "bcc", "reply-to": "reply_to", "subject": "subject",
    "mime-version": "text, html and attachments",
    TEMPLATE.lower(): "template", VARS.lower(): "vars", TAG.lower(): "tag", SEND_AT.lower(): "send_at",
    IDEMPOTENCY_KEY.lower(): "idempotency_key",
}  # fmt: skip


class Common(TypedDict, total=False):
    """The arguments of `send_many`: the fields of a `Message` that are the same for all contacts, by name."""

    subject: str
    text: str | None
    html: str | None
    attachments: Sequence[Attachment]
    template: str
    vars: Mapping[str, Any]
    headers: Mapping[str, str]
    tag: str | Iterable[str]
    send_at: datetime | None
    from_: str
    reply_to: Addresses


class Fields(Common, total=False):
    """The arguments of `send`: the fields of a `Message`, by name."""

    to: Addresses
    cc: Addresses
    bcc: Addresses
    idempotency_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to be made and sent.

    >>> Message(to="王芳 <wang@example.org>", subject="你好", text="Hello").pack("shop@example.com").recipients
    ('wang@example.org',)

    :param to: an address, with a display name or without (RFC 5322 §3.4); or several, joined by commas or in a list.
    :param cc: as `to`.
    :param bcc: recipients of whom the message does not tell.
    :param from_: who writes; by default that of the relay, or of the template.
    :param reply_to: as `to`.
    :param subject: a template's own one takes its place.
    :param text: the body, for readers without HTML.
    :param html: the body, for readers with HTML: give `text` as well, as some have none.
    :param attachments: those with a content id are shown in the HTML.
    :param template: the name of one of the relay's templates, which makes subject and bodies.
    :param vars: JSON values for the template, by name.
    :param headers: further header fields, as ``{"List-Unsubscribe": "<https://example.com/u/1>"}``.
    :param tag: a label, or several, for the history and the metrics.
    :param send_at: not before; without a time zone it is local time.
    :param idempotency_key: your own name for this message: the same again is not sent twice.
    """

    to: Addresses = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    template: str = ""
    vars: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    tag: str | Iterable[str] = ()
    send_at: datetime | None = None
    idempotency_key: str = ""
    from_: str = ""
    cc: Addresses = ()
    bcc: Addresses = ()
    reply_to: Addresses = ()

    def __post_init__(self) -> None:
        for name in ("to", "cc", "bcc", "reply_to", "tag"):  # an iterator would be at its end when it is packed again
            value = getattr(self, name)
            if not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))

    def pack(self, from_: str = "") -> Parcel:
        """The octets, with what the relay is told by header fields.

        :param from_: who writes, where `from_` says nothing.
        :raises InvalidMessage: it cannot be sent like this.
        """
        author, authors = read("from_", self.from_ or from_)
        if not author and not self.template:
            raise InvalidMessage('from_ is missing: give it to send() or, for all messages, to the relay: from_="…"')
        to, shown = read("to", self.to)
        cc, shown_cc = read("cc", self.cc)
        bcc, _ = read("bcc", self.bcc)
        _, reply_to = read("reply_to", self.reply_to)
        recipients = tuple(dict.fromkeys((*to, *cc, *bcc)))
        if not recipients:
            raise InvalidMessage("there is no recipient: give to, cc or bcc")
        header = [
            Field.compose(name, value).raw
            for name, value in (("From", authors), ("To", shown), ("Cc", shown_cc), ("Reply-To", reply_to))
            if value
        ]
        if self.subject:
            header.append(Field.compose("Subject", _text("subject", self.subject)).raw)
        header += [_further(name, value) for name, value in self.headers.items()]
        body = self._body()
        return Parcel(
            author[0] if author else "",
            recipients,
            b"".join((*header, self._instructions(), body)),
            self.idempotency_key,
        )

    def _body(self) -> bytes:
        if self.text is None and self.html is None and not self.attachments:
            return b"\r\n"
        for attachment in self.attachments:
            for value in (attachment.filename, attachment.type, attachment.content_id):
                check_text(f"attachment {attachment.filename!r}", value)
        return compose(self.text, self.html, self.attachments)

    def _instructions(self) -> bytes:
        if self.vars and not self.template:
            raise InvalidMessage("vars are for a template: name one, or put the values into text and html yourself")
        if self.send_at and not isinstance(self.send_at, datetime):
            raise InvalidMessage(f"send_at is a datetime, not {self.send_at!r}: datetime.fromisoformat() makes one")
        tags = [self.tag] if isinstance(self.tag, str) else list(self.tag)
        for what, value in (("template", self.template), ("idempotency_key", self.idempotency_key)):
            check_text(what, value)
        for tag in tags:
            check_text("tag", tag)
        try:
            return write_fields(
                Instructions(
                    template=self.template,
                    variables=self.vars,
                    tags=tags,
                    send_at=round(self.send_at.timestamp() * 1000) if self.send_at else 0,
                    idempotency_key=self.idempotency_key,
                )
            )
        except RecursionError:
            raise InvalidMessage("vars are nested too deeply") from None
        except (TypeError, ValueError) as error:
            raise InvalidMessage(f"vars must be JSON values (text, numbers, lists, objects, …): {error}") from error


def _text(what: str, value: str) -> str:
    """Text as it stands in an unstructured field."""
    check_text(what, value)
    return value if _PLAIN.fullmatch(value) else encode_words(value, _SUBJECT_ROOM)


def _further(name: str, value: str) -> bytes:
    """A header field that the caller has named."""
    if not _NAME.fullmatch(name):
        raise InvalidMessage(f"headers: {name!r} is no name of a header field")
    lower = name.lower()
    if lower in _OWN or lower.startswith("content-"):
        raise InvalidMessage(f"headers: {name} is made of {_OWN.get(lower, 'text, html and attachments')}")
    check_text(f"headers: {name}", value)
    written = Field.compose(name, value)
    mend_field(written, ("utf-8",), "", [])
    return written.raw

"""The whole message: line ends, header, body, in this order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from smtprelay.message import Envelope, Origin
from smtprelay.repair.body import BodyWriter
from smtprelay.repair.changes import changes
from smtprelay.repair.fields import parse_header
from smtprelay.repair.header import CONTROL, Circumstances, repair_header
from smtprelay.repair.lines import normalise

_MAX_REPAIRS = 100  # a message can have ten thousand parts, and something wrong with each


@dataclass(frozen=True, slots=True)
class Repaired:
    """A message that can leave, and what had to be done.

    :param content: every line ended by <CRLF> and of at most 998 octets; 7-bit, but for multipart/signed and for
        local parts of addresses in the header where `needs_smtputf8`.
    :param repairs: what was changed, in words for an operator, in order.
    :param changes: what was changed in the header, as lines of a difference (`smtprelay.repair.changes`).
    :param authors: the addresses in ``From:`` before any rewriting, in normal form; one or more.
    :param from_domain: the domain of the ``From:`` that leaves.
    :param subject: decoded, for people.
    :param message_id: with its angle brackets.
    :param needs_smtputf8: whether an address in the header needs it (RFC 6531 §3.4).
    :param bulk: whether the header says that it goes to many: by ``List-Unsubscribe``, ``List-Id`` or ``Precedence``.
    """

    content: bytes
    repairs: tuple[str, ...]
    changes: tuple[str, ...]
    authors: tuple[str, ...]
    from_domain: str
    subject: str
    message_id: str
    needs_smtputf8: bool
    bulk: bool


def repair(
    content: bytes,
    *,
    envelope: Envelope,
    origin: Origin,
    id: str,  # noqa: A002  the queue's word for it
    now: int,
    hostname: str,
    charsets: Sequence[str],
    rewrite: Literal["never", "envelope", "from"] = "never",
    username: str = "",
) -> Repaired:
    """Mends a message: what stands in it stays octet for octet, but for the fields and parts that are at fault.

    Blocks neither on I/O nor, for long, the GIL: a large message can be repaired in a thread.

    :param content: as it came, without the dots that SMTP puts in.
    :param id: the queue's id, for ``Received:`` and for a Message-ID.
    :param now: Unix time in milliseconds, for ``Received:`` and for a ``Date:``.
    :param hostname: ours, for ``Received:``.
    :param charsets: to try for raw 8-bit text that neither the declared charset nor UTF-8 can read.
    :param rewrite: ``from``: ``From:`` becomes `username`, the old one goes to ``Reply-To:`` where there is none.
    :raises Reject: where nothing can be mended; the text says what the sender should change.
    """
    repairs: list[str] = []
    normal = normalise(content)
    if normal is not content:
        repairs.append("line ends made <CRLF>")
    header, body = parse_header(normal, 0, len(normal), "", repairs)
    came = header.fields.copy()
    known = Circumstances(envelope, origin, id, now, hostname, charsets, rewrite, username)
    identity = repair_header(header, known, repairs)
    out = BytesIO()  # grows in place, and gives its buffer away: no list of pieces, no join
    BodyWriter(normal, charsets, out, repairs).write(header, body, len(normal))
    out.seek(-2, 2)
    if out.read() != b"\r\n":  # an encoded body may end within a line
        out.write(b"\r\n")
    if len(repairs) > _MAX_REPAIRS:
        repairs[_MAX_REPAIRS - 1 :] = [f"and {len(repairs) - _MAX_REPAIRS + 1} more"]
    return Repaired(
        content=out.getvalue(),
        repairs=tuple(repairs),
        # The first field is our own Received; what an app tells the relay may be as private as a body.
        changes=changes(came, header.fields[1:], CONTROL) if repairs else (),
        authors=identity.authors,
        from_domain=identity.from_domain,
        subject=identity.subject,
        message_id=identity.message_id,
        needs_smtputf8=identity.needs_smtputf8,
        bulk=identity.bulk,
    )

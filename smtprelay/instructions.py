"""What an app tells the relay by header fields, and what the relay tells it by the reply to the dot."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from smtprelay.repair.fields import Field
from smtprelay.repair.words import encode_words

TEMPLATE = "X-SMTPRelay-Template"
VARS = "X-SMTPRelay-Vars"
TAG = "X-SMTPRelay-Tag"
SEND_AT = "X-SMTPRelay-Send-At"
IDEMPOTENCY_KEY = "X-SMTPRelay-Idempotency-Key"

_QUEUED = re.compile(r"Ok: queued as ([0-9a-v]{16})(, as before)?")


@dataclass(frozen=True, slots=True)
class Instructions:
    """What an app asks for.

    :param template: render this template as the message; ``""`` for none.
    :param variables: JSON values by name, for all recipients.
    :param own: further ones by recipient: each recipient has a message of its own then.
    :param tags: labels that the history keeps.
    :param send_at: not before this time, Unix time in milliseconds; 0 for at once.
    :param idempotency_key: the app's own name for the message: the same one again is not sent twice; ``""`` for none.
    """

    template: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: Sequence[str] = ()
    send_at: int = 0
    idempotency_key: str = ""


def write_fields(instructions: Instructions) -> bytes:
    """The header fields that say so, each ended by <CRLF>."""
    fields = []
    if instructions.template:
        fields.append((TEMPLATE, instructions.template))
    if instructions.variables:
        fields.append((VARS, json.dumps(instructions.variables)))
    fields += [(VARS, json.dumps({"_rcpt": address, **own})) for address, own in instructions.own.items()]
    fields += [(TAG, tag) for tag in instructions.tags]
    if instructions.send_at:
        fields.append((SEND_AT, datetime.fromtimestamp(instructions.send_at / 1000, UTC).isoformat()))
    if instructions.idempotency_key:
        fields.append((IDEMPOTENCY_KEY, instructions.idempotency_key))
    return b"".join(Field.compose(name, encode_words(value)).raw for name, value in fields)


def queued_as(ids: Sequence[str], *, before: bool = False) -> str:
    """The text of the reply to a message that is on disk.

    :param ids: of the messages that were made of it.
    :param before: its idempotency key came before, and these are the ids of then.
    """
    rest = f", the first of {len(ids)}" if len(ids) > 1 else ""
    return f"Ok: queued as {ids[0]}{', as before' if before else ''}{rest}"


def read_queued(text: str) -> tuple[str, bool]:
    """The id in such a reply, or ``""``, and whether its idempotency key came before."""
    match = _QUEUED.search(text)
    return (match[1], bool(match[2])) if match else ("", False)

"""What a webhook is told: events as JSON, many in one body. Bodies and subjects of mail are never in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from smtprelay.spool import Event

TYPE = "smtprelay.events"


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are told at once.

    :param id: the same as long as the same events are told.
    :param body: JSON, with the structure that Standard Webhooks proposes: type, timestamp, data.
    """

    id: str
    body: bytes


def batch(events: Sequence[Event]) -> Batch:
    """Some events, at least one, in their order."""
    told = {"type": TYPE, "timestamp": _timestamp(events[-1].at), "data": [describe(event) for event in events]}
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    return Batch(f"{_id(events[0])}-{len(events)}", body)


def describe(event: Event) -> dict[str, Any]:
    """An event as JSON: each has all keys, and they mean what they mean in the log and in ``queue show --json``."""
    return {"id": _id(event), **{key: value for key, value in asdict(event).items() if key != "seq"}}


def _id(event: Event) -> str:
    """Unique also where another spool begins to count anew: the message's id is."""
    return f"{event.message}-{event.seq}"


def _timestamp(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

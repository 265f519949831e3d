"""Bodies that were just stored, for the first attempt: it comes at once, and need not read what has been written."""

from __future__ import annotations

from collections.abc import Iterable

from smtprelay.message import Message

LARGEST = 64 * 2**10  # octets of one body
ROOM = 8 * 2**20  # octets over all


class FreshBodies:
    """At most so many octets; those of the oldest go first. In the event loop only."""

    def __init__(self, largest: int = LARGEST, room: int = ROOM) -> None:
        self._largest = largest
        self._room = room
        self._bodies: dict[str, bytes] = {}  # the oldest first
        self._octets = 0

    def keep(self, messages: Iterable[Message]) -> None:
        """Keep the bodies that an attempt will soon ask for. Only after they were committed."""
        for message in messages:
            if len(message.content) <= self._largest and not message.hold and message.due_at <= message.received_at:
                self._bodies[message.id] = message.content
                self._octets += len(message.content)
        while self._octets > self._room:
            self.take(next(iter(self._bodies)))

    def take(self, message_id: str) -> bytes | None:
        """The body, once: a second attempt comes later, and reads the file."""
        body = self._bodies.pop(message_id, None)
        if body is not None:
            self._octets -= len(body)
        return body

"""What is to be rendered: values that go from the daemon to the process that renders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """One message to be made.

    :param header: the fields that the app gave, as octets, each ended by <CRLF>: without those that the template makes
        (``Subject``, ``MIME-Version``, ``Content-*``), without signatures and without instructions to the relay.
    :param recipient: whom it is for, where that is one address alone; else ``""``.
    :param variables: JSON values by name.
    """

    header: bytes
    recipient: str
    variables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A template to be rendered, once for each part.

    :param template: its name.
    :param content: the app's own message, whose bodies are the variables ``body_text`` and ``body_html`` and whose
        attachments go along; ``b""`` where there is none.
    :param now: Unix time in milliseconds.
    :param header: fields that every part has before its own. A header may have a megabyte, and a job a thousand parts.
    :param variables: those that every part has, unless it has its own of that name.
    """

    template: str
    parts: tuple[Part, ...]
    content: bytes
    now: int
    header: bytes = b""
    variables: Mapping[str, Any] = field(default_factory=dict)

    def whole_parts(self) -> Iterator[Part]:
        """The parts with what they share, each made when it is its turn."""
        for part in self.parts:
            yield Part(self.header + part.header, part.recipient, {**self.variables, **part.variables})

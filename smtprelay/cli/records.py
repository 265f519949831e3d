"""DNS records for a person to publish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from smtprelay.domains.verdict import Record


def as_text(records: Sequence[Record]) -> Iterator[str]:
    """Lines that say what to enter in a provider's form, and, below, what to paste into a zone file."""
    yield "Publish this record:" if len(records) == 1 else "Publish these records:"
    for record in records:
        for label, text in fields(record).items():
            yield f"  {label:<8}  {text}"
        yield ""
    yield "In a zone file:"
    for record in records:
        yield record.zone_line


def fields(record: Record) -> dict[str, str]:
    """What a provider's form asks for, by its label."""
    if record.type == "TXT":
        return {"name": record.name, "type": "TXT", "value": record.value}
    preference, _, host = record.value.partition(" ")
    return {"name": record.name, "type": "MX", "priority": preference, "value": host or "."}


def as_dict(record: Record) -> dict[str, Any]:
    """A record as JSON."""
    strings = {"strings": list(record.strings)} if record.type == "TXT" else {}
    return {**asdict(record), **strings, "zone_line": record.zone_line}

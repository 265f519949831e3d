"""The durable queue: one asynchronous interface, and what passes through it."""

from smtprelay.spool.interface import (
    DNS,
    DOMAIN,
    Attempt,
    BodyCorrupt,
    Lease,
    LeasedRecipient,
    LeaseLost,
    MessageRecord,
    RecipientRecord,
    Result,
    Selector,
    Spool,
    SpoolError,
    SpoolFull,
    State,
    Stats,
)

__all__ = [
    "DNS",
    "DOMAIN",
    "Attempt",
    "BodyCorrupt",
    "Lease",
    "LeaseLost",
    "LeasedRecipient",
    "MessageRecord",
    "RecipientRecord",
    "Result",
    "Selector",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "State",
    "Stats",
]

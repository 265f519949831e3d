"""Values ↔ rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.outcome import Phase
from smtprelay.spool.values import OUTCOMES, Attempt, Fate, LeasedRecipient, RecipientRecord, State, Suppression

Row = sqlite3.Row | Mapping[str, Any]

INSERT_MESSAGE = """
    INSERT INTO messages (
        id, reverse_path, ret, envid, smtputf8, client, helo, protocol, account, size, received_at, due_at,
        credential, domain, selectors, author_domain, subject, message_id, repairs, hold, dsn_for, sender,
        idempotency_key, tags, changes, bulk, recipients, chunks, ended_at
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_RECIPIENT = """
    INSERT INTO recipients (
        message, n, address, notify, orcpt, credential, state, reason, next_at, attempts, held_since, updated_at
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Of a recipient that had ended when its message was stored.
INSERT_ATTEMPT = """
    INSERT INTO attempts (message, n, number, started_at, ended_at, outcome, phase, reply)
    VALUES (?, ?, 1, ?, ?, ?, ?, ?)
"""


def message_row(message: Message, chunks: int, ended_at: int = 0) -> tuple[str | int, ...]:
    envelope, origin = message.envelope, message.origin
    return (
        message.id,
        envelope.reverse_path,
        envelope.ret,
        envelope.envid,
        envelope.smtputf8,
        origin.client,
        for_people(origin.helo),
        origin.protocol,
        origin.account,
        message.size,
        message.received_at,
        message.due_at,
        message.credential,
        message.domain,
        " ".join(message.selectors),
        message.author_domain,
        for_people(message.subject),
        for_people(message.message_id),
        json.dumps(message.repairs),
        for_people(message.hold),
        message.dsn_for,
        origin.key,
        message.idempotency_key,
        json.dumps(message.tags, ensure_ascii=False),
        for_people(json.dumps(message.changes, ensure_ascii=False)),
        message.bulk,
        len(envelope.recipients),
        chunks,
        ended_at,
    )


def recipient_rows(message: Message) -> list[tuple[str | int, ...]]:
    waiting = (State.HELD, for_people(message.hold), message.due_at, 0, message.received_at)
    if not message.hold:
        waiting = (State.QUEUED, "", message.due_at, 0, 0)
    return [
        (
            message.id,
            n,
            recipient.address,
            recipient.notify,
            recipient.orcpt,
            message.credential,
            *((State.SUPPRESSED, recipient.suppressed.cause, 0, 1, 0) if recipient.suppressed else waiting),
            message.received_at,
        )
        for n, recipient in enumerate(message.envelope.recipients, 1)
    ]


def attempt_rows(message: Message) -> list[tuple[str | int, ...]]:
    """Why recipients are suppressed from the start."""
    at, outcome = message.received_at, OUTCOMES[State.SUPPRESSED]
    return [
        (message.id, n, at, at, outcome, Phase.ROUTING, for_people(recipient.suppressed.words))
        for n, recipient in enumerate(message.envelope.recipients, 1)
        if recipient.suppressed
    ]


def message_of(row: Row, recipients: Sequence[Recipient]) -> Message:
    """The message without its content.

    :raises ValueError: the row is damaged.
    """
    repairs, tags, changes = (json.loads(row[column]) for column in ("repairs", "tags", "changes"))
    if not all(isinstance(value, list) for value in (repairs, tags, changes)):
        raise ValueError("repairs, tags or changes is not a list")
    return Message(
        id=row["id"],
        envelope=Envelope(
            row["reverse_path"], tuple(recipients), row["ret"], row["envid"], smtputf8=bool(row["smtputf8"])
        ),
        origin=Origin(row["client"], row["helo"], row["protocol"], row["account"]),
        content=b"",
        size=row["size"],
        received_at=row["received_at"],
        due_at=row["due_at"],
        credential=row["credential"],
        domain=row["domain"],
        selectors=tuple(row["selectors"].split()),
        author_domain=row["author_domain"],
        subject=row["subject"],
        message_id=row["message_id"],
        repairs=tuple(repairs),
        hold=row["hold"],
        dsn_for=row["dsn_for"],
        idempotency_key=row["idempotency_key"],
        tags=tuple(tags),
        changes=tuple(changes),
        bulk=bool(row["bulk"]),
    )


def recipient_of(row: Row) -> Recipient:
    return Recipient(row["address"], row["notify"], row["orcpt"])


def leased_recipient_of(row: sqlite3.Row) -> LeasedRecipient:
    return LeasedRecipient(row["n"], recipient_of(row), row["attempts"], row["held_ms"], bool(row["warned"]))


def recipient_record_of(row: Row, history: Sequence[Attempt] = ()) -> RecipientRecord:
    return RecipientRecord(
        id=row["n"],
        recipient=recipient_of(row),
        state=State(row["state"]),
        reason=row["reason"],
        next_at=row["next_at"],
        attempts=row["attempts"],
        updated_at=row["updated_at"],
        dsn=row["dsn"],
        reply=row["reply"] or "",
        history=tuple(history),
        fate=Fate(*json.loads(row["fate"])) if row["fate"] else None,
    )


def attempt_of(row: sqlite3.Row) -> Attempt:
    return Attempt(
        number=row["number"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        outcome=row["outcome"],
        phase=row["phase"],
        reply=row["reply"],
        ambiguous=bool(row["ambiguous"]),
        smarthost=row["smarthost"],
    )


def suppression_of(row: sqlite3.Row) -> Suppression:
    return Suppression(row["address"], row["cause"], row["since"], row["expires"], row["source"], row["note"])


def for_people(text: str) -> str:
    """Text that only people read, with what UTF-8 cannot hold (lone surrogates of odd input) replaced."""
    return text.encode(errors="replace").decode()

"""Values ↔ rows. What a damaged row holds in place of a value is found here, and goes no further."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.outcome import Phase
from smtprelay.spool.values import (
    OUTCOMES,
    Attempt,
    Fate,
    LeasedRecipient,
    RecipientRecord,
    SpoolDamaged,
    State,
    Suppression,
)

Row = sqlite3.Row | Mapping[str, Any]

_STATES = frozenset(State)
_TEXT, _NUMBER = frozenset({str}), frozenset({int})
_RECIPIENT_TEXTS = ("address", "notify", "orcpt")
_MESSAGE_TEXTS = (
    "id", "reverse_path", "ret", "envid", "client", "helo", "protocol", "account", "credential", "domain", "selectors",
    "author_domain", "subject", "message_id", "hold", "dsn_for", "idempotency_key",
)  # fmt: skip
_MESSAGE_NUMBERS = ("smtputf8", "size", "received_at", "due_at", "bulk")

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


def message_of(row: Row | None, recipients: Sequence[Recipient]) -> Message:
    """The message without its content.

    :raises SpoolDamaged: the row is gone, or holds something else than was written.
    """
    if row is None:
        raise SpoolDamaged("its row in messages is gone")
    row = _by_name(row)
    _check(row, _MESSAGE_TEXTS, _MESSAGE_NUMBERS)
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
        repairs=_texts(row, "repairs"),
        hold=row["hold"],
        dsn_for=row["dsn_for"],
        idempotency_key=row["idempotency_key"],
        tags=_texts(row, "tags"),
        changes=_texts(row, "changes"),
        bulk=bool(row["bulk"]),
    )


def recipient_of(row: Row) -> Recipient:
    """:raises SpoolDamaged: as `message_of`."""
    _check(row, _RECIPIENT_TEXTS)
    return Recipient(row["address"], row["notify"], row["orcpt"])


def leased_recipient_of(row: Row) -> LeasedRecipient:
    """:raises SpoolDamaged: as `message_of`."""
    _check(row, _RECIPIENT_TEXTS, ("n", "attempts", "held_ms", "warned"))
    recipient = Recipient(row["address"], row["notify"], row["orcpt"])
    return LeasedRecipient(row["n"], recipient, row["attempts"], row["held_ms"], bool(row["warned"]))


def recipient_record_of(row: Row, history: Sequence[Attempt] = ()) -> RecipientRecord:
    """:raises SpoolDamaged: as `message_of`."""
    row = _by_name(row)
    _check(row, ("state", "reason", "dsn"), ("n", "next_at", "attempts", "updated_at"))
    if row["state"] not in _STATES:
        raise _damaged(row, "state")
    if not isinstance(row["reply"], str | None):
        raise _damaged(row, "reply")
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
        fate=_fate_of(row) if row["fate"] else None,
    )


def _fate_of(row: Row) -> Fate:
    match _json(row, "fate"):
        case [str(address), int(at), str(cause), str(source)]:
            return Fate(address, at, cause, source)
    raise _damaged(row, "fate")


def attempt_of(row: sqlite3.Row) -> Attempt:
    """:raises SpoolDamaged: as `message_of`."""
    _check(row, ("outcome", "phase", "reply", "smarthost"), ("n", "number", "started_at", "ended_at", "ambiguous"))
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
    """:raises SpoolDamaged: as `message_of`."""
    _check(row, ("address", "cause", "source", "note"), ("since", "expires"))
    return Suppression(row["address"], row["cause"], row["since"], row["expires"], row["source"], row["note"])


def _by_name(row: Row) -> Mapping[str, Any]:
    """SQLite's own row goes through all its columns to find one."""
    return dict(zip(row.keys(), row, strict=True)) if isinstance(row, sqlite3.Row) else row


def _check(row: Row, texts: Sequence[str], numbers: Sequence[str] = ()) -> None:
    value = row.__getitem__
    if _TEXT.issuperset(map(type, map(value, texts))) and _NUMBER.issuperset(map(type, map(value, numbers))):
        return
    wanted = {**dict.fromkeys(texts, str), **dict.fromkeys(numbers, int)}
    raise _damaged(row, next(column for column, kind in wanted.items() if type(value(column)) is not kind))


def _texts(row: Row, column: str) -> tuple[str, ...]:
    if row[column] == "[]":  # as nearly always
        return ()
    values = _json(row, column)
    if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
        raise _damaged(row, column)
    return tuple(values)


def _json(row: Row, column: str) -> Any:
    try:
        return json.loads(row[column])
    except (ValueError, TypeError) as error:
        raise _damaged(row, column) from error


def _damaged(row: Row, column: str) -> SpoolDamaged:
    return SpoolDamaged(f"in {column} stands {type(row[column]).__name__}, or what was never written there")


def for_people(text: str) -> str:
    """Text that only people read, with what UTF-8 cannot hold (lone surrogates of odd input) replaced."""
    return text.encode(errors="replace").decode()

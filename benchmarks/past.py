"""A history as some weeks of an organisation's mail leave it, written straight into the spool's tables."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.load import SENDER
from smtprelay.message import Envelope, Message, Origin, Recipient, new_id
from smtprelay.spool import State
from smtprelay.spool.sqlite import rows
from smtprelay.spool.sqlite.file import open_for_writing

SEED = 20261124
APART = 1000  # milliseconds from one message to the next
GROUP = 5000  # messages of one transaction
WAITING = 300  # of the newest

FAMILY, GIVEN = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗",
    "芳伟娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华文玉萍红建国",
)
SUBJECTS = (
    "您的订单{n}已发货", "{name}，您的发票已开具", "关于{y}年第{q}季度对账单的通知", "【重要】密码重置验证码",
    "会议邀请：{name}的项目评审", "秋茶上市，新品八折优惠", "物流更新：包裹{n}已到达", "工资条 {y}-{q}",
    "{name}，生日快乐🎂",
    "Your receipt no. {n}", "Invoice INV-{y}-{n}", "Password reset", "Weekly report {y}/{q}", "Re: Order {n} shipped",
    "Newsletter: the autumn harvest is in", "Ticket #{n} updated", "Backup finished on db{q}.internal",
    "Réservation confirmée n° {n}",
)  # fmt: skip
LARGE_DOMAINS = ("qq.com", "163.com", "gmail.com", "example.net", "example.org")
LOCAL_PARTS = ("anna", "bob", "chen", "dora", "wang.fang", "li.wei")
TAGS = ("newsletter", "receipts", "alerts", "hr", "")
ACCOUNTS = ("billing", "shop", "hr-app", "legacy", "")
ENDS = (State.DELIVERED, State.BOUNCED, State.SUPPRESSED, State.CANCELLED)
SHARES = (955, 40, 3, 2)
REPLIES = {State.DELIVERED: "250 2.0.0 Ok: queued as 4XYZ", State.BOUNCED: "550 5.1.1 No such user here"}


def address(number: int) -> str:
    """One that is in the history, where it is long enough."""
    return f"user{number}@customer{number % 3000}.example"


def make(path: Path, count: int, until: int) -> None:
    """A new spool with so many messages; the newest wait, the others have ended. Always the same but for their times.

    :param until: when the newest was accepted; Unix time in milliseconds.
    """
    chance = random.Random(SEED)  # noqa: S311 - nothing secret
    with closing(open_for_writing(path, until)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for first in range(0, count, GROUP):
            numbers = range(first, min(first + GROUP, count))
            _write(
                connection,
                [
                    (_message(chance, until - (count - 1 - n) * APART), _state(chance, waits=n >= count - WAITING))
                    for n in numbers
                ],
            )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _message(chance: random.Random, at: int) -> Message:
    account = chance.choice(ACCOUNTS)
    return Message(
        id=new_id(at),
        envelope=Envelope(SENDER, tuple(map(Recipient, _recipients(chance)))),
        origin=Origin("10.0.0.7", "app.example.com", "ESMTPSA" if account else "ESMTP", account),
        content=b"",
        size=chance.randrange(1000, 50_000),
        received_at=at,
        due_at=at,
        credential=SENDER,
        domain="example.com",
        selectors=("relay1",),
        author_domain="example.com",
        subject=_subject(chance),
        message_id=f"<{chance.getrandbits(64):016x}.{at}@app{chance.randrange(9)}.example.com>",
        repairs=("added Date",),
        tags=tuple(filter(None, [chance.choice(TAGS)])),
    )


def _subject(chance: random.Random) -> str:
    name = chance.choice(FAMILY) + "".join(chance.choices(GIVEN, k=chance.randrange(1, 3)))
    subject = chance.choice(SUBJECTS)
    return subject.format(
        name=name, n=chance.randrange(10**7), y=chance.choice((2025, 2026)), q=chance.randrange(1, 13)
    )


def _recipients(chance: random.Random) -> Iterator[str]:
    for _ in range(1 if chance.random() < 0.93 else chance.randrange(2, 8)):
        if chance.random() < 0.5:
            yield address(chance.randrange(400_000))
        else:
            yield f"{chance.choice(LOCAL_PARTS)}.{chance.randrange(9999)}@{chance.choice(LARGE_DOMAINS)}"


def _state(chance: random.Random, *, waits: bool) -> State:
    return chance.choice((State.QUEUED, State.HELD)) if waits else chance.choices(ENDS, SHARES)[0]


def _write(connection: sqlite3.Connection, messages: Sequence[tuple[Message, State]]) -> None:
    connection.execute("BEGIN")
    connection.executemany(rows.INSERT_MESSAGE, [rows.message_row(message, 1) for message, _ in messages])
    for message, state in messages:
        at, ended = message.received_at, state in ENDS
        connection.executemany(rows.INSERT_RECIPIENT, rows.recipient_rows(message))
        connection.execute(
            "UPDATE recipients SET state = ?, reason = ?, attempts = 1, next_at = ?, updated_at = ? WHERE message = ?",
            (state, "operator" if state is State.HELD else "", at + 10**10, at + 500, message.id),
        )
        connection.execute(
            """
            INSERT INTO attempts
            SELECT message, n, 1, ?, ?, ?, 'dot', ?, 0, 'smtp.example.net[192.0.2.1]:25'
            FROM recipients WHERE message = ?
            """,
            (at + 10, at + 500, state if ended else "deferred", REPLIES.get(state, "451 4.3.0 Later"), message.id),
        )
        if ended:
            connection.execute("UPDATE messages SET ended_at = ? WHERE id = ?", (at + 500, message.id))
    connection.execute("COMMIT")

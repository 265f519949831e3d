"""One mail transaction: MAIL, RCPT for each recipient, DATA, the body, the dot → one fact per recipient."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from smtprelay.message import Message, Recipient
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reply
from smtprelay.upstream.connection import Connection, Failure

DATA = b"DATA"


class Stale(Exception):
    """The smarthost had closed this connection while it lay idle; nothing has happened."""


async def transact(
    connection: Connection,
    message: Message,
    recipients: Sequence[Recipient],
    body: Callable[[], AsyncIterator[bytes]],
) -> tuple[Fact, ...]:
    """What happened to each recipient, in their order.

    :raises Stale: try another connection.
    """
    utf8 = _needs_utf8(message, recipients)
    if refusal := _local_refusal(connection, message, utf8):
        return (refusal,) * len(recipients)
    mail = _mail_command(connection, message, utf8)
    rcpts = [_rcpt_command(recipient, dsn="dsn" in connection.extensions) for recipient in recipients]
    fact = await _mail(connection, mail, [*rcpts, DATA] if "pipelining" in connection.extensions else [])
    if fact:
        await _settle(connection)
        return (fact,) * len(recipients)
    replies: list[Reply] = []
    rest = Fact(Phase.RCPT)  # what becomes of those whom RCPT does not refuse
    try:
        for rcpt in rcpts:
            reply = await connection.command(Phase.RCPT, rcpt)
            replies.append(reply)
            if reply.code == 421:
                raise Failure(Fact(Phase.RCPT, error=f"{connection.name}: it closed the connection: {reply}"))
        if any(map(_positive, replies)):
            rest = await _data(connection, body)
        await _settle(connection)
    except Failure as failure:
        rest = failure.fact
    return _facts(len(recipients), replies, rest)


async def _settle(connection: Connection) -> None:
    """Take the replies to what was sent ahead in vain. A connection that breaks over it is closed.

    A smarthost may answer DATA with 354 though it has no recipient: the message is then sent empty, and goes to nobody
    (RFC 2920 §3.1). One that has taken a recipient without a sender would deliver that.
    """
    taken = False
    with suppress(Failure):
        for command in connection.ahead:
            reply = await connection.command(Phase.RCPT, command)
            taken = taken or (command.startswith(b"RCPT") and _positive(reply))
            if command == DATA and reply.code == 354:
                if taken:
                    connection.abort()
                    return
                await connection.command(Phase.RCPT, b".")


def _facts(count: int, replies: Sequence[Reply], rest: Fact) -> tuple[Fact, ...]:
    """One fact for each of `count` recipients.

    :param replies: to the RCPT commands that were answered.
    :param rest: what became of those whom RCPT did not refuse.
    """
    if rest.corrupt:
        return (rest,) * count
    some_accepted = any(map(_positive, replies))
    facts = [rest if _positive(reply) else Fact(Phase.RCPT, reply, others_accepted=some_accepted) for reply in replies]
    return (*facts, *[rest] * (count - len(replies)))


async def _mail(connection: Connection, mail: bytes, following: Sequence[bytes]) -> Fact | None:
    """Begin the transaction; the fact where that fails.

    :param following: commands to send along (RFC 2920).
    :raises Stale: where that fails because nobody was there any more.
    """
    commands = [b"RSET", mail] if connection.reset_due else [mail]
    connection.reset_due = True
    connection.transactions += 1
    try:
        if following:
            connection.send_ahead(Phase.MAIL, [*commands, *following])
        for command in commands:
            reply = await connection.command(Phase.MAIL, command)
    except Failure as failure:
        if connection.reused and failure.lost:
            raise Stale from failure
        return failure.fact
    if connection.reused and reply.code == 421:
        raise Stale
    return None if _positive(reply) else Fact(Phase.MAIL, reply)


async def _data(connection: Connection, body: Callable[[], AsyncIterator[bytes]]) -> Fact:
    reply = await connection.command(Phase.DATA, DATA, timeout=connection.timeouts.data)
    if reply.code != 354:
        return Fact(Phase.DATA, reply)
    reply = await connection.send_body(body())
    connection.reset_due = not _positive(reply)  # RFC 5321 §4.1.1.4: a dot that is accepted clears the buffers
    return Fact(Phase.DOT, reply)


def _local_refusal(connection: Connection, message: Message, utf8: bool) -> Fact | None:
    """The fact where the smarthost's own words at EHLO tell that it cannot take this message."""
    limit = connection.extensions.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < message.size:  # RFC 1870 §3: 0 is no limit; §6.1: do not even try
        text = f"{connection.name} takes messages of at most {limit} octets; this one has {message.size}"
        return Fact(Phase.MAIL, Reply(552, "3.4", text), local=True)
    if utf8 and "smtputf8" not in connection.extensions:
        text = f"{connection.name} takes no internationalized addresses or headers (SMTPUTF8), which this message has"
        return Fact(Phase.MAIL, Reply(553, "6.7", text), local=True)  # RFC 6531 §3.5
    return None


def _needs_utf8(message: Message, recipients: Sequence[Recipient]) -> bool:
    addresses = [message.envelope.reverse_path, *(recipient.address for recipient in recipients)]
    return message.envelope.smtputf8 or not all(map(str.isascii, addresses))


def _mail_command(connection: Connection, message: Message, utf8: bool) -> bytes:
    envelope, offered = message.envelope, connection.extensions
    words = [f"MAIL FROM:<{envelope.reverse_path}>"]
    words += [f"SIZE={message.size}"] * ("size" in offered)
    words += ["SMTPUTF8"] * utf8
    if "dsn" in offered:  # RFC 3461 §4.3, §4.4
        words += [f"RET={envelope.ret}"] * bool(envelope.ret) + [f"ENVID={envelope.envid}"] * bool(envelope.envid)
    return " ".join(words).encode()


def _rcpt_command(recipient: Recipient, *, dsn: bool) -> bytes:
    words = [f"RCPT TO:<{recipient.address}>"]
    if dsn:  # RFC 3461 §4.1, §4.2
        words += [f"NOTIFY={recipient.notify}"] * bool(recipient.notify)
        words += [f"ORCPT={recipient.orcpt}"] * bool(recipient.orcpt)
    return " ".join(words).encode()


def _positive(reply: Reply) -> bool:
    return reply.code // 100 == 2

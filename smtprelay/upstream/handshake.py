"""The way up to a usable connection: connect, greeting, EHLO, STARTTLS, EHLO again, AUTH."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

from aiosmtplib.errors import SMTPResponseException
from aiosmtplib.esmtp import parse_esmtp_extensions

from smtprelay.config import TLSMode
from smtprelay.outcome import Fact, Phase
from smtprelay.upstream.connection import Connection, Failure


@dataclass(frozen=True, slots=True)
class Target:
    """A smarthost, and how it is to be spoken to.

    :param hostname: what we call ourselves.
    :param context: for TLS; None where `tls` is ``none``.
    :param tls_before: STARTTLS has worked here before, so that plaintext is out of the question.
    """

    host: str
    port: int
    hostname: str
    tls: TLSMode
    context: ssl.SSLContext | None
    tls_before: bool = False


async def establish(connection: Connection, target: Target) -> None:
    """Bring a connection up to where AUTH comes. :raises Failure:"""
    await _connect(connection, target)
    reply = await connection.next_reply(Phase.GREETING, connection.timeouts.greeting)
    if reply.code != 220:
        raise Failure(Fact(Phase.GREETING, reply))
    await _ehlo(connection, target)
    if target.tls in ("opportunistic", "starttls"):
        await _secure(connection, target)


async def _connect(connection: Connection, target: Target) -> None:
    """Reach the first address that answers (RFC 5321 §5.1: each in turn)."""
    loop = asyncio.get_running_loop()
    async with connection.step(Phase.CONNECT, connection.timeouts.connect):
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    *others, last = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
    for address in others:
        with suppress(Failure):
            return await _dial(connection, target, address)
    return await _dial(connection, target, last)


async def _dial(connection: Connection, target: Target, address: str) -> None:
    implicit = target.tls == "implicit"
    async with connection.step(Phase.CONNECT, connection.timeouts.connect):
        await asyncio.get_running_loop().create_connection(
            lambda: connection,
            address,
            target.port,
            ssl=target.context if implicit else None,
            server_hostname=target.host if implicit else None,
        )
    connection.reached(f"{target.host}[{address}]:{target.port}")


async def _ehlo(connection: Connection, target: Target) -> None:
    hostname = target.hostname.encode("ascii")
    connection.extensions, connection.mechanisms = {}, []
    reply = await connection.command(Phase.EHLO, b"EHLO " + hostname)
    if reply.code == 250:
        connection.extensions, connection.mechanisms = parse_esmtp_extensions(reply.text)
    elif reply.permanent:  # RFC 5321 §3.2: it may know HELO only
        reply = await connection.command(Phase.EHLO, b"HELO " + hostname)
    if reply.code != 250:
        raise Failure(Fact(Phase.EHLO, reply))
    connection.established = Fact(Phase.EHLO, reply)


async def _secure(connection: Connection, target: Target) -> None:
    """STARTTLS (RFC 3207), and EHLO again, because what was said in plaintext does not count (§4.2).

    Where it is offered it must work, in opportunistic mode too: an answer other than 220 can be forged.
    """
    if "starttls" not in connection.extensions:
        if target.tls == "starttls" or target.tls_before:
            raise Failure(Fact(Phase.STARTTLS, error=f"{connection.name}: {_missing_starttls(target)}"))
        return
    assert target.context is not None
    async with connection.step(Phase.STARTTLS, connection.timeouts.command):
        try:
            await connection.start_tls(target.context, server_hostname=target.host)
        except SMTPResponseException as error:
            raise Failure(Fact(Phase.STARTTLS, connection.reply(error.code, error.message))) from None
    await _ehlo(connection, target)


def _missing_starttls(target: Target) -> str:
    if target.tls == "starttls":
        return 'it does not offer STARTTLS, which tls = "starttls" demands'
    return (
        "it offered STARTTLS before and does not now; refusing to send the password in plaintext. Somebody may be in "
        'between; if the smarthost itself gave TLS up, set tls = "none"'
    )


async def login(connection: Connection, username: str, password: str) -> None:
    """AUTH (RFC 4954) with one mechanism: a second one after a refusal brings an account nearer to its lockout.

    LOGIN, which the platform documents, comes before PLAIN.

    :raises Failure:
    """
    user, secret, plain = map(_base64, (username, password, f"\0{username}\0{password}"))
    connection.secrets = (password, user, secret, plain)  # some smarthosts quote what they were sent
    if "login" in connection.mechanisms:
        reply = await connection.command(Phase.AUTH, b"AUTH LOGIN " + user.encode())
        if reply.code == 334 and _asks_for_username(reply.text):  # old ones overlook the initial response
            reply = await connection.command(Phase.AUTH, user.encode())
        if reply.code == 334:
            reply = await connection.command(Phase.AUTH, secret.encode())
    elif "plain" in connection.mechanisms:
        reply = await connection.command(Phase.AUTH, b"AUTH PLAIN " + plain.encode())
    else:
        raise Failure(Fact(Phase.AUTH, error=f"{connection.name}: {_missing_auth(connection)}"))
    connection.secrets = ()
    if reply.code != 235:
        raise Failure(Fact(Phase.AUTH, reply))
    connection.established = Fact(Phase.AUTH, reply)


def _missing_auth(connection: Connection) -> str:
    if connection.mechanisms:
        return f"the smarthost offers AUTH {' '.join(connection.mechanisms).upper()} and neither LOGIN nor PLAIN"
    hint = "" if connection.encrypted else "; it may do so over TLS only"
    return f"the smarthost offers no AUTH, but a username is configured{hint}"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _asks_for_username(challenge: str) -> bool:
    """Whether a 334 says ``Username:``, ``User Name`` or the like, in base64 as it should or not."""
    with suppress(ValueError):
        challenge = base64.b64decode(challenge, validate=True).decode("latin-1")
    return challenge.lower().startswith("user")

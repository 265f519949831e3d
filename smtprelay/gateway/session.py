"""One client's SMTP session: aiosmtpd's protocol with what legacy apps and strict ones need of it.

aiosmtpd brings the transport, its change to TLS and the table of commands; reading, replies, AUTH and DATA are ours,
because its own refuse AUTH after HELO, read messages line by line, answer errors with 500 and the exception's text, and
log passwords (its logger is silenced in `smtprelay.log`).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import cast

import structlog
from aiosmtpd.smtp import SMTP

from smtprelay import metrics
from smtprelay.config import Account
from smtprelay.connections import client_address
from smtprelay.gateway.auth import MAX_LINE, MECHANISMS, read_credentials
from smtprelay.gateway.bare import NO_HOOKS, BareSMTP, Closed, CommandTooLong
from smtprelay.gateway.commands import harmless, parse_mail
from smtprelay.gateway.data import DataDecoder
from smtprelay.gateway.limits import Reservation
from smtprelay.gateway.refusals import envelope_of, reason_of
from smtprelay.gateway.services import Services
from smtprelay.gateway.transaction import Transaction
from smtprelay.instructions import queued_as
from smtprelay.message import Origin
from smtprelay.pipeline import Accepted
from smtprelay.reply import Reject, Reply, SMTPReplyError
from smtprelay.suppression import NotSentTo
from smtprelay.values import Network, contains

log = structlog.get_logger("gateway")

MAX_COMMAND = 2048  # RFC 5321 §4.5.3.1.4 asks for 512, extensions add to it
IDLE = 300.0  # seconds (RFC 5321 §4.5.3.2.7)
LINGER = 10.0  # seconds that a client has to take the last replies
MAX_SESSION = 3600.0  # seconds after which a session that is between two messages ends
MAX_TRANSFER = 3600.0  # seconds for one message: silence alone does not catch a client that drips octets
MAX_UNKNOWN = 10  # commands that are none
MAX_IDLE_COMMANDS = 100  # commands since the last message, or recipient who is not to be sent to, that bring none
MAX_LOGIN_FAILURES = 3
_SENDER_OK = Reply(250, "1.0", "Ok").encode()
_RECIPIENT_OK = Reply(250, "1.5", "Ok").encode()
_FOREIGN = frozenset({"GET", "POST", "PUT", "CONNECT", "OPTIONS"})  # a browser made to talk to us


class Session(BareSMTP):
    """One connection of one client.

    :param tls: where it is set, a handshake comes before the greeting (RFC 8314 §3.3).
    """

    def __init__(self, services: Services, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            NO_HOOKS,
            hostname=services.config.hostname,
            data_size_limit=services.config.max_message_size,
            enable_SMTPUTF8=True,
            timeout=IDLE,
            loop=loop,
        )
        self._services = services
        self._tls = tls
        self._ahead = bytearray()
        self._helo = ""
        self._extended = False  # said EHLO: reads replies of several lines, knows enhanced codes
        self._account: Account | None = None
        self._message: Transaction | None = None
        self._login_failures = 0
        self._unknown = 0
        self._since_message = 0
        self._counted = False
        self._networks: tuple[Network, ...] | None = None  # by which was found out …
        self._in_networks = False  # … that it is in them
        self._waiting = True  # for a command; nothing is under way
        self._began = self._heard_at = loop.time()

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection, or the same one under TLS."""
        super().connection_made(transport)
        if self._original_transport is None:
            self._peer = client_address(transport)
            self._uncounted = self._trusted  # of its address; it is to be the same at the end
            self._counted = self._services.connections.enter(self._peer, trusted=self._uncounted)
            self._services.sessions.add(self)
            if self._counted and self._tls:
                self._begin_tls(self._tls)

    def connection_lost(self, error: Exception | None) -> None:
        """The end; a message whose last dot was read is stored all the same."""
        if self in self._services.sessions:
            self._services.sessions.discard(self)
            if self._counted:
                self._services.connections.leave(self._peer, trusted=self._uncounted)
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """The client has said its last; it may still read. aiosmtpd would drop a message that is being stored."""
        super(SMTP, self).eof_received()
        return not self._secure

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Something was heard. The timer is left to run out and then set anew: that is rarer than commands are."""
        self._heard_at = self.loop.time()
        if self._timeout_handle is None or self._timeout_handle.cancelled():
            self._timeout_handle = self.loop.call_later(duration or IDLE, self._timeout_cb)

    def _timeout_cb(self) -> None:
        left = self._heard_at + IDLE - self.loop.time()
        if left > 0:
            self._timeout_handle = self.loop.call_later(left, self._timeout_cb)
            return
        if self.transport is not None:
            self._write(Reply(421, "4.2", f"{self.hostname} closing: nothing heard for {IDLE:.0f} seconds"))
            self._close()

    def stop(self) -> None:
        """End politely: at once between two messages, otherwise after the one under way. Who is not greeted yet hears
        421 in place of 220, as of postscreen(8): for clients that is temporary too (RFC 5321 §3.8)."""
        if self._waiting and self.transport is not None:
            self._write(self._goodbye())
            self._close()

    def _close(self) -> None:
        """End once the client has taken the last replies; close() alone would wait for that for ever."""
        if self.transport is not None:
            if not self.transport.is_closing():  # closed twice, asyncio's TLS can neither be asked nor aborted any more
                self.transport.close()
            self._silence_timer()
            self._timeout_handle = self.loop.call_later(LINGER, self.abort)

    def _silence_timer(self) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()

    def abort(self) -> None:
        """End now."""
        if self.transport is not None:
            cast("asyncio.WriteTransport", self.transport).abort()

    @property
    def _secure(self) -> bool:
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is not None

    def _goodbye(self) -> Reply:
        return Reply(421, "3.2", f"{self.hostname} is shutting down; try again in a minute")

    # Replies

    def _write(self, reply: Reply | bytes) -> None:
        octets = reply if isinstance(reply, bytes) else reply.encode(one_line=not self._extended)
        self._writer.write(octets)

    async def push(self, status: Reply | bytes | str) -> None:
        """Send a reply. A text is aiosmtpd's own, which lacks the enhanced code."""
        if isinstance(status, str):
            status = Reply(int(status[:3]), "0.0", status[4:])
        self._write(status)
        await self._writer.drain()

    async def _refuse(
        self, error: SMTPReplyError, command: str, account: Account | None, about: Mapping[str, str | None]
    ) -> None:
        metrics.REFUSED.add(command.lower(), reason_of(error))
        log.info(
            "refused",
            command=command,
            client=self._peer,
            account=account.username if account else "",
            **about,
            reply=str(error.reply),
        )
        await self.push(error.reply)

    # The conversation

    async def _handle_client(self) -> None:
        try:
            if self._counted:
                await self._converse()
            elif not self._tls:  # there, not even a handshake is worth it
                await self.push(Reply(421, "7.0", "Too many connections; close some, or raise max_connections"))
        except (Closed, ConnectionError):
            pass
        finally:
            self._close()

    async def _converse(self) -> None:
        if self._tls:
            await self._shake_hands()
        await self.push(f"220 {self.hostname} ESMTP smtprelay\r\n".encode())
        while self.transport is not None and not self.transport.is_closing():
            await self._answer()

    async def _answer(self) -> None:
        """Read one command and answer it."""
        message = self._message
        if message is None and self.loop.time() - self._began > MAX_SESSION:
            await self._end(Reply(421, "4.2", "This session lasts too long; connect again"))
            return
        try:
            line = await self._hear(MAX_COMMAND)
        except CommandTooLong:
            await self.push(Reply(500, "5.2", f"Command longer than {MAX_COMMAND} octets"))
            return
        self._reset_timeout()
        verb, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
        verb, argument = verb.upper(), argument.strip()
        account = self._account  # the reason of a refusal may be that it is gone
        try:
            await self._perform(verb, argument)
        except SMTPReplyError as error:
            # What is no command may be a password in base64, of a client that did not see its AUTH refused.
            known = verb if verb in _VERBS else "unknown"
            await self._refuse(error, known, account, envelope_of(verb, argument, message))
        except (Closed, ConnectionError):
            raise Closed from None
        except Exception:
            # We could not; that is no verdict on the message, so never 5yz, and never the exception's text.
            log.exception("session failed", client=self._peer, command=verb)
            metrics.REFUSED.add(verb.lower() if verb in _VERBS else "unknown", "failure")
            self._set_rset_state()
            await self.push(Reply(451, "3.0", "Internal error; the message was not taken"))

    async def _hear(self, limit: int) -> bytes:
        """The client's next line. Between two messages a stop does not wait for it. :raises Closed: there was one."""
        between_messages = self._message is None
        if self._services.stopping and between_messages:
            await self._end(self._goodbye())
            raise Closed
        self._waiting = between_messages and not self._ahead
        try:
            return await self._read_line(limit)
        finally:
            self._waiting = False

    async def _perform(self, verb: str, argument: str) -> None:
        self._since_message += 1
        recipients = len(self._message.recipients) if self._message else 0
        if self._since_message > MAX_IDLE_COMMANDS + 2 * recipients:
            await self._end(Reply(421, "7.0", "Too many commands without a message"))
            return
        method = _VERBS.get(verb)
        if method is not None:
            await method(self, argument)
            return
        self._unknown += 1
        if verb in _FOREIGN or self._unknown > MAX_UNKNOWN:
            await self._end(Reply(421, "7.0", "This is an SMTP server; goodbye"))
            return
        raise Reject(500, "5.2", "Command not recognised")

    async def _end(self, reply: Reply) -> None:
        await self.push(reply)
        self._close()

    def _set_rset_state(self) -> None:
        super()._set_rset_state()  # type: ignore[no-untyped-call]
        self._message = None

    @property
    def _trusted(self) -> bool:
        networks = self._services.config.trusted_networks
        if networks is not self._networks:  # until a reload, the same all the time
            self._networks, self._in_networks = networks, contains(networks, self._peer)
        return self._in_networks

    @property
    def _origin(self) -> Origin:
        protocol = "ESMTP" if self._extended or self._account else "SMTP"
        protocol += "S" * self._secure + "A" * (self._account is not None)  # RFC 3848
        return Origin(self._peer, self._helo, protocol, self._account.username if self._account else "")

    # Greeting, and what brings no message

    async def smtp_HELO(self, hostname: str) -> None:
        """RFC 5321 §4.1.1.1. AUTH is taken after it too: the platform's own sample does so."""
        self._greet(hostname)
        self._extended = False
        await self.push(f"250 {self.hostname}\r\n".encode())

    async def smtp_EHLO(self, hostname: str) -> None:
        """RFC 5321 §4.1.1.1."""
        self._greet(hostname)
        self._extended = True
        lines = [self.hostname, "PIPELINING", f"SIZE {self._services.config.max_message_size}", "8BITMIME", "SMTPUTF8"]
        lines += ["DSN", "ENHANCEDSTATUSCODES"]
        if self._services.tls.context and not self._secure:
            lines.append("STARTTLS")
        if self._services.accounts and self._may_log_in:
            lines.append("AUTH LOGIN PLAIN")
        last = len(lines) - 1
        await self.push("".join(f"250{' -'[i < last]}{line}\r\n" for i, line in enumerate(lines)).encode())

    def _greet(self, hostname: str) -> None:
        if not hostname:
            raise Reject(501, "5.4", "Syntax: EHLO hostname")
        self._set_rset_state()
        self._helo = harmless(hostname)

    async def smtp_NOOP(self, argument: str) -> None:
        """RFC 5321 §4.1.1.9."""
        await self.push(Reply(250, "0.0", "Ok"))

    async def smtp_RSET(self, argument: str) -> None:
        """RFC 5321 §4.1.1.5."""
        self._set_rset_state()
        await self.push(Reply(250, "0.0", "Ok"))

    async def smtp_VRFY(self, argument: str) -> None:
        """RFC 5321 §3.5.3: nobody is told who exists."""
        await self.push(Reply(252, "5.0", "Send the message; that is how an address is tried"))

    async def smtp_EXPN(self, argument: str) -> None:
        """RFC 5321 §3.5.2."""
        raise Reject(502, "5.1", "EXPN is not implemented")

    async def smtp_HELP(self, argument: str) -> None:
        """RFC 5321 §4.1.1.8."""
        await self.push(Reply(214, "0.0", "Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP QUIT"))

    async def smtp_QUIT(self, argument: str) -> None:
        """RFC 5321 §4.1.1.10."""
        await self._end(Reply(221, "0.0", "Bye"))

    async def smtp_STARTTLS(self, argument: str) -> None:
        """RFC 3207. What the client said before is forgotten, and what it sent ahead in plaintext is dropped (§6)."""
        context = self._services.tls.context
        if context is None:
            raise Reject(502, "5.1", "STARTTLS is not offered here")
        if self._secure:
            raise Reject(503, "5.1", "TLS is active already")
        self._ahead.clear()
        self._helo, self._extended, self._account = "", False, None
        await self.push(Reply(220, "0.0", "Ready to start TLS"))
        self._begin_tls(context)
        await self._shake_hands()

    async def _shake_hands(self) -> None:
        """Wait for the handshake, where a stop does not wait for it, nor came before it."""
        self._waiting = True
        if self._services.stopping:
            self.stop()
        await super()._shake_hands()

    # AUTH

    @property
    def _may_log_in(self) -> bool:
        return self._secure or contains(self._services.config.plaintext_auth_networks, self._peer)

    async def smtp_AUTH(self, argument: str) -> None:
        """RFC 4954. Nothing of the exchange is logged."""
        mechanism, _, initial = argument.partition(" ")
        self._check_auth(mechanism)
        try:
            self._account = await self._log_in(mechanism.upper(), initial.strip())
        except Reject as refusal:
            self._login_failures += 1
            await asyncio.sleep(self._services.login_delay * self._login_failures)
            if self._login_failures < MAX_LOGIN_FAILURES:
                raise
            await self._refuse(refusal, "AUTH", None, {})
            self._close()
        else:
            await self.push(Reply(235, "7.0", "Authentication successful"))

    def _check_auth(self, mechanism: str) -> None:
        if not self._helo:
            raise Reject(503, "5.1", "Send EHLO first")
        if not self._services.accounts:
            raise Reject(502, "5.1", "No accounts are configured: send without AUTH, or add [[gateway.accounts]]")
        if not self._may_log_in:
            raise Reject(538, "7.11", "AUTH needs TLS here: send STARTTLS first")
        if self._account or self._message:
            raise Reject(503, "5.1", "AUTH comes once, and before MAIL")
        if mechanism.upper() not in MECHANISMS:
            raise Reject(504, "5.4", "Use AUTH LOGIN or AUTH PLAIN")

    async def _log_in(self, mechanism: str, initial: str) -> Account:
        username, password = await read_credentials(mechanism, initial, self._ask)
        account = await self._services.accounts.verify(username, password)
        if account is None:
            log.warning("log-in refused", client=self._peer, account=username)
            raise Reject(535, "7.8", "Username or password is wrong; see [[gateway.accounts]]")
        return account

    async def _ask(self, challenge: bytes) -> bytes:
        await self.push(challenge)
        return await self._hear(MAX_LINE)

    # MAIL, RCPT, DATA

    async def smtp_MAIL(self, argument: str) -> None:
        """RFC 5321 §4.1.1.2, with SIZE, BODY, SMTPUTF8, RET and ENVID."""
        if not self._helo:
            raise Reject(503, "5.1", "Send EHLO first")
        if self._message:
            raise Reject(503, "5.1", "MAIL was sent already; RSET begins anew")
        self._renew_account()
        if not self._account and not self._trusted:
            raise Reject(530, "7.0", "Log in first (AUTH), or have your network added to trusted_networks")
        services, charsets = self._services, self._account.charsets if self._account else ()
        message = Transaction(services.config, services.pipeline, self._origin, charsets, parse_mail(argument))
        await message.check()
        self._message = message
        await self.push(_SENDER_OK)

    def _renew_account(self) -> None:
        """The account as it is configured now. :raises Reject: 530 5.7.0: it is so no more."""
        if self._account is None:
            return
        before, self._account = self._account, self._services.accounts.current(self._account)
        if self._account is None:
            raise Reject(
                530, "7.0", f"Account {before.username} is gone, or has another password by now: log in again (AUTH)"
            )

    async def smtp_RCPT(self, argument: str) -> None:
        """RFC 5321 §4.1.1.3, with NOTIFY and ORCPT."""
        if not self._message:
            raise Reject(503, "5.1", "Send MAIL first")
        try:
            await self._message.add(argument)
        except NotSentTo:  # as good as taken: of a list of dead addresses each is
            self._since_message = 0
            raise
        await self.push(_RECIPIENT_OK)

    async def smtp_DATA(self, argument: str) -> None:
        """RFC 5321 §4.1.1.4. Never refused here: some clients send the message without waiting for 354, and a
        refusal would have its lines read as commands. The verdict comes after the dot."""
        message = self._message
        if not message or not message.recipients:
            await self._receive(DataDecoder(0))  # nothing of it is kept: a stranger may have sent it
            self._set_rset_state()
            raise Reject(554, "5.1", "No valid recipients")
        async with AsyncExitStack() as stack:
            decoder = message.decoder()
            room = await stack.enter_async_context(self._services.memory.reserve(decoder.limit))
            await self._receive(decoder, room)
            began = time.monotonic()
            self._set_rset_state()
            self._since_message = 0
            if decoder.too_big:
                raise Reject(552, "3.4", f"The message is larger than this relay takes ({decoder.limit} octets)")
            accepted = await self._submit(message, decoder, stack.pop_all())
        await self.push(Reply(250, "0.0", queued_as(accepted.ids, before=accepted.before)))
        metrics.ACCEPT_SECONDS.observe(time.monotonic() - began)

    async def _receive(self, decoder: DataDecoder, room: Reservation | None = None) -> None:
        """The octets up to the last dot; what follows them stays for the next command."""
        await self.push(b"354 End data with <CR><LF>.<CR><LF>\r\n")
        try:
            async with asyncio.timeout(MAX_TRANSFER):
                while not decoder.feed(await self._next_chunk()):
                    if room and not decoder.too_big:
                        await room.cover(decoder.size)
        except TimeoutError:
            await self._end(Reply(421, "4.2", f"The message took longer than {MAX_TRANSFER:.0f} seconds"))
            raise Closed from None
        self._ahead[:] = decoder.rest

    async def _next_chunk(self) -> bytes:
        if not self._ahead:
            await self._fill()
            self._reset_timeout()
        chunk = bytes(self._ahead)
        self._ahead.clear()
        return chunk

    async def _submit(self, message: Transaction, decoder: DataDecoder, held: AsyncExitStack) -> Accepted:
        """Returns once the message is on disk. A client that drops after the dot does not stop that.

        :param held: the message's share of the memory, given back once it is stored.
        """
        task = asyncio.create_task(message.submit(decoder, held))
        self._services.submissions.add(task)
        task.add_done_callback(self._services.submissions.discard)
        self._silence_timer()  # it is our turn; to close now would have the client send again what is being stored
        try:
            return await asyncio.shield(task)
        finally:
            del task  # a refusal holds this frame: together they would keep the message until the next collection
            if self.transport is not None:
                self._reset_timeout()


_VERBS: dict[str, Callable[[Session, str], Awaitable[None]]] = {
    name.removeprefix("smtp_"): method for name, method in vars(Session).items() if name.startswith("smtp_")
}

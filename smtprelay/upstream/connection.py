"""A connection to a smarthost: single commands, and the body (RFC 5321).

It stands on aiosmtplib's protocol, not on its `SMTP` client, whose `connect` and `data` hide how far they got.
Here every step has its phase and its timeout, and what breaks a step is raised as a `Failure` with the fact of it.
Some of that protocol's protected members are used, with care: pyproject.toml keeps aiosmtplib below its next major.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, cast

from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.protocol import MAX_RESPONSE_LENGTH, SMTPProtocol

from smtprelay.config import Timeouts
from smtprelay.network import why_failed
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reply

PIECE = 4096  # octets of replies that aiosmtplib sees at once: its limit is meant for one reply, not for several
BLOCK = 64 * 1024  # octets written between two looks at the connection
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
QUIT_PATIENCE = 3_000  # milliseconds for the answer to QUIT: nothing depends on it


@dataclass(slots=True)
class Progress:
    """How far a `send` has come; its caller looks here after cancelling it.

    :param smarthost: ``host[address]:port``; ``""`` until it is reached.
    """

    phase: Phase = Phase.CONNECT
    smarthost: str = ""

    @property
    def dot_sent(self) -> bool:
        """The message may have been accepted: the final dot was written (RFC 1047)."""
        return self.phase is Phase.DOT


class Failure(Exception):
    """The dialogue ended before its time.

    :ivar lost: the other side closed the connection; a timeout or a refusal is something else.
    """

    def __init__(self, fact: Fact, *, lost: bool = False) -> None:
        super().__init__(str(fact))
        self.fact = fact
        self.lost = lost


class _Step:
    """See `Connection.step`. A class, as it is entered for every command: contextlib takes three times as long.

    ``with`` is for what does not wait.
    """

    __slots__ = ("_connection", "_phase", "_timeout", "_timer")

    def __init__(self, connection: Connection, phase: Phase, timeout: int) -> None:
        self._connection = connection
        self._phase = phase
        self._timeout = timeout

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, (SMTPException, OSError)):
            raise self._connection.broken(self._phase, error, self._timeout) from None

    async def __aenter__(self) -> None:
        self._timer = asyncio.timeout(self._timeout / 1000)
        await self._timer.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._timer.__aexit__(kind, error, traceback)
        except TimeoutError as timeout:
            error = timeout
        self.__exit__(kind, error, traceback)


class Connection(SMTPProtocol):
    """A connection to a smarthost; `smtprelay.upstream.handshake` brings it up.

    :ivar place: ``host:port``.
    :ivar smarthost: ``host[address]:port``; ``""`` until it is reached.
    :ivar extensions: what was offered at the last EHLO; keywords in lower case.
    :ivar mechanisms: those of AUTH, in lower case.
    :ivar established: the last reply of the handshake: that to AUTH, or to EHLO where there is no log-in.
    :ivar secrets: what no text may quote.
    :ivar transactions: begun so far.
    :ivar reset_due: the last transaction was not completed; RSET must come before the next.
    :ivar reused: it has lain idle, so that the smarthost may have closed it without our notice.
    """

    def __init__(self, place: str, timeouts: Timeouts, progress: Progress) -> None:
        super().__init__()
        self.timeouts = timeouts
        self.smarthost = ""
        self.extensions: dict[str, str] = {}
        self.mechanisms: list[str] = []
        self.established = Fact(Phase.CONNECT)
        self.secrets: Sequence[str] = ()
        self.transactions = 0
        self.reset_due = False
        self.reused = False
        self.place = place
        self._progress = progress
        self._ahead: deque[bytes] = deque()  # commands that were sent and not yet answered

    @property
    def name(self) -> str:
        return self.smarthost or self.place

    @property
    def encrypted(self) -> bool:
        return self._over_ssl

    @property
    def usable(self) -> bool:
        """Whether another transaction may begin here, as far as can be seen from this side."""
        return self.is_connected and not self._buffer and not self._ahead

    def attach(self, progress: Progress) -> None:
        """Tell from now on somebody else how far it goes."""
        self._progress = progress
        progress.smarthost = self.smarthost

    def reached(self, smarthost: str) -> None:
        self.smarthost = self._progress.smarthost = smarthost

    def step(self, phase: Phase, timeout: int = 0) -> _Step:
        """A step of the dialogue. Where one breaks the connection is closed: the replies on it would be shifted.

        :param timeout: in milliseconds.
        :raises Failure: for whatever the network or the smarthost does.
        """
        self._progress.phase = phase
        return _Step(self, phase, timeout)

    def broken(self, phase: Phase, error: Exception, timeout: int) -> Failure:
        """Close, and tell what has broken a step."""
        self.abort()
        self._ahead.clear()
        words = self._conceal(f"{self.name}: {_words(error, timeout)}")
        fact = Fact(phase, error=words, ambiguous=phase is Phase.DOT)
        return Failure(fact, lost=isinstance(error, ConnectionError))

    def send_ahead(self, phase: Phase, commands: Sequence[bytes]) -> None:
        """Send commands without waiting for replies (RFC 2920); `command` then only takes the reply to each, in order.

        :raises Failure: the connection is gone.
        """
        if _CONTROLS.search(b"".join(commands)):
            raise ValueError("a command holds control characters")
        with self.step(phase):
            self._expect_nothing()
            self._response_pending = True
            self.write(b"".join(command + b"\r\n" for command in commands))
            self._ahead.extend(commands)

    async def command(self, phase: Phase, command: bytes, timeout: int = 0) -> Reply:
        """Send a command, unless it was sent ahead; return the reply to it.

        :param timeout: in milliseconds; by default that for commands.
        :raises Failure: where none came.
        """
        alone = not self._ahead
        if alone:
            self.send_ahead(phase, [command])
        assert self._ahead[0] == command, "commands that were sent ahead are answered in their order"
        reply = await self.next_reply(phase, timeout or self.timeouts.command)
        self._ahead.popleft()
        # More replies than commands: who knows which was to which? A refusal stands, and 421 may come at any time
        # (RFC 5321 §3.8).
        shifted = self._buffer and not self._buffer.startswith(b"421")
        if shifted and not self._ahead and not (alone and reply.code >= 400):
            with self.step(phase):
                self._expect_nothing()
        return reply

    @property
    def ahead(self) -> tuple[bytes, ...]:
        """The commands that were sent and not yet answered."""
        return tuple(self._ahead)

    async def next_reply(self, phase: Phase, timeout: int) -> Reply:
        """The reply to what was written already. :raises Failure: where none came."""
        waiter = self._response_waiter
        if self._buffer and (waiter is None or not waiter.done()):  # it came with the one before
            with self.step(phase):
                response = self._read_response_from_buffer()
                if response:
                    return self.reply(response.code, response.message)
        async with self.step(phase, timeout):
            response = await self.read_response()
            return self.reply(response.code, response.message)

    def data_received(self, data: bytes) -> None:
        """aiosmtplib throws away what comes while nobody waits: here it may be the next reply of several."""
        for start in range(0, len(data), PIECE):
            waiter = self._response_waiter
            if self._ahead and waiter is not None and (waiter.done() or not self._response_pending):
                self._buffer += data[start : start + PIECE]
            else:
                super().data_received(data[start : start + PIECE])
        if len(self._buffer) > MAX_RESPONSE_LENGTH * (len(self._ahead) + 1):
            self.abort()

    def reply(self, code: int, text: str) -> Reply:
        """A reply as we keep it. After a 421 the connection is closed (RFC 5321 §3.8)."""
        if not 200 <= code <= 599:
            raise SMTPResponseException(code, f"a reply of code {code}: {text}")
        if code == 421:
            self.close()
        return Reply.received(code, self._conceal(_printable(text)))

    async def send_body(self, content: AsyncIterator[bytes]) -> Reply:
        """Send what follows a 354, and the final dot; return the reply to it.

        :param content: lines that end in <CRLF>, the last one too; in chunks of any size.
        :raises Failure: also for a reply before the dot: it says why the smarthost wants no more.
        """
        with self.step(Phase.DATA):
            self._expect_nothing()
        self._response_pending = True  # or aiosmtplib would throw an early reply away
        before, last = b"\r\n", b""
        async with aclosing(self._blocks(content)) as blocks:
            async for block in blocks:
                if last:
                    await self._write_block(last)
                # RFC 5321 §4.5.2: a line that begins with a dot gets another. The two octets before the block come
                # along, as a line may begin where it does.
                text = before + block
                before = text[-2:]
                last = text.replace(b"\r\n.", b"\r\n..")[2:]
        if self._ended:
            await self._fail_early()
        with self.step(Phase.DOT):  # from here on it is ambiguous
            self.write(last + b".\r\n")
        return await self.next_reply(Phase.DOT, self.timeouts.dot)

    async def _blocks(self, content: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        try:
            async for chunk in content:
                for start in range(0, len(chunk), BLOCK):
                    yield chunk[start : start + BLOCK]
        except Exception as error:
            self.abort()  # before the dot: half a message must not look like a whole one
            raise Failure(Fact(Phase.DATA, error=str(error) or repr(error), corrupt=True)) from error
        finally:
            if isinstance(content, AsyncGenerator):
                await content.aclose()

    async def _write_block(self, block: bytes) -> None:
        lost = False
        try:
            async with self.step(Phase.DATA, self.timeouts.block):
                self.write(block)
                await self._drain_helper()
                await asyncio.sleep(0)  # let others run, and let a reply in
        except Failure as failure:
            lost = failure.lost
            if not lost:
                raise
        if lost or self._ended:
            await self._fail_early()

    @property
    def _ended(self) -> bool:
        """The smarthost has answered before the dot, or closed the connection."""
        return not self.is_connected or self._response_waiter is None or self._response_waiter.done()

    async def _fail_early(self) -> NoReturn:
        """Fail with the smarthost's last words, where they came through, rather than with their consequence."""
        reply = await self.next_reply(Phase.DATA, self.timeouts.block)
        self.abort()
        raise Failure(Fact(Phase.DATA, reply))

    def _expect_nothing(self) -> None:
        """What is left of the last reply would be taken for the next one, and so on to the end."""
        if self._buffer:
            raise SMTPResponseException(-1, "more than one reply to a command")

    async def quit(self) -> None:
        """Leave politely, but soon."""
        self.attach(Progress())
        with suppress(Failure):
            await self.command(Phase.UNKNOWN, b"QUIT", timeout=QUIT_PATIENCE)
        self.close()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once; what is still in the buffer is not sent."""
        if self.transport is not None:
            cast("asyncio.Transport", self.transport).abort()

    def _conceal(self, text: str) -> str:
        for secret in filter(None, self.secrets):
            text = re.sub(re.escape(secret), "…", text, flags=re.IGNORECASE)
        return text


def _printable(text: str) -> str:
    """A reply without what harms terminals, logs and databases; aiosmtplib leaves octets that are not UTF-8 as
    surrogates."""
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if char.isprintable() or char == "\n" else " " if char.isspace() else "?" for char in text)


def _words(error: Exception, timeout: int) -> str:
    match error:
        case SMTPResponseException():
            return f"it does not keep to SMTP: {_printable(error.message)}"
        case SMTPServerDisconnected() | ConnectionResetError():
            return "it closed the connection"
        case TimeoutError() if not error.errno:
            return f"no answer within {timeout / 1000:g} s"
        case OSError():
            return why_failed(error)
    return str(error)

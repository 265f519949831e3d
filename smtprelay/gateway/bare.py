"""What a session stands on: aiosmtpd's protocol without what is in our way, how it reads, how TLS begins, and how a
conversation breaks off."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress

from aiosmtpd.smtp import SMTP

from smtprelay.connections import begin_tls

CHUNK = 2**16  # octets read at once


class Closed(Exception):
    """The client is gone."""


class CommandTooLong(Exception):
    """A line beyond the limit; it was read to its end."""


class _Bare:
    """aiosmtpd looks through all the members of a handler, and of each new session, for hooks and verbs, which takes as
    long as all the rest of a session's start. The verbs are known, and there are no hooks."""

    def __dir__(self) -> Iterable[str]:
        return ()


class _CommandSizes(dict[str, int]):
    """The table of command sizes belongs to the class, yet each session clears it: ours does not change."""

    def clear(self) -> None: ...


class BareSMTP(_Bare, SMTP):
    """One connection."""

    command_size_limits = _CommandSizes()
    line_length_limit = CHUNK  # of the stream reader: how much it buffers
    _ahead: bytearray  # read, and not used yet: clients talk ahead
    _handshake: asyncio.Future[None]  # of TLS, where it has begun

    async def _fill(self) -> None:
        chunk = await self._reader.read(CHUNK)
        if not chunk:
            raise Closed
        self._ahead += chunk

    async def _read_line(self, limit: int) -> bytes:
        """One line without its end; bare <LF> ends a command too."""
        searched = 0
        too_long = False
        while (end := self._ahead.find(b"\n", searched)) < 0:
            if len(self._ahead) > limit:
                too_long = True
                self._ahead.clear()
            searched = len(self._ahead)
            await self._fill()
        line = bytes(self._ahead[:end]).rstrip(b"\r")
        del self._ahead[: end + 1]
        if too_long or len(line) > limit:
            raise CommandTooLong
        return line

    def _begin_tls(self, context: ssl.SSLContext) -> None:
        """Have the handshake begin. aiosmtpd's names: with them it takes over the transport in `connection_made`."""
        assert self.transport is not None
        self._original_transport = self.transport
        self._tls_protocol, self._handshake = begin_tls(self.transport, self, context)
        self.transport = self._tls_protocol._app_transport
        self._writer._transport = self.transport  # type: ignore[attr-defined]  # no reply goes out in plaintext any more

    async def _shake_hands(self) -> None:
        """Wait for the handshake. :raises Closed: TLS never began, and the connection has ended."""
        with suppress(OSError):  # SSLError among them
            await self._handshake
        assert self.session is not None
        if self.session.ssl is None:
            self.connection_lost(None)
            raise Closed


NO_HOOKS = _Bare()

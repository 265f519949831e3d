"""What a session stands on: aiosmtpd's protocol without what is in our way, how it reads, and how a conversation breaks
off."""

from __future__ import annotations

from collections.abc import Iterable

from aiosmtpd.smtp import SMTP

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


NO_HOOKS = _Bare()

"""What a session stands on: aiosmtpd's protocol without what is in our way, and how a conversation breaks off."""

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


NO_HOOKS = _Bare()

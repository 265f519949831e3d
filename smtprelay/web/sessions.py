"""Who is logged in: sessions in memory, forgotten when the daemon ends."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

IDLE = 2 * 3600.0  # seconds after the last request
LONGEST = 12 * 3600.0  # seconds after the log-in
MAX_SESSIONS = 100  # the one that rested longest goes first


@dataclass(slots=True)
class Session:
    """A log-in.

    :param csrf: the token that its forms carry.
    :param since: when it began, and
    :param seen: when it was last used; monotonic seconds.
    :param notice: what came of the last action, to be told once.
    :param ended: set at log-out.
    """

    account: str
    csrf: str
    since: float
    seen: float
    notice: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Sessions:
    """All of them.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}  # by the token's hash: whoever reads memory gets no tokens

    def open(self, account: str) -> tuple[str, Session]:
        """A new session. :returns: the token that the browser keeps, and the session."""
        self.forget_expired()
        while len(self._sessions) >= MAX_SESSIONS:
            self._end(min(self._sessions, key=lambda key: self._sessions[key].seen))
        token, now = secrets.token_urlsafe(32), self._clock()
        session = Session(account, secrets.token_urlsafe(32), now, now)
        self._sessions[_key(token)] = session
        return token, session

    def find(self, token: str) -> Session | None:
        """The session of this token, which is used now."""
        self.forget_expired()
        session = self._sessions.get(_key(token))
        if session:
            session.seen = self._clock()
        return session

    def close(self, token: str) -> None:
        """Log out."""
        if _key(token) in self._sessions:
            self._end(_key(token))

    def keep_only(self, accounts: set[str]) -> None:
        """End those of accounts that are there no more."""
        for key, session in list(self._sessions.items()):
            if session.account not in accounts:
                self._end(key)

    def forget_expired(self) -> None:
        """End those that rested too long, or are too old."""
        now = self._clock()
        for key, session in list(self._sessions.items()):
            if now - session.seen > IDLE or now - session.since > LONGEST:
                self._end(key)

    def _end(self, key: bytes) -> None:
        self._sessions.pop(key).ended.set()


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

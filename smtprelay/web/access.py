"""Who asks, and what that lets them see.

Without a log-in, figures are for programs and people on this machine: the client's address and ours are loopback, the
browser was told a loopback name (with DNS rebinding, a page from elsewhere reaches us under its own name), and no proxy
passed it on, since a proxy's clients may be anywhere.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request

from smtprelay.accounts import Accounts
from smtprelay.config.status import StatusAccount
from smtprelay.connections import unmapped
from smtprelay.values import is_loopback
from smtprelay.web.language import Words, preferred
from smtprelay.web.sessions import Session, Sessions
from smtprelay.web.throttle import Throttle

MAX_WAITING = 10  # passwords that are being verified: each takes 19 MiB and 30 ms in its turn

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Needs(IntEnum):
    """What a route wants to know of who asks."""

    NOTHING = 0
    FIGURES = 1  # on this machine, or logged in
    ACCOUNT = 2


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, and who makes it.

    :param account: the name that logged in, or ``""``.
    :param session: of a browser; None where a program sent its password along.
    :param is_local: made on this machine.
    :param is_secure: over TLS, ours or a proxy's.
    :param form: what was posted.
    """

    request: Request
    words: Words
    is_local: bool
    is_secure: bool
    account: str = ""
    session: Session | None = None
    form: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def unknown(cls, request: Request) -> Visit:
        """Before it is known who asks."""
        words = Words(preferred(request.headers.get("accept-language", "")))
        return cls(request, words, is_local(request), is_secure(request))

    def may(self, needs: Needs) -> bool:
        """Whether this visitor may have what needs so much."""
        return bool(self.account) or needs <= (Needs.FIGURES if self.is_local else Needs.NOTHING)

    @property
    def cookie(self) -> str:
        """The name of the cookie that holds the session's token."""
        return cookie_name(self.is_secure)


class TooManyTries(Exception):
    """A password was not even looked at. :ivar wait: seconds until the next try."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait


class Access:
    """Finds out who asks.

    :param configured: the accounts that there are now: a reload may change them.
    """

    def __init__(
        self, configured: Callable[[], Sequence[StatusAccount]], sessions: Sessions, throttle: Throttle
    ) -> None:
        self._configured = configured
        self._sessions = sessions
        self._throttle = throttle
        self._known = configured()
        self._accounts = Accounts(self._known)
        self._waiting = 0

    def has_accounts(self) -> bool:
        """Whether anybody could log in."""
        self.follow()
        return bool(self._accounts)

    def follow(self) -> None:
        """Take over the accounts of another configuration, and end sessions that are over. Whose password changed has
        to log in again."""
        self._sessions.forget_expired()
        configured = self._configured()
        if configured != self._known:
            self._sessions.keep_only({account.username for account in configured if account in self._known})
            self._accounts.close()
            self._known, self._accounts = configured, Accounts(configured)

    async def visit(self, request: Request, *, basic: bool) -> Visit:
        """Who makes this request.

        :param basic: a password that comes along counts (RFC 7617): for programs. A browser would send it with what
            another site has it ask for, too.
        :raises TooManyTries: of a password that came along.
        """
        self.follow()
        visit = Visit.unknown(request)
        session = self._sessions.find(request.cookies.get(visit.cookie, ""))
        account = session.account if session else ""
        if basic and not account:
            account = await self._basic(request)
        return replace(visit, account=account, session=session)

    async def verify(self, username: str, password: str, client: str) -> bool:
        """Whether the password is right. :raises TooManyTries: it was not looked at."""
        if wait := self._throttle.wait(client) or float(self._waiting >= MAX_WAITING):
            raise TooManyTries(wait)
        if not self._accounts:
            return False
        self._throttle.begin(client)
        self._waiting += 1
        try:
            verified = await self._accounts.verify(username, password) is not None
        finally:
            self._waiting -= 1
        if verified:
            self._throttle.succeeded(client)
        return verified

    def log_in(self, account: str) -> str:
        """Open a session. :returns: its token."""
        return self._sessions.open(account)[0]

    def log_out(self, visit: Visit) -> None:
        """End the session of this visit."""
        self._sessions.close(visit.request.cookies.get(visit.cookie, ""))

    async def _basic(self, request: Request) -> str:
        scheme, _, octets = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            username, _, password = base64.b64decode(octets, validate=True).decode().partition(":")
        except ValueError:
            return ""
        return username if await self.verify(username, password, client_of(request)) else ""


def client_of(connection: HTTPConnection) -> str:
    """The client's address."""
    return unmapped(connection.client.host) if connection.client else ""


def cookie_name(secure: bool) -> str:
    """RFC 6265bis §4.1.3.2: a cookie with this prefix is the host's own, and never sent in the clear."""
    return "__Host-smtprelay" if secure else "smtprelay"


def is_secure(connection: HTTPConnection) -> bool:
    """Whether the browser speaks TLS, with us or with the proxy before us."""
    return connection.url.scheme == "https" or connection.headers.get("x-forwarded-proto", "") == "https"


def is_local(connection: HTTPConnection) -> bool:
    """Whether somebody on this machine asks; see above."""
    ours, _port = connection.scope.get("server") or ("", 0)
    return (
        is_loopback(client_of(connection))
        and is_loopback(unmapped(ours))
        and _is_local_name(connection.headers.get("host", ""))
        and not any(name in connection.headers for name in _FORWARDED)
    )


def _is_local_name(host: str) -> bool:
    """RFC 6761 §6.3: what ends in localhost is loopback, whatever DNS says."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name.endswith(".localhost") or is_loopback(name)


def is_same_origin(request: Request) -> bool:
    """Whether a form was posted by a page of ours. A browser says so itself (Fetch Metadata); an older one tells the
    origin (RFC 6454); what tells neither is none."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")

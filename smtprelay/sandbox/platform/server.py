"""A stand-in for the platform's HTTP API: every call of its document, with state, and as badly behaved as it is told.

async with Platform(quirks={Quirk.GBK}) as platform:
    platform.state.fail("ann@example.org", "1")
    ...  # ask platform.url, as platform.username with platform.password
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Self

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from smtprelay.sandbox.platform.calls import CALLS
from smtprelay.sandbox.platform.forms import Answer, Refused, render
from smtprelay.sandbox.platform.quirks import IN_PLACE, UNAUTHORIZED_PAGE, Quirk
from smtprelay.sandbox.platform.records import Domain
from smtprelay.sandbox.platform.request import Request, log_in
from smtprelay.sandbox.platform.state import State

if TYPE_CHECKING:
    from smtprelay.sandbox.nameserver import NameServer
    from smtprelay.sandbox.smarthost import Received

SPF_INCLUDE, MX = "include:spf.bestedm.org", "mail.bestedm.org."

LAST_ANSWERS = 5.0  # seconds that calls under way get at the end


class Platform:
    """An HTTP server on loopback, for one customer and the manager above it.

    :param mailboxes: address → password; their domains are the customer's. A smarthost with `Platform.credentials` lets
        them log in, and one with `Platform.take` has its mail counted here.
    :param dns: where it looks whether a domain is set up for it.
    :ivar state: what it knows; may be changed at any time.
    :ivar set_up: the domains whose DNS is right, where there is no `dns`.
    :ivar quirks: of every answer; may be changed at any time.
    :ivar once: quirks of the next answers, one each, besides those.
    :ivar slowness: seconds by which an answer is late that has `Quirk.SLOW`.
    :ivar requests: all calls so far that came with a log-in.
    """

    manager = ("manager", "manager-password")  # who may call what is the manager's alone

    def __init__(
        self,
        *,
        username: str = "sandbox",
        password: str = "platform-sandbox-password",  # noqa: S107 - of a sandbox
        mailboxes: Mapping[str, str] | None = None,
        dns: NameServer | None = None,
        quirks: Iterable[Quirk] = (),
    ) -> None:
        self.username = username
        self.password = password
        self.set_up: set[str] = set()
        self.quirks = set(quirks)
        self.once: deque[Quirk] = deque()
        self.slowness = 5.0
        self.requests: list[Request] = []
        self._arrival = asyncio.Event()
        self._dns = dns
        self.state = State(self._is_set_up)
        self.state.customer.username = username
        for mailbox, its_password in (mailboxes or {}).items():
            domain = mailbox.partition("@")[2]
            if domain not in self.state.domains:
                self.state.domains[domain] = Domain(self.state.new_id(), domain, self.state.customer.id)
            self.state.mailboxes[mailbox] = its_password
        self._host, self.port = "", 0
        self._end = asyncio.Event()
        routes = [
            Route(f"/mm-ms/{name}/{{script}}", self._answer, methods=["GET", "POST"]) for name in ("apinew", "api")
        ]
        self._config = Config(Starlette(routes=routes), log_config=None, access_log=False, lifespan="off", ws="none")
        self._config.load()
        self._http = ServerState()  # not uvicorn's own server: to end, it would take a fifth of a second for each test
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """What goes before ``account.php``."""
        return f"http://{self._host}:{self.port}/mm-ms/apinew/"

    @property
    def credentials(self) -> Mapping[str, str]:
        """The mailboxes, as they are at any time: a smarthost's credentials."""
        return self.state.mailboxes

    def take(self, received: Received) -> str | None:
        """What a smarthost asks about each message. :returns: the reply that refuses it, or None."""
        return self.state.took(list(received.recipients))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; with port 0 the system chooses one, which is then `port`. :raises OSError: it is taken."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: H11Protocol(self._config, self._http, {}), host, port
        )
        self._host, self.port = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Close everything, and wait until it is."""
        assert self._server is not None
        self._end.set()
        self._server.close()
        for connection in list(self._http.connections):
            connection.shutdown()
        if self._http.tasks:
            await asyncio.wait(self._http.tasks, timeout=LAST_ANSWERS)
        for connection in list(self._http.connections):
            connection.transport.abort()
        await self._server.wait_closed()

    async def wait_for(self, count: int, timeout: float = 10.0) -> list[Request]:
        """The first calls, as soon as there are so many. :raises TimeoutError: after so many seconds."""
        async with asyncio.timeout(timeout):
            while len(self.requests) < count:
                self._arrival.clear()
                await self._arrival.wait()
        return self.requests[:count]

    def _is_set_up(self, domain: str) -> bool:
        """The platform's own rule: SPF includes it, and mail to the domain goes to it."""
        if self._dns is None:
            return domain in self.set_up
        spf = any(SPF_INCLUDE in record.replace('" "', "") for record in self._dns.records(domain, "TXT"))
        return spf and any(record.endswith(f" {MX}") for record in self._dns.records(domain, "MX"))

    async def _answer(self, http: HttpRequest) -> Response:
        who = log_in(http.headers.get("authorization", ""))
        if who not in ((self.username, self.password), self.manager):
            return _page(UNAUTHORIZED_PAGE, 401, {"www-authenticate": 'Basic realm="mm-ms"'})
        quirks = self.quirks | ({self.once.popleft()} if self.once else set())
        request = await Request.read(http, who == self.manager, quirks)
        self.requests.append(request)
        self._arrival.set()
        response = self._respond(request)
        if Quirk.SLOW in quirks:
            await self._linger()
        return response

    async def _linger(self) -> None:
        try:
            await asyncio.wait_for(self._end.wait(), self.slowness)
        except TimeoutError:
            return

    def _respond(self, request: Request) -> Response:
        for quirk, (text, media_type, status) in IN_PLACE.items():
            if quirk in request.quirks:
                return Response(text, status, media_type=media_type)
        if all(request.script != script for script, _ in CALLS):
            return _page("<html><body><h1>404 Not Found</h1></body></html>\n", 404)
        return _response(self._call(request), request.quirks)

    def _call(self, request: Request) -> Answer:
        self.state.run_tasks()
        if Quirk.QUERY_ONLY in request.quirks and request.script == "bs.php" and request.do != "domain-check":
            request = request.without_form()
        handler = CALLS.get((request.script, request.do))
        if handler is None:
            return Refused("error", "参数错误").answer
        try:
            return handler(self.state, request)
        except Refused as refusal:
            return refusal.answer


def _page(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text, status, headers, media_type="text/html")


def _response(answer: Answer, quirks: Collection[Quirk]) -> Response:
    content, media_type = render(answer, quirks)
    if Quirk.EMPTY in quirks:
        content = b""
    return (_Cut if Quirk.CUT in quirks else Response)(content, media_type=media_type)


class _Cut(Response):
    """The first half; uvicorn closes the connection of an answer that ends so."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})

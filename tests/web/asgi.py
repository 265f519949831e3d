"""Asks an ASGI application, without a socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from starlette.types import ASGIApp, Message

LOOPBACK, REMOTE = "127.0.0.1", "192.0.2.7"
HERE = f"{LOOPBACK}:8025"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str
    octets: bytes


@dataclass
class Browser:
    """Asks, keeps its cookie, and says where a form comes from.

    :ivar client: its address.
    :ivar server: the address that it reached.
    """

    app: ASGIApp
    client: str = LOOPBACK
    server: str = LOOPBACK
    headers: dict[str, str] = field(default_factory=lambda: {"host": HERE})
    cookie: str = ""
    scheme: str = "http"

    async def get(self, address: str, **headers: str) -> Answer:
        return await self.ask("GET", address, b"", headers)

    async def post(self, address: str, form: Mapping[str, str], **headers: str) -> Answer:
        same = {"content-type": FORM, "sec-fetch-site": "same-origin"}
        return await self.ask("POST", address, urlencode(form).encode(), {**same, **headers})

    async def log_in(self, username: str, password: str) -> Answer:
        return await self.post("/login", {"username": username, "password": password})

    async def act(self, address: str, page: str, /, **form: str) -> Answer:
        """Post a form of this page, with its token."""
        token = re.search(r'name="csrf" value="([^"]+)"', (await self.get(page)).text)
        return await self.post(address, {"csrf": token[1] if token else "", **form})

    async def ask(
        self, method: str, address: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        sent: list[Message] = []
        await self._exchange(method, address, body, headers or {}, sent.append)
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        octets = b"".join(message.get("body", b"") for message in sent[1:])
        if set_cookie := answered.get("set-cookie"):
            self.cookie = set_cookie.partition(";")[0]
        return Answer(sent[0]["status"], answered, octets.decode("utf-8", "replace"), octets)

    async def listen(self, address: str, hear: Callable[[bytes], object]) -> None:
        """Hear what comes, piece by piece, until the answer ends."""
        await self._exchange("GET", address, b"", {}, lambda message: hear(message.get("body", b"")))

    async def _exchange(
        self, method: str, address: str, body: bytes, headers: Mapping[str, str], hear: Callable[[Message], object]
    ) -> None:
        cookie = {"cookie": self.cookie} if self.cookie else {}
        fields = {**self.headers, **cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        path, _, query = address.partition("?")
        incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if incoming:
                return incoming.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            hear(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": path,
            "raw_path": path.encode(),
            "query_string": quote(query, safe="=&%+/*@:").encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items() if value],
            "client": (self.client, 50_000),
            "server": (self.server, 8025),
        }
        await self.app(scope, receive, send)

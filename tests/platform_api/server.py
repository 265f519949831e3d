"""An HTTP server on loopback that answers what a test wants, in a thread: so a client that waits can ask it."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Self
from urllib.parse import parse_qsl, urlsplit

PATIENCE = 30.0  # seconds
CUT = b""  # the connection is closed in place of an answer


@dataclass(frozen=True)
class Request:
    """What came; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=False))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


def answer(body: str | bytes, status: str = "200 OK", **fields: str) -> bytes:
    """The octets of a response."""
    octets = body.encode() if isinstance(body, str) else body
    head = {"content_length": str(len(octets)), "connection": "close", **fields}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + octets


class Server(socketserver.ThreadingTCPServer):
    """Use it as a context manager.

    :param answers: one after the other; a function is asked for them. Those of which less than their ``content-length``
        comes break off. None: nothing is said until the server is closed.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, *answers: bytes | Callable[[Request], bytes] | None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.came = threading.Condition()
        self._tls = tls
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.server_address[1]}/mm-ms/apinew"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def wait_for(self, count: int) -> None:
        """Until so many requests have come: who gives up waiting for an answer may be faster."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.requests) >= count, PATIENCE)

    def handle_error(self, *_: object) -> None:
        """The other side has broken off, or does not trust us: as the test wanted."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        with self.server.came:
            self.server.requests.append(request)
            self.server.came.notify_all()
        told = self.server.answers.pop(0)
        if told is None:
            self.server.closing.wait(PATIENCE)
            told = CUT
        self.wfile.write(told(request) if callable(told) else told)
        self.close_connection = True

    do_POST = do_CONNECT = do_GET

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

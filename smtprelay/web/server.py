"""Where `smtprelay.status` hands its sockets over."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

from smtprelay import http_server
from smtprelay.status import Backstage
from smtprelay.web.app import app


async def serve(
    socks: Sequence[socket.socket], backstage: Backstage, *, tls: ssl.SSLContext | None, until: asyncio.Event
) -> None:
    """Answer until the event is set."""
    await http_server.serve(socks, app(backstage, until), until=until, tls=tls)

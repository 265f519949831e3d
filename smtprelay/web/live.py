"""Server-sent events (WHATWG HTML §9.2): the parts of the first page, as they change. Nothing runs while nobody
listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import Response, StreamingResponse

from smtprelay.web.access import Visit

MAX_STREAMS = 20
EVERY = 1.0  # seconds between two looks
QUIET = 15  # looks without a change, after which a comment keeps proxies from closing the stream

_RETRY = 3000  # milliseconds until a browser tries again


class Live:
    """Streams.

    :param parts: HTML by the id of its element.
    :param follow: ends the sessions that are over, though nobody asks for anything else (`Access.follow`).
    :param closing: set when the server ends.
    """

    def __init__(
        self, parts: Callable[[Visit], Awaitable[dict[str, str]]], follow: Callable[[], None], closing: asyncio.Event
    ) -> None:
        self._parts = parts
        self._follow = follow
        self._closing = closing
        self._streams = 0

    async def events(self, visit: Visit) -> Response:
        """GET."""
        if self._streams >= MAX_STREAMS:
            return Response(status_code=503, headers={"Retry-After": "60"})
        headers = {"X-Accel-Buffering": "no"}  # or nginx would keep what changes until it is much
        return StreamingResponse(self._stream(visit), media_type="text/event-stream", headers=headers)

    async def _stream(self, visit: Visit) -> AsyncIterator[str]:
        self._streams += 1
        ended = visit.session.ended if visit.session else self._closing
        waiting = [asyncio.create_task(event.wait()) for event in {ended, self._closing}]
        try:
            yield f"retry: {_RETRY}\n\n"
            sent: dict[str, str] = {}
            quiet = 0
            while not (ended.is_set() or self._closing.is_set()):
                parts = await self._parts(visit)
                changed = {name: html for name, html in parts.items() if sent.get(name) != html}
                quiet = 0 if changed else quiet + 1
                if changed:
                    yield f"data: {json.dumps(changed)}\n\n"
                elif quiet % QUIET == 0:
                    yield ":\n\n"
                sent = parts
                await asyncio.wait(waiting, timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
                self._follow()
            if not self._closing.is_set():
                yield "event: logout\ndata:\n\n"
        finally:
            self._streams -= 1
            for task in waiting:
                task.cancel()

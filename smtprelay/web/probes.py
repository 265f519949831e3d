"""For programs: /healthz, /readyz and /metrics. None of them writes a line to the log."""

from __future__ import annotations

import asyncio
from importlib import import_module

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from smtprelay.log import masked
from smtprelay.problems import Problem
from smtprelay.status import Backstage

PATIENCE = 5.0  # seconds that the thread that writes has for an answer
_NOW = {"Cache-Control": "no-store"}


class Probes:
    """Answers them."""

    def __init__(self, backstage: Backstage) -> None:
        self._spool = backstage.spool
        self._health = backstage.health
        self._pulse = backstage.pulse

    async def healthz(self, _request: Request) -> Response:
        """Whether it is alive: the event loop, since it answers, and the thread that writes. To be restarted if not."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._spool.answer()
        except TimeoutError:
            return _text(503, f"The spool's thread has not answered for {PATIENCE:.0f} s: the disk may hang.")
        return _text(200, "ok")

    async def readyz(self, _request: Request, *, in_words: bool) -> Response:
        """Whether mail should be handed in, and why not. What is wrong otherwise follows.

        :param in_words: names are told too; without them, what kind of problem it is.
        """
        unready = self._health.unready()
        others = [problem for problem in self._health.problems() if problem not in unready]
        told = [_line(problem) if in_words else problem.key for problem in (*unready, *others)]
        lines = ["not ready" if unready else "ready", *told]
        return _text(503 if unready else 200, "\n".join(lines))

    async def metrics(self, request: Request) -> Response:
        """The figures."""
        await self._pulse.measure()
        module = await asyncio.to_thread(import_module, "smtprelay.web.exposition")  # several megabytes
        content, content_type = module.exposition(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": content_type, **_NOW})


def _line(problem: Problem) -> str:
    """Whoever is on this machine may read it, and a credential is called by an address, mostly."""
    return str(masked(f"{problem.severity}: {problem.sentence} {problem.remedy}"))


def _text(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers=_NOW)

"""What the status server answers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from smtprelay.status import Backstage


def app(backstage: Backstage) -> Router:
    """The routes."""

    async def healthz(_request: Request) -> Response:
        await backstage.spool.recall("tls/")
        return PlainTextResponse("ok\n")

    return Router(routes=[Route("/healthz", healthz)])

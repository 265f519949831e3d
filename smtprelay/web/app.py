"""What the status server answers: the routes, and what each wants to know of who asks."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from smtprelay.status import Backstage
from smtprelay.web.access import Needs
from smtprelay.web.bodies import Bodies
from smtprelay.web.domains import Domains
from smtprelay.web.headers import WithHeaders
from smtprelay.web.live import Live
from smtprelay.web.login import LogIn
from smtprelay.web.message import MessagePage
from smtprelay.web.messages import Messages
from smtprelay.web.overview import Overview
from smtprelay.web.probes import Probes
from smtprelay.web.render import static
from smtprelay.web.site import NO_PAGE, Site
from smtprelay.web.suppressed import Suppressed


def app(backstage: Backstage, closing: asyncio.Event) -> ASGIApp:
    """All of it.

    :param closing: set when the server ends.
    """
    site = Site(backstage)
    login, overview, domains, probes = LogIn(site), Overview(site), Domains(site), Probes(backstage)
    messages, message, bodies, suppressed = Messages(site), MessagePage(site), Bodies(site), Suppressed(site)
    live = Live(overview.parts, site.access.follow, closing)
    anybody, figures, account = Needs.NOTHING, Needs.FIGURES, Needs.ACCOUNT
    routes = [
        site.route("/healthz", lambda visit: probes.healthz(visit.request), anybody),
        site.route("/readyz", lambda visit: probes.readyz(visit.request, in_words=visit.may(figures)), anybody),
        site.route("/metrics", lambda visit: probes.metrics(visit.request), figures, basic=True),
        site.route("/static/{name}", static, anybody),
        site.route("/login", login.form, anybody),
        site.route("/login", login.log_in, anybody, methods=["POST"]),
        site.route("/logout", login.log_out, account, methods=["POST"]),
        site.route("/", overview.page, figures),
        site.route("/live", live.events, figures),
        site.route("/messages", messages.page, account),
        site.route("/messages/{id}", message.page, account),
        site.route("/messages/{id}/mail", bodies.page, account),
        site.route("/messages/{id}/mail/html", bodies.html, account),
        site.route("/messages/{id}/mail/source", bodies.source, account),
        site.route("/messages/{id}/mail/file", bodies.file, account),
        site.route("/messages/{id}/mail/attachments/{number:int}", bodies.attachment, account),
        site.route("/messages/{id}/{action}", message.act, account, methods=["POST"]),
        site.route("/suppressed", suppressed.page, account),
        site.route("/suppressed/{action}", suppressed.act, account, methods=["POST"]),
        site.route("/domains", domains.page, account),
        site.route("/domains/{name}/check", domains.look_again, account, methods=["POST"]),
    ]

    async def unknown(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        visit = await site.access.visit(request, basic=False)
        await site.problem(visit, NO_PAGE)(scope, receive, send)

    return WithHeaders(Router(routes=routes, default=unknown, redirect_slashes=False))

"""What all pages share: who may have them, what came with the request, their frame, and their errors."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, quote

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from smtprelay.config import Config
from smtprelay.control import BadRequest
from smtprelay.spool import SpoolError, State
from smtprelay.status import Backstage
from smtprelay.web.access import Access, Needs, TooManyTries, Visit, client_of, is_same_origin
from smtprelay.web.render import render
from smtprelay.web.sessions import Sessions
from smtprelay.web.throttle import Throttle
from smtprelay.words import Sentence

log = structlog.get_logger("page")

Handler = Callable[[Visit], Awaitable[Response]]

MAX_FORM = 16 * 1024  # octets of what is posted
PATIENCE = 20.0  # seconds for it
_FORM = "application/x-www-form-urlencoded"
_REALM = 'Basic realm="smtprelay", charset="UTF-8"'


class Problem(Exception):
    """The page cannot be had. :ivar sentence: says why, in English, as a key of the catalogue."""

    def __init__(self, status: int, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


# Who is really mailed: by `[upstream] mode`, and whether rules make exceptions.
_GOING: Mapping[tuple[str, bool], Sentence] = {
    ("live", True): Sentence("rules: some mail does not go to its recipients"),
    ("redirect", False): Sentence("redirect: one address is mailed"),
    ("redirect", True): Sentence("redirect, with exceptions"),
    ("sandbox", False): Sentence("sandbox: nobody is mailed"),
    ("sandbox", True): Sentence("sandbox, with exceptions: somebody may be mailed"),
}
NO_PAGE = Problem(404, Sentence("There is no such page."))
_FORBIDDEN = Problem(
    403, Sentence("This did not come from a page of yours, or you were logged out. Log in, and try again.")
)
_FAULT = Problem(500, Sentence("This page failed within smtprelay: the log says how."))
_TOO_LARGE = Problem(413, Sentence("That is more than this form takes."))
_TOO_SLOW = Problem(408, Sentence("The form did not come to its end: try again."))
_NO_FORM = Problem(415, Sentence("That is no form."))


class Site:
    """All that pages stand on."""

    def __init__(self, backstage: Backstage) -> None:
        self.backstage = backstage
        self.access = Access(lambda: backstage.config.status.accounts, Sessions(), Throttle())

    def route(
        self, path: str, handler: Handler, needs: Needs, *, methods: Sequence[str] = ("GET",), basic: bool = False
    ) -> Route:
        """A route that only they get who may.

        :param basic: programs may send a password along.
        """

        async def answer(request: Request) -> Response:
            visit = Visit.unknown(request)
            try:
                visit = await self.access.visit(request, basic=basic)
                if request.method == "POST":
                    visit = await self._posted(visit, needs)
                if not visit.may(needs):
                    return self._refused(visit, basic=basic)
                return await handler(visit)
            except Problem as problem:
                return self.problem(visit, problem)
            except BadRequest as error:
                return self.failed(visit, 400, str(error))
            except SpoolError as error:
                return self.failed(visit, 503, str(error))
            except TooManyTries as error:
                return Response(status_code=429, headers={"Retry-After": str(math.ceil(error.wait))})
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception:
                log.exception("a page failed", path=request.url.path)
                return self.problem(visit, _FAULT)

        return Route(path, answer, methods=list(methods))

    def page(self, visit: Visit, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page in its frame."""
        notice = ""
        if visit.session:
            notice, visit.session.notice = visit.session.notice, ""
        return HTMLResponse(
            render(
                template,
                say=visit.words.say,
                words=visit.words,
                account=visit.account,
                csrf=visit.session.csrf if visit.session else "",
                path=visit.request.url.path,
                notice=notice,
                going=going_of(self.backstage.config),
                **values,
            ),
            status,
        )

    def shows_mail(self, message: Mapping[str, Any]) -> bool:
        """Whether the mail itself may be shown.

        :param message: as `smtprelay.control.Operator.show` gives it.
        """
        captured = State.CAPTURED in message["states"]
        return message["body_kept"] and (captured or self.backstage.config.status.show_bodies)

    async def read(self, message_id: str) -> bytes:
        """The octets of a message. :raises BodyCorrupt: they are not what was written."""
        return b"".join([chunk async for chunk in self.backstage.spool.body(message_id)])

    def problem(self, visit: Visit, problem: Problem) -> Response:
        """An error page."""
        return self.failed(visit, problem.status, visit.words.say(problem.sentence))

    def failed(self, visit: Visit, status: int, text: str) -> Response:
        """An error page. :param text: what is wrong and what to do."""
        return self.page(visit, "error.html", status=status, code=status, text=text)

    def log_action(self, visit: Visit, action: str, **words: Any) -> None:
        """What somebody did, as the control socket logs it."""
        log.warning("operator", action=action, by=visit.account, client=client_of(visit.request), **words)

    async def _posted(self, visit: Visit, needs: Needs) -> Visit:
        """The visit with its form. :raises Problem: another site may have had it posted."""
        if not is_same_origin(visit.request):
            raise _FORBIDDEN
        form = await _form(visit.request)
        if needs is not Needs.NOTHING and not _has_token(visit, form):
            raise _FORBIDDEN
        return replace(visit, form=form)

    def _refused(self, visit: Visit, *, basic: bool) -> Response:
        if basic:
            return Response(status_code=401, headers={"WWW-Authenticate": _REALM})
        url = visit.request.url
        return RedirectResponse(
            f"/login?next={quote(url.path + ('?' + url.query if url.query else ''), safe='/')}", 303
        )


def going_of(config: Config) -> Sentence | None:
    """Who is really mailed; None where all mail goes to its recipients."""
    return _GOING.get((config.upstream.mode, bool(config.upstream.rules)))


def _has_token(visit: Visit, form: Mapping[str, str]) -> bool:
    token = form.get("csrf", "").encode()
    return visit.session is not None and secrets.compare_digest(visit.session.csrf.encode(), token)


async def _form(request: Request) -> Mapping[str, str]:
    """What was posted; of fields that occur twice, the first. :raises Problem: it is no form, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise _NO_FORM
    body = b""
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_FORM:
                    raise _TOO_LARGE
    except TimeoutError:
        raise _TOO_SLOW from None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise _NO_FORM from error
    return {name: values[0] for name, values in fields.items()}

"""Logging in and out."""

from __future__ import annotations

import math
import re

import structlog
from starlette.responses import RedirectResponse, Response

from smtprelay.web.access import TooManyTries, Visit, client_of
from smtprelay.web.sessions import LONGEST
from smtprelay.web.site import Site

log = structlog.get_logger("page")

MAX_NAME = 256  # characters of what is logged
# A path of ours: what begins with two slashes, or has a backslash, a browser takes for another host.
_OUR_PATH = re.compile(r"/(?![/\\])[^\\\s\x00-\x1f\x7f]*")


class LogIn:
    """The form, and what comes of it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def form(self, visit: Visit) -> Response:
        """GET."""
        after = our_path(visit.request.query_params.get("next", ""))
        return RedirectResponse(after, 303) if visit.account else self._page(visit, after)

    async def log_in(self, visit: Visit) -> Response:
        """POST."""
        after, client = our_path(visit.form.get("next", "")), client_of(visit.request)
        username = visit.form.get("username", "")
        say = visit.words.say
        try:
            verified = await self._site.access.verify(username, visit.form.get("password", ""), client)
        except TooManyTries as error:
            wait = visit.words.interval(math.ceil(error.wait) * 1000)
            sentence = say("Too many tries: wait {wait}, then try again.", wait=wait)
            return self._page(visit, after, sentence, status=429)
        if not verified:
            log.warning("page log-in refused", account=username[:MAX_NAME], client=client)
            return self._page(visit, after, say("The name or the password is wrong."), status=403)
        self._site.access.log_out(visit)
        log.info("page log-in", account=username, client=client)
        answer = RedirectResponse(after, 303)
        answer.set_cookie(
            visit.cookie,
            self._site.access.log_in(username),
            max_age=int(LONGEST),
            secure=visit.is_secure,
            httponly=True,
            samesite="strict",
        )
        return answer

    async def log_out(self, visit: Visit) -> Response:
        """POST."""
        self._site.access.log_out(visit)
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(visit.cookie, secure=visit.is_secure, httponly=True, samesite="strict")
        return answer

    def _page(self, visit: Visit, after: str, problem: str = "", status: int = 200) -> Response:
        has_accounts = self._site.access.has_accounts()
        return self._site.page(
            visit, "login.html", status=status, after=after, problem=problem, has_accounts=has_accounts
        )


def our_path(text: str) -> str:
    """Where to go after the log-in: a path of ours; ``/`` for anything else."""
    return text if _OUR_PATH.fullmatch(text) else "/"

"""One message: its whole story, and what can be done about it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import RedirectResponse, Response

from smtprelay.control import BadRequest
from smtprelay.domains.txt import readable
from smtprelay.signing import header_length
from smtprelay.spool import BodyCorrupt, Selector, State
from smtprelay.story import tell
from smtprelay.web.access import Visit
from smtprelay.web.signatures import Verdict, verdicts
from smtprelay.web.site import Problem, Site
from smtprelay.words import Sentence

SHOWN = 50  # recipients; those that have not ended come first
AT_ONCE = 256 * 1024  # octets of a message whose signature is verified without being asked for
MAX_HEADER = 64 * 1024  # octets that are shown

_ID = re.compile(r"[0-9a-v]{16}")
_UNKNOWN = Problem(404, Sentence("No such message is known; its history may have been pruned."))
_DONE: Mapping[str, Sentence] = {
    "retry": Sentence("Due now: {count}"),
    "hold": Sentence("Held: {count}"),
    "release": Sentence("Released: {count}"),
    "cancel": Sentence("Cancelled: {count}"),
}
_NOTHING_DONE = Sentence("Nothing was done: the message has moved on meanwhile.")
# In which states of a recipient an action can do something.
_APPLIES: Mapping[str, frozenset[State]] = {
    "retry": frozenset({State.QUEUED}),
    "hold": frozenset({State.QUEUED, State.SENDING}),
    "release": frozenset({State.HELD}),
    "cancel": frozenset({State.QUEUED, State.SENDING, State.HELD}),
}


@dataclass(frozen=True, slots=True)
class Content:
    """What is told of the octets, while they are kept.

    :param header: for a person.
    :param verdicts: None where nobody asked for them yet.
    :param problem: why there is nothing to tell, or ``""``.
    """

    header: str = ""
    verdicts: tuple[Verdict, ...] | None = None
    problem: str = ""


class MessagePage:
    """Its page and its actions."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._verifying = asyncio.Semaphore(2)

    async def page(self, visit: Visit) -> Response:
        """GET."""
        message = await self._message(visit)
        states = message["states"]
        return self._site.page(
            visit,
            "message.html",
            message=message,
            states=states,
            story=tell(message, visit.words.say),
            notifications=[r["dsn"] if _ID.fullmatch(r["dsn"]) else "" for r in message["recipients"]],
            left_out=message["left_out"],
            actions=[action for action, applies in _APPLIES.items() if applies & states.keys()],
            content=await self._content(visit, message) if message["body_kept"] else None,
            shows_mail=self._site.shows_mail(message),
        )

    async def act(self, visit: Visit) -> Response:
        """POST."""
        message_id, action = visit.request.path_params["id"], visit.request.path_params["action"]
        if action not in _DONE:
            raise BadRequest(f"{action} is none of {', '.join(_DONE)}")
        done = await self._site.backstage.operator.act(action, Selector((message_id,)), "")
        self._site.log_action(visit, action, ids=[message_id], recipients=done.recipients)
        if visit.session:
            told = _DONE[action] if done.recipients else _NOTHING_DONE
            visit.session.notice = visit.words.say(told, count=done.recipients)
        return RedirectResponse(f"/messages/{message_id}", 303)

    async def _message(self, visit: Visit) -> dict[str, Any]:
        try:
            return await self._site.backstage.operator.show(visit.request.path_params["id"], SHOWN)
        except BadRequest:
            raise _UNKNOWN from None

    async def _content(self, visit: Visit, message: Mapping[str, Any]) -> Content:
        if message["size"] > AT_ONCE and "verify" not in visit.request.query_params:
            return await self._header(message["id"])
        async with self._verifying:  # a large message is in memory meanwhile
            try:
                content = await self._site.read(message["id"])
            except BodyCorrupt as error:
                return Content(problem=str(error))
            found = await verdicts(content, message["domain"], self._site.backstage)
        return Content(_header(content), tuple(found))

    async def _header(self, message_id: str) -> Content:
        try:
            async for chunk in self._site.backstage.spool.body(message_id):
                return Content(_header(chunk))
        except BodyCorrupt as error:
            return Content(problem=str(error))
        return Content()


def _header(content: bytes) -> str:
    return as_lines(content[: min(header_length(content), MAX_HEADER)]).strip("\n")


def as_lines(content: bytes) -> str:
    """Octets as they stand, line by line, for a person."""
    return "\n".join(readable(line.replace(b"\t", b"    ")) for line in content.split(b"\r\n"))

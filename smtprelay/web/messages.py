"""Finding messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from smtprelay.message import Message, time_of
from smtprelay.spool import MessageRecord, Query, RecipientRecord, State
from smtprelay.story import refused_later, told_reply
from smtprelay.web.access import Visit
from smtprelay.web.language import offset
from smtprelay.web.site import Problem, Site
from smtprelay.words import Say, Sentence

SHOWN = 50  # messages of a page
MAX_WORD = 500  # characters of what is looked for

_TEXTS = ("text", "address", "tag", "account")
_WORDS = (*_TEXTS, "state", "since", "until", "before")
_NO_STATE = Problem(400, Sentence("There is no such state."))
_NO_TIME = Problem(400, Sentence("That is no time: it is written like 2026-11-24T20:30."))
TOO_LONG = Problem(400, Sentence("That is too long to be looked for."))


@dataclass(frozen=True, slots=True)
class Row:
    """A message in the list.

    :param states: how many recipients are in each.
    :param reply: the last words about one that has not been delivered to, or has been refused later.
    :param refused_later: one has.
    """

    message: Message
    recipient: str
    others: int
    states: Mapping[State, int]
    reply: str
    refused_later: bool


class Messages:
    """The list of messages, and the form that searches them."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, visit: Visit) -> Response:
        """GET."""
        asked = visit.request.query_params
        words = {name: asked.get(name, "").strip() for name in _WORDS}
        if any(len(word) > MAX_WORD for word in words.values()):
            raise TOO_LONG
        found = await self._site.backstage.spool.find(_query(words), SHOWN, words["before"])
        if len(found.records) == 1 and found.records[0].message.id == words["text"]:
            return RedirectResponse(f"/messages/{words['text']}", 303)
        return self._site.page(
            visit,
            "messages.html",
            asked=words,
            states=list(State),
            rows=[_row(record, visit.words.say) for record in found.records],
            older=_address({**words, "before": found.before}) if found.before else "",
            newest=_address({**words, "before": ""}) if words["before"] else "",
            offset=offset(),
            looked_until=time_of(found.before) if found.before else 0,
        )


def _query(words: Mapping[str, str]) -> Query:
    try:
        state = State(words["state"]) if words["state"] else None
    except ValueError:
        raise _NO_STATE from None
    texts = {name: words[name] for name in _TEXTS}
    return Query(**texts, state=state, since=_moment(words["since"]), until=_moment(words["until"]))


def _moment(text: str) -> int:
    """A local time as a browser's form has it, in Unix milliseconds; 0 for none."""
    if not text:
        return 0
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise _NO_TIME from None


def _row(record: MessageRecord, say: Say) -> Row:
    recipients = record.recipients  # a thousand, perhaps
    return Row(
        record.message,
        recipients[0].recipient.address if recipients else "",
        max(len(recipients) - 1, 0),
        Counter(recipient.state for recipient in recipients),
        next((told for recipient in recipients if (told := _told(recipient, say))), ""),
        any(recipient.fate for recipient in recipients),
    )


def _told(recipient: RecipientRecord, say: Say) -> str:
    if recipient.state is not State.DELIVERED:
        return told_reply(recipient.reply, recipient.state, say)
    return refused_later(recipient.fate.cause, recipient.fate.at, say) if recipient.fate else ""


def _address(words: Mapping[str, str]) -> str:
    return "/messages?" + urlencode({name: word for name, word in words.items() if word})

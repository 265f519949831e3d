"""The addresses that are not to be sent to: finding one, taking it off the list, putting one on it."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from smtprelay.message import AddressError, parse_address
from smtprelay.suppression import day_of, named
from smtprelay.suppression_list import MAX_TEXT, Entry, parse_text
from smtprelay.web.access import Visit
from smtprelay.web.messages import MAX_WORD, TOO_LONG
from smtprelay.web.site import NO_PAGE, Problem, Site
from smtprelay.words import Sentence

SHOWN = 50  # addresses of a page

_ADDED = Sentence("{address} is not sent to any more.")
_REMOVED = Sentence("{address} may be sent to again.")
_UNKNOWN = Sentence("{address} is not on the list.")
_NO_ADDRESS = Problem(400, Sentence("That is no address of the form local@domain."))


class Suppressed:
    """Their page, and its actions."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, visit: Visit) -> Response:
        """GET."""
        asked = visit.request.query_params
        text, after = asked.get("text", "").strip(), asked.get("after", "")
        if max(len(text), len(after)) > MAX_WORD:
            raise TOO_LONG
        found = await self._site.backstage.suppressions.page(after, SHOWN + 1, text=text)
        shown = found[:SHOWN]
        return self._site.page(
            visit,
            "suppressed.html",
            text=text,
            entries=shown,
            cause=lambda entry: named(entry.cause, visit.words.say),
            day=day_of,
            first=_address(text) if after else "",
            next=_address(text, shown[-1].address) if len(found) > SHOWN else "",
        )

    async def act(self, visit: Visit) -> Response:
        """POST: add or remove an address."""
        try:
            address = parse_address(visit.form.get("address", "").strip())
        except AddressError:
            raise _NO_ADDRESS from None
        suppressions = self._site.backstage.suppressions
        match visit.request.path_params["action"]:
            case "add":
                note = parse_text("note", visit.form.get("note", "")[:MAX_TEXT])
                await suppressions.enter([Entry(address, note=note)], f"operator {visit.account}")
                self._site.log_action(visit, "suppress", addresses=[address])
                told = _ADDED
            case "remove":
                told = _UNKNOWN if await suppressions.remove([address]) else _REMOVED
                self._site.log_action(visit, "unsuppress", addresses=[address])
            case _:
                raise NO_PAGE
        if visit.session:
            visit.session.notice = visit.words.say(told, address=address)
        return RedirectResponse(_address(visit.form.get("text", "")), 303)


def _address(text: str, after: str = "") -> str:
    return "/suppressed?" + urlencode({name: word for name, word in (("text", text), ("after", after)) if word})

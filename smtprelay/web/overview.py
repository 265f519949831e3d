"""What is happening now: the first page, and the parts of it that are sent again as they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from smtprelay.clock import now_ms
from smtprelay.pulse import Point
from smtprelay.routing import Routing
from smtprelay.spool import State, Waiting
from smtprelay.web.access import Needs, Visit
from smtprelay.web.chart import draw
from smtprelay.web.render import render
from smtprelay.web.site import Site
from smtprelay.words import Sentence

PARTS = ("problems", "queue", "traffic", "upstream")  # ids of elements, and the names of their templates

_MINUTE = 60_000
_SPANS = (
    (Sentence("last minute"), _MINUTE),
    (Sentence("last 10 minutes"), 10 * _MINUTE),
    (Sentence("last hour"), 60 * _MINUTE),
)
_SERIES = ("accepted", "delivered", "deferred", "bounced")
_CAPTURED = "captured"  # shown where some mail is, or was within the hour
_WAITING = (State.QUEUED, State.SENDING, State.HELD)


@dataclass(frozen=True, slots=True)
class Standing:
    """How many recipients are in a state. :param age: milliseconds that the oldest has waited; 0 for none."""

    state: State
    count: int
    age: int


@dataclass(frozen=True, slots=True)
class Sums:
    """What happened within some time. :param title: says how long."""

    title: Sentence
    accepted: int
    delivered: int
    deferred: int
    bounced: int
    captured: int


class Overview:
    """The first page."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def page(self, visit: Visit) -> Response:
        """GET."""
        return self._site.page(visit, "overview.html", parts=await self.parts(visit))

    async def parts(self, visit: Visit) -> dict[str, str]:
        """The HTML within each element that changes, by its id. Without an account there is no name in it: neither an
        address, nor a subject, nor a domain."""
        backstage, now = self._site.backstage, now_ms()
        await backstage.pulse.measure()
        points = backstage.pulse.points()
        waiting = backstage.pulse.waiting()
        upstream = backstage.config.upstream
        captures = Routing(upstream).captures
        sums = [_sums(title, points, now - span) for title, span in _SPANS]
        values = {
            "say": visit.words.say,
            "words": visit.words,
            "may_see_names": visit.may(Needs.ACCOUNT),
            "problems": backstage.health.problems(),
            "waiting": [_standing(state, waiting, now) for state in _WAITING],
            "held": sorted(waiting.held.items()),
            "by_credential": waiting.credentials,
            "sums": sums,
            "series": (*_SERIES, _CAPTURED) if captures or sums[-1].captured else _SERIES,
            "chart": draw(points, now),
            "mode": upstream.mode,
            "rules": upstream.rules,
            "redirect_to": upstream.redirect_to,
            "captures": captures,
            "smarthosts": backstage.health.smarthosts(),
            "suspended": backstage.operator.suspended(),
        }
        return {name: render(f"overview/{name}.html", **values) for name in PARTS}


def _standing(state: State, waiting: Waiting, now: int) -> Standing:
    return Standing(state, waiting.recipients.get(state, 0), max(now - waiting.oldest.get(state, now), 0))


def _sums(title: Sentence, points: Sequence[Point], since: int) -> Sums:
    within = [point for point in points if point.at > since]
    return Sums(title, *(sum(getattr(point, name) for point in within) for name in (*_SERIES, _CAPTURED)))

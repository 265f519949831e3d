"""The last hour as a picture: points of the pulse → the geometry of an SVG, in which nothing has to be computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smtprelay.pulse import Point

MINUTES = 60
WIDTH = 600  # units of the viewBox: the page stretches it
STEP = WIDTH // MINUTES
MAIL_HEIGHT, QUEUE_HEIGHT = 120, 40

_GAP = 2
_SERIES = ("delivered", "captured", "deferred", "bounced")  # stacked, from below


@dataclass(slots=True)
class Minute:
    """A column. :param x: its left edge."""

    at: int
    x: int
    accepted: int = 0
    delivered: int = 0
    deferred: int = 0
    bounced: int = 0
    captured: int = 0
    queued: int | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws; paths are values of the attribute ``d``.

    :param top: recipients a minute at the upper edge; 0 for an hour without mail.
    :param deepest: the queue at the upper edge of its strip; 0 where nothing waited.
    """

    minutes: Sequence[Minute]
    delivered: str
    captured: str
    deferred: str
    bounced: str
    accepted: str
    queue: str
    top: int
    deepest: int


def draw(points: Iterable[Point], now: int) -> Chart:
    """The hour up to now.

    :param now: Unix time in milliseconds.
    """
    last = now // 60_000
    minutes = [Minute((last - MINUTES + 1 + i) * 60_000, i * STEP) for i in range(MINUTES)]
    for point in points:
        place = point.at // 60_000 - last + MINUTES - 1
        if 0 <= place < MINUTES:
            minute = minutes[place]
            minute.accepted += point.accepted
            minute.delivered += point.delivered
            minute.deferred += point.deferred
            minute.bounced += point.bounced
            minute.captured += point.captured
            minute.queued = point.queued
    top = _round_up(max(max(m.accepted, sum(getattr(m, name) for name in _SERIES)) for m in minutes))
    deepest = _round_up(max(m.queued or 0 for m in minutes))
    stacks = {name: _bars(minutes, _SERIES[: i + 1], top) for i, name in enumerate(_SERIES)}
    return Chart(
        minutes, **stacks, accepted=_line(minutes, top), queue=_area(minutes, deepest), top=top, deepest=deepest
    )


def _round_up(value: int) -> int:
    """To 1, 2 or 5 times a power of ten, so that the scale does not move with every message; 0 stays 0."""
    power = 1 if value else 0
    while True:
        for factor in (1, 2, 5):
            if value <= factor * power:
                return factor * power
        power *= 10


def _bars(minutes: Sequence[Minute], stack: Sequence[str], top: int) -> str:
    """The bars of the last series of the stack, above those before it."""
    path = []
    for minute in minutes:
        height = _scaled(getattr(minute, stack[-1]), top, MAIL_HEIGHT)
        below = _scaled(sum(getattr(minute, name) for name in stack[:-1]), top, MAIL_HEIGHT)
        if height:
            path.append(f"M{minute.x} {MAIL_HEIGHT - below:g}v{-height:g}h{STEP - _GAP}v{height:g}z")
    return "".join(path)


def _line(minutes: Sequence[Minute], top: int) -> str:
    return "M0 " + "".join(f"{MAIL_HEIGHT - _scaled(m.accepted, top, MAIL_HEIGHT):g}h{STEP}V" for m in minutes)[:-1]


def _area(minutes: Sequence[Minute], deepest: int) -> str:
    return "".join(
        f"M{m.x} {QUEUE_HEIGHT}v{-_scaled(m.queued, deepest, QUEUE_HEIGHT):g}h{STEP}V{QUEUE_HEIGHT}z"
        for m in minutes
        if m.queued
    )


def _scaled(value: int, top: int, height: int) -> float:
    return round(value * height / top, 1) if value else 0.0

"""The picture of the last hour."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from smtprelay.pulse import Point
from smtprelay.web.chart import MAIL_HEIGHT, MINUTES, QUEUE_HEIGHT, STEP, WIDTH, draw

NOW = 1_800_000_030_000  # half a minute after a full one
COUNTS = st.integers(0, 10**7)


def test_ten_seconds_add_up_to_minutes() -> None:
    points = [
        Point(NOW - 20_000, 3, 2, 1, 0, 0, 7, 0),
        Point(NOW - 10_000, 4, 2, 0, 1, 2, 5, 0),
        Point(NOW - 60_000, 9, 9, 0, 0, 0, 0, 0),
    ]
    chart = draw(points, NOW)
    last, before = chart.minutes[-1], chart.minutes[-2]
    assert (last.accepted, last.delivered, last.deferred, last.bounced, last.queued) == (7, 4, 1, 1, 5)
    assert last.captured == 2
    assert (before.accepted, before.queued, chart.minutes[0].queued) == (9, 0, None)
    assert (chart.top, chart.deepest) == (10, 5)


def test_bars_stand_on_each_other() -> None:
    chart = draw([Point(NOW, 0, 40, 30, 20, 10, 0, 0)], NOW)
    x = WIDTH - STEP
    assert chart.delivered.startswith(f"M{x} {MAIL_HEIGHT}v-48h")
    assert chart.captured.startswith(f"M{x} 72v-12h")
    assert chart.deferred.startswith(f"M{x} 60v-36h")
    assert chart.bounced.startswith(f"M{x} 24v-24h")


def test_an_hour_of_silence() -> None:
    """The fault: the page wrote "1 waiting", which was the scale."""
    chart = draw([], NOW)
    assert (chart.delivered, chart.deferred, chart.bounced, chart.queue) == ("", "", "", "")
    assert (chart.top, chart.deepest) == (0, 0)
    assert chart.accepted == f"M0 {MAIL_HEIGHT}" + f"h{STEP}V{MAIL_HEIGHT}" * (MINUTES - 1) + f"h{STEP}"


@given(st.lists(st.builds(Point, st.integers(NOW - 7_200_000, NOW + 60_000), *[COUNTS] * 7), max_size=50))
def test_it_stays_within_its_frame(points: list[Point]) -> None:
    chart = draw(points, NOW)
    assert len(chart.minutes) == MINUTES
    for path, height in ((chart.accepted, MAIL_HEIGHT), (chart.queue, QUEUE_HEIGHT)):
        assert all(0 <= float(y) <= height for y in re.findall(r"V([\d.e+-]+)", path))
    for match in re.finditer(
        r"M(\d+) ([\d.]+)v-([\d.]+)h", chart.delivered + chart.captured + chart.deferred + chart.bounced
    ):
        x, bottom, bar = map(float, match.groups())
        assert 0 <= x < WIDTH
        assert bottom - bar >= -0.11  # rounded

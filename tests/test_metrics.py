"""Figures: what they add up to, and that nobody can make them many."""

from __future__ import annotations

from smtprelay import metrics
from smtprelay.metrics import NONE, OTHER, SERIES, Counter, Gauge, Histogram


def test_a_counter_counts_by_its_labels() -> None:
    counter = Counter("sent_total", "", "domain", "smarthost")
    counter.add("example.org", "a:25")
    counter.add("example.org", "a:25", n=3)
    counter.add("example.net", NONE)
    assert counter.values == {("example.org", "a:25"): 4, ("example.net", NONE): 1}
    assert counter.total() == 5


def test_without_labels_a_figure_is_there_before_anything_happens() -> None:
    """Prometheus' rate() sees the first event only where there was a 0 before it."""
    assert Counter("sent_total", "").values == {(): 0}
    assert Histogram("sent_seconds", "", (1,)).values[()].counts == [0, 0]


def test_a_stranger_cannot_make_a_figure_large() -> None:
    counter = Counter("sent_total", "", "domain", "smarthost")
    for i in range(10 * SERIES):
        counter.add(f"{i}.example", "a:25")
    assert len(counter.values) == SERIES + 1
    assert counter.values[OTHER, "a:25"] == 9 * SERIES
    for i in range(10 * SERIES):
        counter.add("known.example", f"{i}:25")
    assert len(counter.values) == 2 * SERIES + 1
    assert counter.total() == 20 * SERIES


def test_many_values_share_a_bucket_of_a_histogram_too() -> None:
    histogram = Histogram("sent_seconds", "", (1,), "domain")
    for i in range(SERIES + 5):
        histogram.observe(0.5, f"{i}.example")
    assert histogram.values[(OTHER,)].counts == [5, 0]


def test_a_label_is_clean_and_short() -> None:
    counter = Counter("sent_total", "", "domain")
    counter.add("a\nb\udcff" + "x" * 1000)
    counter.add("a\nb\udcff" + "x" * 1000)
    [(label,)] = counter.values
    assert label.startswith("a?b?x")
    assert len(label) == 255
    assert counter.total() == 2


def test_a_value_on_a_bound_belongs_to_the_bucket() -> None:
    histogram = Histogram("sent_seconds", "", (1, 2.5))
    for value in (0.5, 1, 1.1, 2.5, 9):
        histogram.observe(value)
    series = histogram.values[()]
    assert series.counts == [2, 2, 1]
    assert series.sum == 14.1


def test_a_gauge_is_what_was_said_last() -> None:
    gauge = Gauge("open", "", "state")
    gauge.set(3, "busy")
    gauge.set(2, "busy")
    gauge.add("busy", n=-1)
    assert gauge.values == {("busy",): 1}
    gauge.replace({("idle",): 4})
    assert gauge.values == {("idle",): 4}


def test_names_follow_the_conventions_of_prometheus() -> None:
    names = [figure.name for figure in metrics.FIGURES]
    assert len(names) == len(set(names)) > 40
    for figure in metrics.FIGURES:
        assert figure.name.startswith("smtprelay_")
        assert figure.name.endswith("_total") is (figure.kind == "counter")
        assert figure.help.endswith(".")

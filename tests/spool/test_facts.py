"""A fact that cannot be read is unknown, and that is told."""

from __future__ import annotations

from structlog.testing import capture_logs

from smtprelay.spool.facts import read_fact


def test_a_fact_is_read() -> None:
    assert read_fact({"a": "1", "b": "2"}, "b", int) == 2


def test_a_fact_that_is_not_there_is_unknown() -> None:
    with capture_logs() as logs:
        assert read_fact({"a": "1"}, "b", int) is None
    assert logs == []


def test_a_fact_that_cannot_be_read_is_unknown_and_told() -> None:
    with capture_logs() as logs:
        assert read_fact({"a": "one"}, "a", int) is None
    assert [(log["log_level"], log["fact"], log["text"]) for log in logs] == [("warning", "a", "one")]

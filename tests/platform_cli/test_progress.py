"""What is shown of work that takes long, and how the platform is waited for."""

from __future__ import annotations

import io
import sys

import pytest

from smtprelay.cli.platform.progress import PATIENCE, until, uploading, waiting
from smtprelay.platform import CallFailed, PlatformError, PlatformUnreachable, UnreadableAnswer
from smtprelay.platform.statuses import Status


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with uploading("contacts") as progress, waiting("The platform reads …"):
        assert progress
        progress(512, 1024)
    assert "contacts" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    with uploading("contacts") as progress, waiting("The platform reads …"):
        assert progress is None
    assert pipe.getvalue() == ""


def test_asking_becomes_rarer_and_ends() -> None:
    pauses: list[float] = []
    answers = iter([False] * 5 + [True])
    assert until(lambda: next(answers), 1000.0, pauses.append)
    assert pauses == [0.5, 1.0, 2.0, 5.0, 5.0]
    assert not until(lambda: False, 0.0, pauses.append)
    assert len(pauses) == 5


BUSY = [PlatformUnreachable("HTTP 502"), UnreadableAnswer("a page of HTML came")]


def ask(answers: list[PlatformError | bool]) -> bool:
    def is_done() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, PlatformError):
            raise answer
        return answer

    return until(is_done, 1000.0, lambda pause: None)


def test_a_platform_that_is_busy_for_a_while_is_waited_for() -> None:
    """The fault: one page of "busy" in an hour of waiting ended a campaign half-way."""
    assert ask([*BUSY * 2, False, *BUSY * 2, True])


@pytest.mark.parametrize("error", [*BUSY, CallFailed(Status("not_exist"))], ids=lambda error: type(error).__name__)
def test_one_that_stays_so_or_knows_nothing_of_it_is_not(error: PlatformError) -> None:
    left: list[PlatformError | bool] = [error] * (PATIENCE + 5)
    with pytest.raises(type(error)):
        ask(left)
    assert len(left) == (PATIENCE + 4 if isinstance(error, CallFailed) else 4)

"""What is shown of work that takes long, and how the platform is waited for."""

from __future__ import annotations

import io
import sys

import pytest

from smtprelay.cli.platform.progress import until, uploading, waiting


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

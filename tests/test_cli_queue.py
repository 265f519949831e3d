"""`smtprelay queue`: what people read of what the daemon, or the spool, tells."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from smtprelay.cli import queue
from smtprelay.spool import State
from tests.test_story import FATE, ended, shown


@pytest.mark.parametrize("command", [["list"], ["show", "0hk2r5q0c1d2e3f4"]], ids=["list", "show"])
def test_what_was_refused_after_it_was_delivered(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """The fault: only `why` told it; here, mail that the platform had failed to deliver looked like all the rest."""
    message = shown(ended(State.DELIVERED, fate=FATE))
    spool = SimpleNamespace(list=lambda *_: [message], show=lambda _: message)
    monkeypatch.setattr(queue, "connect", lambda _: spool)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(queue.app, command)
    assert "then refused: no such mailbox (told on 2026-11-29)" in result.stdout

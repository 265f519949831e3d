"""docs/operations.md explains what commands and page show."""

from __future__ import annotations

from smtprelay.spool import State
from tests.debian import ROOT

PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def test_every_state_is_explained() -> None:
    """The fault: one that the commands list and the page offers was in no table."""
    rows = PAGE.split("| state | meaning |\n")[1].split("\n\n")[0].splitlines()[1:]
    assert sorted(row.split("|")[1].strip() for row in rows) == sorted(State)

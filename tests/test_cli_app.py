"""What the command line says of itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from smtprelay import __version__
from smtprelay.__main__ import main
from smtprelay.cli.app import app


def test_the_version() -> None:
    run = CliRunner().invoke(app, ["--version"])
    assert (run.exit_code, run.output) == (0, f"smtprelay {__version__}\n")


def test_ctrl_c_while_modules_are_imported_shows_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: dozens of lines of a traceback, for a second on a slow machine."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "smtprelay.cli.app", SimpleNamespace(app=interrupted))
    monkeypatch.setattr(sys, "argv", ["smtprelay", "queue", "list"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130


def test_help_shows_every_word() -> None:
    """What stood in brackets was taken for markup and left out: "Default: as  expiry has it."."""
    words = [text for command in commands() for text in (command.help, *(each.help for each in parameters(command)))]
    assert [text for text in words if text and Text.from_markup(text).plain != text] == []


def test_help_says_once_what_may_be_left_out_or_repeated() -> None:
    """`suppress list [[TEXT]]`, `queue why [[ID]...]...`: typer adds brackets and dots by itself."""
    names = [each.metavar for command in commands() for each in parameters(command) if each.metavar]
    assert [name for name in names if "[" in name or name.endswith("...")] == []


def test_every_command_is_where_the_table_says() -> None:
    made = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert [name for name, command in made.items() if command.name != name or not command.help] == []


def test_a_misspelt_command_is_answered_with_those_that_are_like_it() -> None:
    assert "Did you mean 'send', 'sendmail'?" in CliRunner().invoke(app, ["sendd"]).stderr


def commands() -> Iterator[Any]:
    waiting: list[Any] = [typer.main.get_command(app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        yield command


def parameters(command: Any) -> Iterator[Any]:
    return (each for each in command.params if hasattr(each, "help"))

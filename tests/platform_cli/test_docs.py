"""docs/platform.md: the commands that it shows can be given."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from smtprelay.cli.app import app
from smtprelay.templating.platform_form import FIELDS

PAGE = (Path(__file__).parents[2] / "docs" / "platform.md").read_text("utf-8")
SHELL = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", "")
COMMANDS = [shlex.split(line, comments=True) for line in SHELL.splitlines() if line.startswith("smtprelay platform ")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "get_command"):
        name, *rest = rest
        command = command.get_command(None, name)
        assert command, f"{' '.join(words)}: there is no {name}"
    command.make_context(name, rest)  # raises where it does not take these words


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 9


def test_the_names_of_variables() -> None:
    for name, field in FIELDS.items():
        if not re.fullmatch(r"var[2-9]|sex|birthday|phone", name):  # within a range there
            assert re.search(rf"^\| .*`{name}`.* \| .*`{{{field}}}`.* \|$", PAGE, re.MULTILINE), name

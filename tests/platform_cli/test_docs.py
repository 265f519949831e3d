"""docs/platform.md: the commands that it shows can be given."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from smtprelay.cli.app import app
from smtprelay.templating.platform_form import FIELDS

Shell = Callable[..., Result]

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


def test_the_campaign_goes_with_the_template_and_the_contacts_that_are_shown(shell: Shell, tmp_path: Path) -> None:
    """The fault: its template was none of those that come with the relay, nor can one of them be pushed."""
    section = PAGE.partition("## A campaign in one command")[2]
    [made, *_] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    subprocess.run(["sh", "-ec", made], cwd=tmp_path, check=True)
    [command] = [words for words in COMMANDS if "--dry-run" in words]
    told = shell(*command[2:], "--directory", "templates")
    assert told.exit_code == 0, told.output
    assert "fullname is {FULLNAME}\nvar1 is {VAR1}\n2 contacts." in told.stdout


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 9


def test_the_names_of_variables() -> None:
    for name, field in FIELDS.items():
        if not re.fullmatch(r"var[2-9]|sex|birthday|phone", name):  # within a range there
            assert re.search(rf"^\| .*`{name}`.* \| .*`{{{field}}}`.* \|$", PAGE, re.MULTILINE), name

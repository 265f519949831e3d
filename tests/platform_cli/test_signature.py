"""Every call of the client is a command, and what its method takes can be given."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from smtprelay.cli.app import app
from smtprelay.cli.platform.commands import BY_HAND, NAMES
from smtprelay.cli.platform.signature import Method, command_of, methods
from smtprelay.platform import PlatformClient
from smtprelay.platform.call import Call, Resource, call, paged
from smtprelay.platform.values import Value
from tests.platform_cli.conftest import Platform

Shell = Callable[..., Result]


def commands(group: Any, context: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, context, *path, name)
        else:
            yield (*path, name)


def test_no_call_of_the_client_is_missing() -> None:
    client = PlatformClient("example", "secret")
    calls = {
        (NAMES.get(resource, resource), name.replace("_", "-"))
        for resource, value in vars(client).items()
        if isinstance(value, Resource)
        for name, made in vars(type(value)).items()
        if isinstance(made, call | paged)
    }
    client.close()
    assert len(calls) > 30
    root: Any = typer.main.get_command(app)
    there = set(commands(root.commands["platform"], None))
    assert calls - there == set()


def test_every_command_says_what_it_does(shell: Shell) -> None:
    for method in methods():
        assert method.help.endswith(")"), f"{method.resource}.{method.name}: its docstring begins with its number"
    shown = shell("failures", "all", "--help")
    assert "why each failed and in which task. (2.3.2)" in shown.output
    assert "the address has a bad format" in shown.output  # a value of its option


def test_no_option_is_explained_in_python() -> None:
    """The faults: that of `contacts addresses --list-id` ended with "None: all.", and `contacts upload` sent people to
    `upload_state`."""
    helps = {(method.resource, name): told for method in methods() for name, told in method.helps.items()}
    helps |= {(method.resource, method.name): method.help for method in methods()}
    assert not {key: told for key, told in helps.items() if "None" in told or re.search("`[a-z]+_", told)}


def test_a_parameter_that_is_missing_has_the_name_of_its_option(shell: Shell) -> None:
    """The fault: `templates detach` wanted an attachment_id, and no option is called that."""
    told = shell("templates", "detach", "7", "--yes")
    assert (told.exit_code, told.stderr) == (os.EX_USAGE, "give one of `attachment-id` and `all`, and only one.\n")


def test_every_option_of_a_task_is_explained() -> None:
    """The fault: those of `tasks edit` were explained by those of `create`, in Python alone."""
    [edit] = [method for method in methods() if (method.resource, method.name) == ("tasks", "edit")]
    told = {"id", "start"}  # an argument, and one whose values say it
    assert {parameter.name for parameter in edit.parameters} == edit.helps.keys() | told


def test_what_is_by_hand_is_a_call() -> None:
    assert set(BY_HAND) <= {(method.resource, method.command) for method in methods()}


class Colour(Value):
    RED = "r", "red", "红"
    BLUE = "b", "blue", "蓝"


NOTHING: Call[None] = Call("9.9", "", {}, lambda answer: None)


class Sample:
    def plain(
        self,
        number: int,
        day: date,
        *names: str,
        colour: Colour = Colour.RED,
        wanted: bool | None = None,
        numbers: Mapping[int, str] | None = None,
        file: Path | None = None,
    ) -> Call[None]:
        """9.9: try everything.

        :param number: of whatever
            it is.
        :param day: of the week.
        """
        return NOTHING

    def odd(self, odd: complex) -> Call[None]:
        """9.10: what nobody can write."""
        return NOTHING


def method(name: str) -> Method:
    return Method(Resource, name, call(getattr(Sample, name)))


class Spy:
    """In place of a client: keeps what its method is given."""

    def __init__(self) -> None:
        self.resource = self
        self.given: list[Any] = []

    def __enter__(self) -> Spy:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def plain(self, *positional: Any, **named: Any) -> str:
        self.given = [*positional, named]
        return "done"


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("7 2026-11-28 a b", [7, date(2026, 11, 28), "a", "b", {}]),
        ("7 2026-11-28 a --no-wanted", [7, date(2026, 11, 28), "a", {"wanted": False}]),
        ("7 2026-11-28 a --colour b", [7, date(2026, 11, 28), "a", {"colour": Colour.BLUE}]),
        ("7 2026-11-28 a --colour pink", [7, date(2026, 11, 28), "a", {"colour": Colour("pink")}]),
        ("7 2026-11-28 a --number 1=x=y --number 2=", [7, date(2026, 11, 28), "a", {"numbers": {1: "x=y", 2: ""}}]),
        ("7 2026-11-28 a --file b.txt", [7, date(2026, 11, 28), "a", {"file": Path("b.txt")}]),
        ("7 tomorrow a", "'tomorrow' is no day: write it as 2026-11-28"),
        ("7 2026-11-28 a --number x=y", "'x=y' should be two values"),
        ("7 2026-11-28", "Missing argument"),
    ],
)
def test_words_become_the_arguments_of_the_method(words: str, given: object, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy()
    monkeypatch.setattr("smtprelay.cli.platform.login.Login.open", lambda login: spy)
    single = typer.Typer()
    single.command()(command_of(method("plain")))
    result = typer.testing.CliRunner().invoke(single, words.split())
    if isinstance(given, list):
        assert (result.exit_code, spy.given, result.stdout) == (0, given, "done\n")
    else:
        assert result.exit_code == 2
        assert str(given) in " ".join(result.output.replace("│", " ").split())


def test_the_help_is_the_docstring() -> None:
    assert method("plain").help == "Try everything. (9.9)"
    assert method("plain").helps == {"number": "Of whatever it is.", "day": "Of the week."}


def test_what_cannot_be_written_is_told_when_the_commands_are_made() -> None:
    with pytest.raises(TypeError, match="write that command by hand"):
        command_of(method("odd"))


def test_the_client_is_not_imported_where_no_command_needs_it() -> None:
    """`smtprelay --help` would be slower by a tenth of a second."""
    script = (
        "import sys; from typer.testing import CliRunner; from smtprelay.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(*sorted({'httpx', 'defusedxml', 'rich.progress'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout.strip() == b""


def test_deleting_asks_first(shell: Shell, platform: Platform) -> None:
    refused = shell("contacts", "delete-list", "7")
    assert (refused.exit_code, platform.calls) == (64, [])
    assert "contacts delete-list 7 cannot be undone" in refused.stderr
    assert shell("contacts", "delete-list", "7", "--yes").exit_code == 0
    assert platform.last.number == "4.5"


@pytest.mark.parametrize(("answer", "status", "calls"), [("y\n", 0, ["4.12"]), ("n\n", 64, [])])
def test_a_person_is_asked(
    shell: Shell, platform: Platform, monkeypatch: pytest.MonkeyPatch, answer: str, status: int, calls: list[str]
) -> None:
    monkeypatch.setattr("smtprelay.cli.platform.ask.somebody_is_there", lambda: True)
    result = shell("contacts", "empty", "7", stdin=answer)
    assert (result.exit_code, platform.numbers) == (status, calls)
    assert "contacts empty 7 cannot be undone. Go on?" in result.stderr


def test_nobody_is_asked_about_what_cannot_be(
    shell: Shell, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smtprelay.cli.platform.ask.somebody_is_there", lambda: True)
    result = shell("templates", "detach", "7", stdin="y\n")
    assert (result.exit_code, platform.calls) == (64, [])
    assert result.stderr == "give one of `attachment-id` and `all`, and only one.\n"

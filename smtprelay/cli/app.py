"""The command line: all commands, each of which is imported when it is asked for."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from smtprelay import __version__

# By name, where each command and each group of them is. In this order they are listed.
_COMMANDS = {
    "check": "smtprelay.cli.check:check",
    "init": "smtprelay.cli.init:init",
    "install-service": "smtprelay.cli.install_service:install_service",
    "demo": "smtprelay.cli.demo:demo",
    "selftest": "smtprelay.cli.selftest:selftest",
    "send": "smtprelay.cli.send:send",
    "hash-password": "smtprelay.cli.password:hash_password",
}
_GROUPS = {
    "queue": "smtprelay.cli.queue:app",
    "account": "smtprelay.cli.account:app",
    "domain": "smtprelay.cli.domain:app",
    "dkim": "smtprelay.cli.dkim:app",
    "template": "smtprelay.cli.template:app",
    "platform": "smtprelay.cli.platform:app",
    "suppress": "smtprelay.cli.suppress:app",
}


class _Imported(UserDict[str, Any]):
    """Commands by name; of one that was not asked for yet, where it is."""

    def __getitem__(self, name: str) -> Any:
        command = self.data[name]
        if isinstance(command, str):
            command = self.data[name] = _made(name, command)
        return command


def _made(name: str, home: str) -> Any:
    module, _, attribute = home.partition(":")
    found = getattr(import_module(module), attribute)
    alone = typer.Typer()
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return typer.main.get_group(alone).commands[name]


class _Commands(TyperGroup):
    """Scripts and cron jobs start them over and over, and all imports together take several times what one needs."""

    def __init__(self, *, commands: dict[str, Any], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Imported({**_COMMANDS, **commands, **_GROUPS})


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run() -> None:
    """Run the relay until SIGTERM."""  # here to be listed; see smtprelay.__main__


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def sendmail() -> None:
    """A stand-in for sendmail(1): -t -i -f -F, message on standard input."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smtprelay {__version__}")
        raise typer.Exit


@app.callback()
def smtprelay(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An SMTP relay for apps that must send through a provider."""

"""The command line: all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from smtprelay import __version__
from smtprelay.cli import (
    account,
    check,
    demo,
    dkim,
    domain,
    init,
    install_service,
    password,
    platform,
    queue,
    selftest,
    send,
    suppress,
    template,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(check.check)
app.command()(init.init)
app.command()(install_service.install_service)
app.command()(demo.demo)
app.command()(selftest.selftest)
app.command()(send.send)
app.command()(password.hash_password)
app.add_typer(queue.app, name="queue")
app.add_typer(account.app, name="account")
app.add_typer(domain.app, name="domain")
app.add_typer(dkim.app, name="dkim")
app.add_typer(template.app, name="template")
app.add_typer(platform.app, name="platform")

app.add_typer(suppress.app, name="suppress")


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

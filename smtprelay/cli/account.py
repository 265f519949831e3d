"""`smtprelay account`: stop an app at once, and let it send again."""

from __future__ import annotations

from typing import Annotated

import typer

from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.remote import connect

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ACCOUNT", help="A username, or the address of a trusted client.")]


@app.callback()
def account() -> None:
    """Accounts of the gateway."""


@app.command()
def suspend(name: Name, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Hold what an account has waiting, and all that it sends from now on. It lasts over a restart."""
    count = connect(config).account(name, "suspend")
    if as_json:
        print_json({"recipients": count})
        return
    typer.echo(f"{name} is suspended; {count} waiting {_recipients_are(count)} held, and so is what comes.")


@app.command()
def resume(name: Name, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Let an account send again. What was held stays held until it is released or cancelled."""
    count = connect(config).account(name, "resume")
    if as_json:
        print_json({"recipients": count})
        return
    typer.echo(f"{name} may send again.")
    if count:
        listing = f"'smtprelay queue list --account {name} --state held'"
        typer.echo(f"{count} {_recipients_are(count)} still held: see {listing}, then")
        typer.echo(f"'smtprelay queue release --account {name}' or 'smtprelay queue cancel --account {name}'.")


def _recipients_are(count: int) -> str:
    return "recipient is" if count == 1 else "recipients are"

"""`smtprelay platform mailboxes`: passwords are never arguments, which every user of the machine can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from smtprelay.cli.common import JsonOption, print_json
from smtprelay.cli.configuration import fail
from smtprelay.cli.platform import ask
from smtprelay.cli.platform.show import plain, show
from smtprelay.credentials import read_secret_file
from smtprelay.platform import PlatformClient
from smtprelay.platform.result import Result

Mailbox = Annotated[str, typer.Argument(metavar="MAILBOX", help="Its address.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a password, and print it once it is set.")]
PasswordFile = Annotated[
    Path | None, typer.Option("--mailbox-password-file", metavar="FILE", help="Where the mailbox's password is.")
]
Customer = Annotated[int | None, typer.Option("--customer-id", help="Of this customer: for managers only.")]


def add(
    platform: PlatformClient, address: Mailbox, *, generate: Generate = False, file: PasswordFile = None,
    customer_id: Customer = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    password = password_of(file, generate=generate)
    result = platform.mailboxes.add(address, password, customer_id=customer_id)
    _show(result, password if generate else "", as_json=as_json)


def set_password(
    platform: PlatformClient, address: Mailbox, *, generate: Generate = False, file: PasswordFile = None,
    customer_id: Customer = None, as_json: JsonOption = False,
) -> None:  # fmt: skip
    password = password_of(file, generate=generate)
    result = platform.mailboxes.set_password(address, password, customer_id=customer_id)
    _show(result, password if generate else "", as_json=as_json)


def password_of(file: Path | None, *, generate: bool) -> str:
    """The mailbox's, from wherever it is told, or the end of the program."""
    if file and generate:
        fail(os.EX_USAGE, "Give --generate or --mailbox-password-file, not both.")
    if generate:
        return secrets.token_urlsafe(18)
    try:
        password = read_secret_file(file) if file else _asked()
    except ValueError as error:
        fail(os.EX_NOINPUT, f"The mailbox's password cannot be read: {error}.")
    return password or fail(os.EX_USAGE, "The mailbox's password is empty.")


def _asked() -> str:
    if not ask.somebody_is_there():
        fail(os.EX_USAGE, "Where nobody can be asked for it, say --mailbox-password-file FILE, or --generate.")
    return str(typer.prompt("Password of the mailbox", hide_input=True, confirmation_prompt=True, err=True))


def _show(result: Result, generated: str, *, as_json: bool) -> None:
    if not generated:
        show(result, as_json=as_json)
    elif as_json:
        print_json({**plain(result), "password": generated})
    else:
        typer.echo(generated)

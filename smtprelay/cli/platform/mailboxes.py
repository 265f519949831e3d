"""`smtprelay platform mailboxes`: passwords are never arguments, which every user of the machine can read, and what the
relay logs in with is not deleted."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.configuration import config_path, fail
from smtprelay.cli.platform import ask
from smtprelay.cli.platform.show import plain, show
from smtprelay.config import Config, ConfigError, Credential
from smtprelay.config_file import read_config
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


def delete(
    platform: PlatformClient, address: Mailbox, *, customer_id: Customer = None, config: ConfigOption = None,
    as_json: JsonOption = False, yes: ask.YesOption = False,
) -> None:  # fmt: skip
    _require_unused(address, config_path(config))
    if not yes:
        ask.confirm(f"mailboxes delete {address}")
    show(platform.mailboxes.delete(address, customer_id=customer_id), as_json=as_json)


def _require_unused(address: str, file: Path) -> None:
    """End the program where the relay logs in with a mailbox."""
    try:
        config = read_config(file)
    except ConfigError:  # of which an account that is given by --username needs none
        return
    if names := ", ".join(credential.key for credential in credentials_of(config, address)):
        fail(
            os.EX_USAGE,
            f"The relay logs in with {address}, and its mail would wait: first take the credential {names} out "
            f"of [[upstream.credentials]] in {file}, and run 'systemctl reload smtprelay'.",
        )


def credentials_of(config: Config, address: str) -> Sequence[Credential]:
    """Those that log in with a mailbox."""
    return [one for one in config.upstream.credentials if one.username.lower() == address.lower()]


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

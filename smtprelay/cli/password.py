"""`smtprelay hash-password`."""

from __future__ import annotations

import os
import sys

import typer

from smtprelay.cli.common import JsonOption, print_json
from smtprelay.cli.configuration import fail


def hash_password(as_json: JsonOption = False) -> None:
    """Make the argon2 hash of an account's password, which is asked for, or read from standard input."""
    from smtprelay.accounts import hash_password as make_hash

    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail(os.EX_USAGE, "The password is empty.")
    password_hash = make_hash(password)
    if as_json:
        print_json({"password_hash": password_hash})
    else:
        typer.echo(password_hash)

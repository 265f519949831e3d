"""What a person is asked before something happens."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from smtprelay.cli.configuration import fail

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def somebody_is_there() -> bool:
    """Whether there is a terminal on which a question can be answered."""
    return bool(sys.stdin and sys.stdin.isatty())


def confirm(what: str) -> None:
    """End the program unless the person at the terminal agrees to what cannot be undone."""
    if not somebody_is_there():
        fail(os.EX_USAGE, f"{what} cannot be undone: where nobody can be asked, say --yes.")
    if not typer.confirm(f"{what} cannot be undone. Go on?", err=True):
        fail(os.EX_USAGE, "Nothing was done.")

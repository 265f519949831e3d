"""`smtprelay platform mailboxes password`: a mailbox's password is changed, and put to use by the running daemon.

The new password is on the disk before the platform is asked, so that it cannot be lost: until the platform has said
that it counts, it lies beside the old one, and the next run goes on with it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from smtprelay.cli.common import ConfigOption
from smtprelay.cli.configuration import config_path, fail, load_config
from smtprelay.cli.platform.login import status_of
from smtprelay.cli.platform.mailboxes import Customer, Mailbox, PasswordFile, credentials_of, password_of
from smtprelay.cli.remote import running
from smtprelay.config import Config
from smtprelay.credentials import read_secret_file
from smtprelay.keyfiles import sync_folder, write_secret
from smtprelay.platform import CallFailed, NotAuthorised, PlatformClient, PlatformError

SUFFIX = ".new"

Generate = Annotated[bool, typer.Option("--generate", help="Make a password.")]


def password(
    platform: PlatformClient, address: Mailbox, *, generate: Generate = False, file: PasswordFile = None,
    customer_id: Customer = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Change the password of a mailbox that the relay logs in with: at the platform, in its password_file, and in the
    running daemon. No mail is lost: what is refused meanwhile waits.
    """
    settings = load_config(config)
    files = _files(settings, address) or fail(
        os.EX_CONFIG,
        f"No credential in {config_path(config)} has the username {address} and a password_file: 'smtprelay platform "
        "mailboxes set-password' changes it at the platform alone.",
    )
    with _alone(files[0].parent):
        _change(platform, address, customer_id, files, lambda: password_of(file, generate=generate))
    typer.echo(f"The password of {address} is changed, and in {', '.join(map(str, files))}.")
    _put_to_use(settings)


def _change(
    platform: PlatformClient, address: str, customer_id: int | None, files: Sequence[Path], made: Callable[[], str]
) -> None:
    """Go on with the change that was begun, or else begin one with the password that is made."""
    beside = [file.with_name(file.name + SUFFIX) for file in files]
    begun = _begun(beside)
    new = begun or made()
    for old, waiting in zip(files, beside, strict=True):
        _write(waiting, new, like=old)
    new = _read(beside[0])  # as the daemon will
    try:
        platform.mailboxes.set_password(address, new, customer_id=customer_id)
    except PlatformError as error:
        if isinstance(error, CallFailed | NotAuthorised) and not begun:  # it was not done, now or before
            for waiting in beside:
                waiting.unlink(missing_ok=True)
            raise
        names = ", ".join(map(str, beside))
        fail(
            status_of(error),
            f"{error}. Nobody knows which password counts: the old one is where it was, the new one in {names}. Run "
            "this again: it goes on with the new one.",
        )
    for old, waiting in zip(files, beside, strict=True):
        _replace(old, waiting)


def _files(settings: Config, address: str) -> list[Path]:
    """The password files of a mailbox, without detours."""
    mine = credentials_of(settings, address)
    return list(dict.fromkeys(one.password_file.resolve() for one in mine if one.password_file))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Of two commands at once the second waits: where the platform refuses one, it must not take the other's password
    away."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        fail(os.EX_NOINPUT, f"{folder} cannot be read: {error.strerror}.")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _begun(beside: Sequence[Path]) -> str:
    """The password of a change whose outcome nobody knows; ``""`` for none."""
    for waiting in beside:
        if waiting.exists():
            typer.echo(f"A change was begun before: it goes on with the password in {waiting}.", err=True)
            return _read(waiting)
    return ""


def _read(path: Path) -> str:
    try:
        return read_secret_file(path)
    except ValueError as error:
        fail(os.EX_NOINPUT, f"The password cannot be read: {error}.")


def _write(path: Path, secret: str, *, like: Path) -> None:
    """Put a secret into a file that the same people may read as another one. One that is there stays as it is: the
    platform may have been told of it."""
    try:
        with suppress(FileExistsError):
            write_secret(path, f"{secret}\n".encode())
        if like.exists():
            shutil.copymode(like, path)
            owner = like.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        fail(os.EX_CANTCREAT, f"{path} cannot be written: {error.strerror}. Nothing was changed at the platform.")


def _replace(old: Path, new: Path) -> None:
    try:
        new.replace(old)
        sync_folder(old.parent)
    except OSError as error:
        fail(
            os.EX_CANTCREAT,
            f"The password is changed at the platform, but {old} cannot be replaced: {error.strerror}. Put what is in "
            f"{new} there, delete {new.name}, and run 'systemctl reload smtprelay'.",
        )


def _put_to_use(settings: Config) -> None:
    daemon = running(settings.status.control)
    if daemon is None:
        typer.echo("No daemon runs: the next one logs in with it.")
    elif problems := daemon.reload():
        fail(
            os.EX_CONFIG,
            "\n".join(["The running daemon does not take it, as its configuration has faults:", *problems]),
        )
    else:
        typer.echo("The running daemon logs in with it.")

"""Which account of the platform a command is for, and how it ends where that fails."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Concatenate

import typer

from smtprelay.cli.common import ConfigOption
from smtprelay.cli.configuration import config_path, fail, load_config, platform_account
from smtprelay.config import PlatformAccount
from smtprelay.credentials import read_platform_password, read_secret_file
from smtprelay.platform import Hourly, NotAuthorised, PlatformClient, PlatformError, TooManyCalls
from smtprelay.values import BASE_URL

PASSWORD = "SMTPRELAY_PLATFORM_PASSWORD"
URL = "SMTPRELAY_PLATFORM_URL"
USERNAME = "SMTPRELAY_PLATFORM_USERNAME"
_USERNAME_HELP = f"In place of the configuration; the password is in ${PASSWORD} or in --password-file."
_option = partial(typer.Option, rich_help_panel="Log-in")


@dataclass(frozen=True, slots=True)
class Login:
    """The options of every command.

    :param config: the configuration's file; None: the usual one.
    """

    account: Annotated[
        str, _option("--account", metavar="NAME", help="One of the configuration's, where there are several.")
    ] = ""
    username: Annotated[str, _option("--username", metavar="NAME", envvar=USERNAME, help=_USERNAME_HELP)] = ""
    password_file: Annotated[Path | None, _option("--password-file", metavar="FILE", help="Of --username.")] = None
    url: Annotated[
        str, _option("--url", metavar="URL", envvar=URL, help=f"Where --username logs in. Default: {BASE_URL}")
    ] = ""
    allow_insecure: Annotated[
        bool, _option("--allow-insecure", help="Let --url be http://, which sends the password readable.")
    ] = False
    config: ConfigOption = None

    def open(self) -> PlatformClient:
        """The client, or the end of the program."""
        if self.username and not self.account:
            return _client(self.username, self._password(), self.url or BASE_URL, allow_insecure=self.allow_insecure)
        if self.url or self.password_file:
            fail(os.EX_USAGE, "--url and --password-file go with --username, in place of the configuration.")
        account = self._configured()
        try:
            password = read_platform_password(account)
        except ValueError as error:
            fail(os.EX_CONFIG, f"platform.accounts {account.key}: the password cannot be read: {error}.")
        return _client(account.username, password, account.base_url, allow_insecure=account.allow_insecure)

    def command(self, words: str) -> str:
        """One of ours about the same account, for people to run: with what was given here, but for what the
        environment gives them too."""
        given = {
            "--account": self.account,
            "--username": "" if self.username == os.environ.get(USERNAME) else self.username,
            "--password-file": self.password_file,
            "--url": "" if self.url == os.environ.get(URL) else self.url,
            "--config": self.config,
        }
        options = [f" {option} {shlex.quote(str(value))}" for option, value in given.items() if value]
        return "".join(["smtprelay platform ", words, *options, " --allow-insecure" if self.allow_insecure else ""])

    def _password(self) -> str:
        try:
            return read_secret_file(self.password_file) if self.password_file else os.environ[PASSWORD]
        except KeyError:
            fail(os.EX_USAGE, f"--username needs a password: set ${PASSWORD}, or give --password-file.")
        except ValueError as error:
            fail(os.EX_NOINPUT, f"The password cannot be read: {error}.")

    def _configured(self) -> PlatformAccount:
        absent = f"{config_path(self.config)} has no [[platform.accounts]]: add one, or give --username."
        return platform_account(load_config(self.config).platform.accounts, self.account, absent)


def _client(username: str, password: str, url: str, *, allow_insecure: bool) -> PlatformClient:
    try:
        return PlatformClient(username, password, url, allow_insecure=allow_insecure, hourly=_hourly())
    except ValueError as error:
        fail(os.EX_USAGE, f"--url: {error}".replace("set allow_insecure = true", "give --allow-insecure") + ".")


def _hourly() -> Hourly:
    """What all commands of a user have made within the hour: each is a process of its own."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "smtprelay")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # there is no home to write to: the platform itself says when it is too much
        return Hourly()
    return Hourly(folder / "platform-calls.json")


def logged_in(function: Callable[Concatenate[PlatformClient, ...], None]) -> Callable[..., None]:
    """The command that a function is once somebody is logged in: its first parameter becomes the options of `Login`,
    which it gets as well where it has a parameter `login`."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    tells = any(parameter.name == "login" for parameter in own)
    own = [parameter for parameter in own if parameter.name != "login"]
    options = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for option in inspect.signature(Login, eval_str=True).parameters.values()
    ]

    def command(**given: Any) -> None:
        login = Login(**{option.name: given[option.name] for option in options})
        with ending_well(), login.open() as platform:
            values = {parameter.name: given[parameter.name] for parameter in own}
            function(platform, **values, **({"login": login} if tells else {}))

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    parameters = {parameter.name: parameter for parameter in [*own, *options]}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters.values()]
    )
    command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return command


@contextmanager
def ending_well() -> Iterator[None]:
    """Ends the program with one sentence and one of sysexits' codes where a call fails within."""
    try:
        yield
    except PlatformError as error:
        fail(status_of(error), in_words(error))
    except BrokenPipeError:
        raise  # whoever reads standard output has seen enough
    except OSError as error:
        fail(os.EX_NOINPUT, f"{error.filename or 'A file'} cannot be read: {error.strerror}.")
    except ValueError as error:  # of a parameter, before anything was sent
        fail(os.EX_USAGE, f"{as_commands(str(error))}.")


def as_commands(text: str) -> str:
    """What the client says of its calls and their parameters, with the names that commands and options have."""
    return re.sub(r"`\w+`", lambda name: name[0].replace("_", "-"), text)


def in_words(error: PlatformError) -> str:
    """A sentence, with the call that it is about."""
    return f"{error}{''.join(f' ({note})' for note in getattr(error, '__notes__', ()))}."


def status_of(error: PlatformError) -> int:
    """One of sysexits' codes."""
    match error:
        case NotAuthorised():
            return os.EX_NOPERM
        case TooManyCalls():
            return os.EX_TEMPFAIL
    return os.EX_UNAVAILABLE

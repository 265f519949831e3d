"""Which account a command is for, and how a command ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from smtprelay.platform import CallFailed, NotAuthorised, PlatformUnreachable, TooManyCalls, UnreadableAnswer
from smtprelay.platform.statuses import Status
from tests.platform_cli.conftest import Platform
from tests.test_config import LEAST

Shell = Callable[..., Result]
SERVICE = "<service><id>1</id><service_status>enabled</service_status><qty_available>7</qty_available></service>"
ACCOUNT = '[[platform.accounts]]\nusername = "{0}"\npassword_file = "secret"\nbase_url = "https://{0}.test/api"\n'


def configuration(folder: Path, *names: str) -> str:
    file = folder / "config.toml"
    file.write_text(LEAST + "".join(map(ACCOUNT.format, names)))
    return str(file)


def test_the_only_account_of_the_configuration(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    platform.answers["1.2"] = SERVICE
    result = shell("account", "service", "-c", configuration(tmp_path, "main"), env={})
    assert result.exit_code == 0, result.output
    assert repr(platform.clients[0]) == "PlatformClient(main at https://main.test/api/)"


def test_one_of_several_is_named(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    platform.answers["1.2"] = SERVICE
    config = configuration(tmp_path, "main", "other")
    unnamed = shell("account", "service", "-c", config, env={})
    assert (unnamed.exit_code, unnamed.stderr) == (
        64,
        "There are several accounts: say --account main or --account other.\n",
    )
    unknown = shell("account", "service", "-c", config, "--account", "third", env={})
    assert (unknown.exit_code, unknown.stderr) == (
        64,
        "There is no account third: say --account main or --account other.\n",
    )
    assert shell("account", "service", "-c", config, "--account", "other", env={}).exit_code == 0
    assert platform.clients[0]._core.username == "other"


def test_without_an_account(shell: Shell, tmp_path: Path) -> None:
    config = configuration(tmp_path)
    result = shell("account", "service", "-c", config, env={})
    assert result.exit_code == 78
    assert result.stderr == f"{config} has no [[platform.accounts]]: add one, or give --username.\n"


def test_without_a_configuration(shell: Shell, platform: Platform, tmp_path: Path) -> None:
    platform.answers["1.2"] = SERVICE
    words = ("account", "service", "--username", "example", "--url", "https://edm.test/api/")
    assert shell(*words, "--password-file", "secret", env={}).exit_code == 0
    assert repr(platform.clients[0]) == "PlatformClient(example at https://edm.test/api/)"
    nothing = shell(*words, env={})
    assert nothing.exit_code == 64
    assert nothing.stderr.startswith("--username needs a password: set $SMTPRELAY_PLATFORM_PASSWORD")
    missing = shell(*words, "--password-file", "none", env={})
    assert (missing.exit_code, "none: No such file" in missing.stderr) == (66, True)


def test_plain_http_has_to_be_allowed(shell: Shell, platform: Platform) -> None:
    platform.answers["1.2"] = SERVICE
    words = ("account", "service", "--url", "http://127.0.0.1:9/")
    refused = shell(*words)
    assert refused.exit_code == 64
    assert refused.stderr.endswith('use "https://", or give --allow-insecure.\n')
    assert shell(*words, "--allow-insecure").exit_code == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PlatformUnreachable("edm.test: no answer in time", ambiguous=False), 69),
        (CallFailed(Status("add_maillist_error"), "重名"), 69),
        (UnreadableAnswer("the answer is empty"), 69),
        (TooManyCalls(100, 60), 75),
        (NotAuthorised("refused (HTTP 401): look at username and password"), 77),
        (ValueError("give date, ident or id"), 64),
    ],
)
def test_how_a_command_ends(shell: Shell, platform: Platform, error: Exception, status: int) -> None:
    platform.answers["1.2"] = error
    result = shell("account", "service")
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", f"{error}.\n")


def test_an_error_names_the_call_that_it_is_about(shell: Shell, platform: Platform) -> None:
    error = UnreadableAnswer("the answer is empty")
    error.add_note("call 1.2, account.php")
    platform.answers["1.2"] = error
    assert shell("account", "service").stderr == "the answer is empty (call 1.2, account.php).\n"

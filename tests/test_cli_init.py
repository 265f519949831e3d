"""`smtprelay init`."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from smtprelay.cli import init as command
from smtprelay.cli.app import app
from smtprelay.config import Config, parse_config
from smtprelay.keyfiles import all_keys, require_keys

OPTIONS = ("--mailbox", "news@example.com", "--password-file", "platform.password")


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMTPRELAY_CONFIG", raising=False)
    monkeypatch.setattr(command, "_hostname", lambda: "relay.example.com")


def init(*arguments: str, answers: str = "") -> Result:
    return CliRunner().invoke(app, ["init", "example.com", *arguments], input=answers)


def written(path: Path) -> Config:
    return parse_config(path.read_bytes(), path.parent)


def test_what_it_writes_works(tmp_path: Path) -> None:
    result = init(*OPTIONS, "-c", "relay/config.toml", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    folder = tmp_path / "relay"
    config = written(folder / "config.toml")
    assert answer["config"] == str(folder / "config.toml")
    assert (config.spool.path, config.status.control) == (folder / "spool.db", folder / "control.sock")
    (credential,) = config.upstream.credentials
    assert credential.username == "news@example.com"
    assert credential.password_file == tmp_path / "platform.password"
    assert config.upstream.credential_for("app@example.com") == credential
    (key,) = all_keys(config)
    require_keys(config, [key])
    assert {record["name"]: (record["type"], record["value"]) for record in answer["records"][1:]} == {
        "example.com": ("MX", "10 mail.bestedm.org"),
        "relay1._domainkey.example.com": ("TXT", key.record),
        "_dmarc.example.com": ("TXT", "v=DMARC1; p=none"),
    }
    assert answer["records"][0]["value"] == "v=spf1 include:spf.bestedm.org -all"
    assert stat.S_IMODE(Path(answer["key"]).stat().st_mode) == 0o600


def test_a_person_is_asked_for_the_mailbox_and_where_its_password_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_somebody_is_there", lambda: True)
    result = init("-c", "config.toml", answers="News@Example.com\n\n")
    assert result.exit_code == 0, result.output
    (credential,) = written(tmp_path / "config.toml").upstream.credentials
    assert credential.username == "News@example.com"
    assert credential.password_file == tmp_path / "News@example.com.password"
    assert '\nrelay1._domainkey.example.com. IN TXT ( "k=rsa; p=' in result.stdout
    assert "\n1. Write the password of News@example.com into its file" in result.stdout
    assert f"install -m 600 /dev/stdin {tmp_path}/News@example.com.password" in result.stdout
    assert f"\n5. smtprelay run -c {tmp_path}/config.toml\n" in result.stdout


def test_a_password_that_is_there_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "platform.password").write_text("secret")
    output = init(*OPTIONS, "-c", "config.toml").output
    assert "\n1. Publish these records" in output
    assert "secret" not in output + (tmp_path / "config.toml").read_text()


@pytest.mark.parametrize("hostname", ["relay", "localhost"])
def test_a_hostname_without_a_dot_is_told(hostname: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was written in silence, and the smarthost refused it at EHLO."""
    monkeypatch.setattr(command, "_hostname", lambda: hostname)
    output = init(*OPTIONS, "-c", "config.toml").output
    assert written(tmp_path / "config.toml").gateway.hostname == hostname
    assert f'\n1. In {tmp_path}/config.toml, set [gateway] hostname, now "{hostname}", to ' in output
    monkeypatch.setattr(command, "_hostname", lambda: f"{hostname}.example.com")
    assert "[gateway] hostname" not in init(*OPTIONS, "-c", "other/config.toml").output


def test_where_nobody_can_be_asked_it_says_what_to_give(tmp_path: Path) -> None:
    for arguments in ((), OPTIONS[:2], OPTIONS[2:]):
        result = init("-c", "config.toml", *arguments)
        assert result.exit_code == os.EX_USAGE
        assert "--mailbox and --password-file" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["config.toml", "example.com.relay1.pem"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    result = init(*OPTIONS, "-c", "config.toml")
    assert result.exit_code == os.EX_CANTCREAT
    assert f"{there} exists and stays as it is" in result.stderr
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(there, "precious")]


def test_the_configuration_lies_where_every_command_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the default place the spool and the control socket are the daemon's own too."""
    monkeypatch.setattr("smtprelay.cli.configuration.DEFAULT_CONFIG", tmp_path / "etc" / "config.toml")
    monkeypatch.setattr(command, "DEFAULT_CONFIG", tmp_path / "etc" / "config.toml")
    result = init(*OPTIONS)
    assert result.exit_code == 0, result.output
    config = written(tmp_path / "etc" / "config.toml")
    assert config.spool.path == Path("/var/lib/smtprelay/spool.db")
    assert config.status.control == Path("/run/smtprelay/control.sock")
    assert config.domains[0].keys[0].file == tmp_path / "etc" / "keys" / "example.com.relay1.pem"
    assert "\n3. smtprelay domain check example.com --watch    waits" in result.stdout
    assert "\n4. systemctl enable --now smtprelay" in result.stdout
    monkeypatch.setenv("SMTPRELAY_CONFIG", str(tmp_path / "other.toml"))
    assert init(*OPTIONS).exit_code == 0
    assert (tmp_path / "other.toml").exists()


@pytest.mark.parametrize("arguments", [("--mailbox", "news", *OPTIONS[2:]), ("--mailbox", 'a"b@c"', *OPTIONS[2:])])
def test_a_mailbox_that_is_none_is_refused_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = init("-c", "config.toml", *arguments)
    assert result.exit_code == os.EX_USAGE
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_odd_names_are_quoted(tmp_path: Path) -> None:
    result = init("--mailbox", '"a b"@example.com', "--password-file", 'pass "word"', "-c", "config.toml")
    assert result.exit_code == 0, result.output
    (credential,) = written(tmp_path / "config.toml").upstream.credentials
    assert (credential.username, credential.password_file) == ('"a b"@example.com', tmp_path / 'pass "word"')


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = init(*OPTIONS, "-c", "file/config.toml")
    assert result.exit_code == os.EX_CANTCREAT
    assert "cannot be written" in result.stderr

"""The unit files by systemd's own tools, and `smtprelay install-service`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from smtprelay.cli.app import app
from tests.debian import ROOT, ROOT_USER, needs

EXPOSURE = 1.5  # of systemd-analyze security, which knows 10 as the worst
UNITS = {"smtprelay.service", "smtprelay-smtp.socket", "smtprelay-submission.socket", "smtprelay-submissions.socket"}
CONFS = {"etc/sysusers.d/smtprelay.conf", "etc/tmpfiles.d/smtprelay.conf"}


def install(root: Path, *options: str, status: int = 0) -> str:
    """Run it. :returns: what it printed."""
    run = CliRunner().invoke(app, ["install-service", "--root", str(root), *options])
    assert run.exit_code == status, run.output
    return run.output


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    install(tmp_path, "--write", "--sockets")
    return tmp_path / "etc/systemd/system"


def analyze(*arguments: str) -> str:
    run = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


@needs("systemd-analyze")
def test_the_units_are_accepted_together(installed: Path) -> None:
    assert analyze("verify", *(str(installed / name) for name in UNITS)) == ""


@needs("systemd-analyze")
def test_the_service_is_not_exposed(installed: Path) -> None:
    output = analyze("security", "--offline=yes", "--no-pager", str(installed / "smtprelay.service"))
    [level] = re.findall(r"Overall exposure level for smtprelay\.service: ([\d.]+)", output)
    assert float(level) <= EXPOSURE


@needs("systemd-analyze")
@needs(ROOT_USER)
def test_the_user_and_the_folders_can_be_made(installed: Path, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\n")
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", "smtprelay.conf"], check=True, capture_output=True)
    assert re.search(r"^smtprelay:x:\d+:\d+:SMTP relay:/var/lib/smtprelay:/usr/sbin/nologin$", *text(etc / "passwd"))
    command = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", "smtprelay.conf"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert oct((tmp_path / "var/lib/smtprelay").stat().st_mode) == "0o40700"
    assert oct((etc / "smtprelay").stat().st_mode) == "0o40750"


def text(path: Path) -> tuple[str, re.RegexFlag]:
    return path.read_text(), re.MULTILINE


def test_they_are_shown_and_not_written(tmp_path: Path) -> None:
    output = install(tmp_path, "--sockets")
    assert list(tmp_path.iterdir()) == []
    assert "+Type=notify" in output
    assert "install-service --write" in output
    assert {path.name for path in (ROOT / "systemd").glob("smtprelay*")} == UNITS
    for name in UNITS:
        assert f"new       {tmp_path / 'etc/systemd/system' / name}" in output


def test_they_are_for_this_installation(installed: Path, tmp_path: Path) -> None:
    command = re.findall(r"^ExecStart=(\S+) run -c /etc/smtprelay/config.toml$", *text(installed / "smtprelay.service"))
    assert command == [str(Path(sys.executable).parent / "smtprelay")]
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {f"etc/systemd/system/{name}" for name in UNITS} | CONFS


@needs("systemd-analyze")
@pytest.mark.parametrize("folder", ["100%u", "my relay", "$HOME"])
def test_a_path_is_not_read_as_anything_else(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A space ended the command, and "%u" was a specifier."""
    command = tmp_path / folder / "smtprelay"
    command.parent.mkdir()
    command.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(command.with_name("python")))
    install(tmp_path, "--write")
    assert analyze("verify", str(tmp_path / "etc/systemd/system/smtprelay.service")) == ""


@pytest.mark.parametrize("folder", ["it's", 'a"b', "a\\b", "a\nb"])
def test_a_path_that_systemd_does_not_take_is_refused(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", f"/opt/{folder}/bin/python")
    assert "systemd starts nothing that has quotes" in install(tmp_path, "--write", status=78)
    assert not list(tmp_path.iterdir())


def test_without_sockets_there_are_none(tmp_path: Path) -> None:
    install(tmp_path, "--write")
    assert [path.name for path in (tmp_path / "etc/systemd/system").iterdir()] == ["smtprelay.service"]


def test_what_was_changed_is_kept_and_nothing_else_is_written(tmp_path: Path) -> None:
    """Units of two versions may not go together, and an operator's changes are not ours to undo."""
    install(tmp_path, "--write")
    unit = tmp_path / "etc/systemd/system/smtprelay.service"
    changed = unit.read_text().replace("RestartSec=10", "RestartSec=1")
    unit.write_text(changed)
    output = install(tmp_path, "--write", "--sockets", status=73)
    assert "-RestartSec=1\n+RestartSec=10\n" in output
    assert unit.read_text() == changed
    assert [path.name for path in unit.parent.iterdir()] == ["smtprelay.service"]
    install(tmp_path, "--write", "--force")
    assert "RestartSec=10\n" in unit.read_text()
    assert f"unchanged {unit}" in install(tmp_path, "--write")


def test_where_it_may_not_write_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "etc").touch()
    assert "Do this as root" in install(tmp_path, "--write", status=73)


def test_an_installation_that_the_service_cannot_see_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ProtectHome= and PrivateTmp= hide it: 203/EXEC at the first start."""
    monkeypatch.setattr(sys, "base_prefix", "/home/ops/.pyenv/versions/3.13.1")
    assert "/home/ops/.pyenv/versions/3.13.1 is hidden from the service" in install(Path("/"))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(sys, "executable", "/opt/smtprelay/bin/python3")
    assert "hidden" not in install(Path("/"))


def test_for_a_package_nothing_is_said_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: its builder was to make a user here, and warned of where he builds."""
    monkeypatch.setattr(sys, "executable", "/home/ops/build/bin/python3")
    output = install(tmp_path, "--write")
    assert output.endswith("\nThe service starts /home/ops/build/bin/smtprelay: the package has to bring it there.\n")
    assert "systemd-sysusers" not in output
    assert "hidden" not in output


def test_as_json(tmp_path: Path) -> None:
    [first, *_] = json.loads(install(Path("/"), "--json").partition("\n}")[0] + "\n}")["next"]
    assert first.endswith("systemd-sysusers smtprelay.conf")
    shown = json.loads(install(tmp_path, "--json", "--sockets"))
    assert {Path(file["path"]).name for file in shown["files"]} == UNITS | {"smtprelay.conf"}
    assert {file["state"] for file in shown["files"]} == {"new"}
    assert shown["next"] == []


def test_each_socket_is_named_as_the_configuration_calls_it() -> None:
    """FileDescriptorName= is what "fd:NAME" means, and what the file says to set."""
    for path in (ROOT / "systemd").glob("*.socket"):
        [name] = re.findall(r"^FileDescriptorName=(\w+)$", *text(path))
        assert path.name == f"smtprelay-{name}.socket"
        assert f'["fd:{name}"]' in path.read_text()
        assert "\nService=smtprelay.service\n" in path.read_text()

"""`platform mailboxes password`: whatever happens to the command, no password is lost."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smtprelay.cli.platform import mailbox_password
from smtprelay.platform import CallFailed
from smtprelay.platform.statuses import Status
from tests.test_config import DOMAIN

ADDRESS = "news@example.com"


@dataclass
class Platform:
    """It takes whatever it is told."""

    told: list[str] = field(default_factory=list)

    @property
    def mailboxes(self) -> Platform:
        return self

    def set_password(self, address: str, password: str, *, customer_id: int | None = None) -> None:
        assert address == ADDRESS
        self.told.append(password)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    credential = f'[[upstream.credentials]]\nusername = "{ADDRESS}"\npassword_file = "password"\n'
    control = '[status]\ncontrol = "control.sock"\n'
    (tmp_path / "config.toml").write_text(credential + DOMAIN + control)
    (tmp_path / "password").write_text("old\n")
    (tmp_path / "password").chmod(0o640)
    return tmp_path / "config.toml"


def change(config: Path, new: str = "new", platform: Platform | None = None) -> list[str]:
    """Run the command. :returns: what the platform was told."""
    platform = platform or Platform()
    given = config.parent / f"given-{threading.get_ident()}"
    given.write_text(f"{new}\n", encoding="utf-8")
    mailbox_password.password(platform, ADDRESS, file=given, config=config)  # type: ignore[arg-type]
    return platform.told


@pytest.mark.parametrize("new", ["new", " with blanks ", "密码", 'quotes " and \\'])
def test_it_is_put_where_the_old_one_was_as_it_is(config: Path, new: str) -> None:
    assert change(config, new) == [new]
    file = config.parent / "password"
    assert file.read_text(encoding="utf-8") == f"{new}\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert not [path for path in config.parent.iterdir() if path.name.startswith((".", "password."))]


def test_one_that_the_platform_may_have_been_told_is_never_written_anew(config: Path) -> None:
    """The fault: it was truncated first; a machine that stopped then had neither the old password nor the new one."""
    (config.parent / "password.new").write_text("begun")
    assert change(config) == ["begun"]
    assert (config.parent / "password").read_text() == "begun"


def test_of_two_changes_at_the_same_time_the_second_waits(config: Path) -> None:
    """The fault: the platform was told one, and the other one was put into the file; and where it refused one, the
    other's password was taken away."""
    first, second = Platform(), threading.Thread(target=change, args=[config, "second"])

    def refuse(*told: str, **options: object) -> None:
        second.start()
        second.join(0.1)  # it would be done by then, or in the middle
        assert second.is_alive()
        raise CallFailed(Status("error.password"), "")

    first.set_password = refuse  # type: ignore[method-assign]
    with pytest.raises(CallFailed):
        change(config, "first", first)
    second.join()
    assert (config.parent / "password").read_text() == "second\n"
    assert not (config.parent / "password.new").exists()


def test_a_file_that_cannot_be_replaced_is_told_with_the_place_of_the_new_password(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fault: a traceback, where the password was changed already (a file that is mounted, say)."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(SystemExit):
        change(config)
    told = " ".join(capsys.readouterr().err.split())
    assert "The password is changed at the platform, but" in told
    assert "password.new" in told
    assert (config.parent / "password.new").read_text() == "new\n"

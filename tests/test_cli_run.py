"""The command line of `smtprelay run`, which it reads by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from smtprelay.cli.run import _config


@pytest.mark.parametrize(
    "arguments", [["-c", "a.toml"], ["-ca.toml"], ["--config", "a.toml"], ["--config=a.toml"]], ids=" ".join
)
def test_the_configuration_can_be_named(arguments: Sequence[str]) -> None:
    assert _config(arguments) == Path("a.toml")


def test_it_need_not_be_named() -> None:
    assert _config([]) is None


def test_help_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        _config(["--help"])
    assert not end.value.code
    assert "Usage: smtprelay run [-c FILE]" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["-x"], ["-c"], ["config.toml"], ["-c", "a", "b"]], ids=" ".join)
def test_what_is_not_understood_is_refused(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        _config(arguments)
    assert end.value.code == 64
    assert "Usage:" in capsys.readouterr().err

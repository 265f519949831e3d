"""The command line of `smtprelay run`, which it reads by itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from smtprelay.cli.run import _config, _run
from smtprelay.config import ConfigError
from smtprelay.problems import RELOAD
from smtprelay.settings import read_settings


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


def test_who_runs_without_a_configuration_is_told_how_to_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        _run(tmp_path / "config.toml")
    assert end.value.code == os.EX_CONFIG
    advice = "cannot be read: No such file or directory. Name the configuration with -c FILE.\n"
    assert capsys.readouterr().err.endswith(advice)


def test_a_reload_without_a_configuration_is_not_told_of_options(tmp_path: Path) -> None:
    """The daemon that runs was told to name it with -c FILE; and the sentence had two full stops."""
    file = tmp_path / "config.toml"
    with pytest.raises(ConfigError) as caught:
        read_settings(file)
    sentence = RELOAD.of(words="; ".join(caught.value.problems)).sentence
    assert sentence.endswith(f"stays: {file} cannot be read: No such file or directory.")

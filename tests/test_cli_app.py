"""What the command line says of itself."""

from __future__ import annotations

from typer.testing import CliRunner

from smtprelay import __version__
from smtprelay.cli.app import app


def test_the_version() -> None:
    run = CliRunner().invoke(app, ["--version"])
    assert (run.exit_code, run.output) == (0, f"smtprelay {__version__}\n")

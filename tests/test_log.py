"""What stands in the log, and what must not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from smtprelay import log
from smtprelay.config import Log


@pytest.fixture(autouse=True)
def afterwards_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(capsys: pytest.CaptureFixture[str], settings: Log, **words: object) -> dict[str, object]:
    log.configure(settings)
    structlog.get_logger().info("event", **words)
    entry: dict[str, object] = json.loads(capsys.readouterr().out)
    return entry


def test_times_have_their_offset(capsys: pytest.CaptureFixture[str]) -> None:
    stamp = datetime.fromisoformat(str(logged(capsys, Log(format="json"))["timestamp"]))
    assert stamp.utcoffset() is not None


def test_addresses_can_be_masked_wherever_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    words = {
        "recipient": "bob@example.org",
        "reply": "550 5.1.1 <bob@example.org>: no such user",
        "ids": ["carol@example.org"],
        "message_id": "<id@example.org>",
    }
    entry = logged(capsys, Log(format="json", addresses="masked"), **words)
    assert entry["recipient"] == "b***@example.org"
    assert entry["reply"] == "550 5.1.1 <b***@example.org>: no such user"
    assert entry["ids"] == ["c***@example.org"]
    assert entry["message_id"] == "<id@example.org>"
    assert logged(capsys, Log(format="json"), **words)["recipient"] == "bob@example.org"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """They hold passwords and bodies."""
    log.configure(Log.model_validate({"format": form}))
    password = "hunter" + "2"
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    printed = capsys.readouterr().out
    assert "broken" in printed
    assert password not in printed


def test_the_library_leaves_standard_output_to_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    library = log.get_logger("rendering")
    library.error("ended", pid=1)
    said = capsys.readouterr()
    assert (said.out, "ended" in said.err) == ("", True)
    log.configure(Log(format="json"))
    library.error("ended", pid=1)
    said = capsys.readouterr()
    assert (json.loads(said.out)["event"], said.err) == ("ended", "")


def test_other_settings_count_for_a_logger_that_is_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(Log(format="json", level="error"))
    logger = structlog.get_logger()
    logger.info("too little")
    logger.error("enough")
    assert json.loads(capsys.readouterr().out)["event"] == "enough"
    log.configure(Log(format="json", level="debug", addresses="masked"))
    logger.debug("now", recipient="bob@example.org")
    assert json.loads(capsys.readouterr().out)["recipient"] == "b***@example.org"
    log.configure(Log(format="console", level="warning"))
    logger.log(20, "too little")
    logger.log(30, "text")
    assert capsys.readouterr().out.split()[-1] == "text"


def test_the_journal_is_told_of_priorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`journalctl -p err` finds what is wrong; whatever else standard output is gets the bare line."""
    for name, journal in (("journal", True), ("file", False)):
        with (tmp_path / name).open("w+") as stream:
            status = os.fstat(stream.fileno())
            monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino if journal else 1}")
            monkeypatch.setattr(sys, "stdout", stream)
            log.configure(Log(format="json"))
            for method in ("error", "warning", "info"):
                getattr(structlog.get_logger(), method)("event")
    heads = [line.partition("{")[0] for line in (tmp_path / "journal").read_text().splitlines()]
    assert heads == ["<3>", "<4>", "<6>"]
    assert {line[0] for line in (tmp_path / "file").read_text().splitlines()} == {"{"}

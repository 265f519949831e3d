"""Where the list of addresses that are not sent to is written."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from smtprelay.cli.suppression_files import Wanted, write_file
from smtprelay.spool import Suppression
from smtprelay.suppression_file import Format


class Relay:
    """Tells two addresses, or breaks off."""

    breaks = False

    def suppression_count(self) -> dict[str, int]:
        return {"1": 2}

    def suppressions(self, *_: object) -> Iterator[Suppression]:
        yield Suppression("a@example.org", "1", 0)
        if self.breaks:
            raise ConnectionResetError
        yield Suppression("b@example.org", "1", 0)


def export(path: Path, relay: Any = None) -> int:
    return write_file(relay or cast("Any", Relay()), Wanted(), path, Format.CSV)


def test_a_link_that_somebody_put_there_is_not_written_through(tmp_path: Path) -> None:
    """In /tmp anybody can: root wrote the list over what `list.csv.part` led to."""
    precious = tmp_path / "precious"
    precious.write_text("as it was", "utf-8")
    (tmp_path / "list.csv.part").symlink_to(precious)
    assert export(tmp_path / "list.csv") == 2
    assert precious.read_text("utf-8") == "as it was"
    assert len((tmp_path / "list.csv").read_text("utf-8").splitlines()) == 3
    assert stat.S_IMODE((tmp_path / "list.csv").stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["list.csv", "list.csv.part", "precious"]


def test_what_is_there_keeps_its_mode_and_stays_where_it_breaks_off(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("old", "utf-8")
    (tmp_path / "list.csv").chmod(0o640)
    (tmp_path / "link").symlink_to("list.csv")
    broken = Relay()
    broken.breaks = True
    with pytest.raises(ConnectionResetError):
        export(tmp_path / "link", broken)
    assert (tmp_path / "list.csv").read_text("utf-8") == "old"
    export(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "list.csv").stat().st_mode) == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "list.csv"]


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    """An export to /dev/stdout, by root, put a file in its place."""
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reading = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reading.start()
    assert export(tmp_path / "pipe") == 2
    reading.join(10)
    assert len(read[0].splitlines()) == 3
    assert (tmp_path / "pipe").is_fifo()

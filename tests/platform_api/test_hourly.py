"""What the platform takes in an hour, counted by one process or by several."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smtprelay.platform import TooManyCalls
from smtprelay.platform.hourly import Hourly


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=[False, True], ids=["memory", "file"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "hourly" if request.param else None


def test_an_hour_is_the_last_sixty_minutes(file: Path | None) -> None:
    clock = Clock()
    hourly = Hourly(file, clock)
    for _ in range(3):
        hourly.count("6.2", 3)
        clock.now += 600
    with pytest.raises(TooManyCalls) as caught:
        hourly.count("6.2", 3)
    assert caught.value.again == 1800
    hourly.count("other", 3)
    clock.now += 1800
    hourly.count("6.2", 3)
    with pytest.raises(TooManyCalls, match="try again in 10 minutes"):
        hourly.count("6.2", 3)


def test_a_call_that_is_refused_does_not_count(file: Path | None) -> None:
    clock = Clock()
    hourly = Hourly(file, clock)
    hourly.count("6.2", 1)
    for _ in range(3):
        clock.now += 600
        with pytest.raises(TooManyCalls):
            hourly.count("6.2", 1)
    clock.now += 1800
    hourly.count("6.2", 1)


def test_a_clock_that_was_set_back_holds_up_for_an_hour_at_most(file: Path | None) -> None:
    clock = Clock()
    hourly = Hourly(file, clock)
    hourly.count("6.2", 1)
    clock.now -= 86_400
    with pytest.raises(TooManyCalls) as caught:
        hourly.count("6.2", 1)
    assert caught.value.again == 3600


def test_processes_that_share_a_file_share_the_hour(tmp_path: Path) -> None:
    """Each command is a process of its own."""
    file = tmp_path / "hourly"
    code = "from smtprelay.platform.hourly import *; import sys; Hourly(Path(sys.argv[1])).count('6.2', 2)"
    ends = [subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True) for _ in range(3)]
    assert [end.returncode for end in ends] == [0, 0, 1]
    assert "the platform takes 2 of these an hour" in ends[2].stderr
    assert file.stat().st_mode & 0o777 == 0o600


def test_none_is_forgotten_where_many_count_at_once(tmp_path: Path) -> None:
    file = tmp_path / "hourly"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: Hourly(file).count("6.2", 100), range(100)))
    with pytest.raises(TooManyCalls):
        Hourly(file).count("6.2", 100)


@pytest.mark.parametrize(
    "damage", [b"", b"\x00\xff", b"{", b"[]", b"7", b'{"6.2": 7}', b'{"6.2": ["a"]}', b'{"6.2": [[]]}', b"[" * 100_000]
)
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "hourly"
    file.write_bytes(damage)
    Hourly(file).count("6.2", 1)
    with pytest.raises(TooManyCalls):
        Hourly(file).count("6.2", 1)


def test_a_file_that_cannot_be_written_is_no_permission_to_ask(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        Hourly(tmp_path / "missing" / "hourly").count("6.2", 1)

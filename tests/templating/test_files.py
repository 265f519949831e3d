"""What is read from the directory, and what is kept in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smtprelay.templating.files import MAX_FILE, FileError, Files
from smtprelay.templating.lru import LRU


def test_a_change_within_a_tick_of_the_clock_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size and times stay as they were: what has just been written is read again all the same."""
    monkeypatch.setattr("smtprelay.templating.files._mark", lambda status: (1,))
    files = Files(tmp_path)
    for data in (b"1", b"2", b"3"):
        (tmp_path / "a").write_bytes(data)
        assert files.read("a") == data


def test_what_is_settled_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(tmp_path)
    (tmp_path / "a").write_bytes(b"1")
    later = (tmp_path / "a").stat().st_ctime_ns + 2 * 10**9
    monkeypatch.setattr("time.time_ns", lambda: later)
    first = files.read("a")
    assert files.read("a") is first
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "b").replace(tmp_path / "a")
    assert files.read("a") == b"2"
    (tmp_path / "a").unlink()
    assert files.read("a") is None


def test_a_link_that_comes_to_lead_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    files = Files(folder)
    assert files.read("a") == b"1"
    (folder / "a").unlink()
    (folder / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(FileError, match="leads outside"):
        files.read("a")


def test_a_directory_that_is_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_bytes(b"1")
    (tmp_path / "link").symlink_to("real")
    assert Files(tmp_path / "link").read("a") == b"1"


def test_a_directory_that_is_exchanged_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: a deployment that exchanges the link had files of before refused as lying outside."""
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "a").write_text(release)
    link = tmp_path / "current"
    link.symlink_to("1")
    fstat = os.fstat

    def exchange(fd: int) -> os.stat_result:
        (tmp_path / "new").symlink_to("2")
        (tmp_path / "new").replace(link)
        return fstat(fd)

    files = Files(link)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", exchange)
        assert files.read("a") == b"1"
    assert files.read("a") == b"2"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    files = Files(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_FILE + 1)
    for name, problem in (
        ("loop", "cannot be read"),
        ("large", "more than"),
        ("folder", "Is a directory"),
        ("a\0", "cannot be read"),
    ):
        with pytest.raises(FileError, match=problem):
            files.read(name)
    assert files.read("missing/file") is files.read("large/file") is None
    assert Files(tmp_path / "missing").names() == []


def test_hidden_files_are_not_listed(tmp_path: Path) -> None:
    for name in ("b/c", "a", ".git/x", "b/.swp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert Files(tmp_path).names() == ["a", "b/c"]


def test_what_was_seen_is_noticed_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    files = Files(tmp_path)
    with files.watch() as seen:
        files.read("a")
        files.read("b")
    files.read("c")
    assert seen == {"a": b"1", "b": None}
    assert files.unchanged(seen)
    (tmp_path / "b").write_bytes(b"2")
    assert not files.unchanged(seen)


def test_the_least_recently_used_goes() -> None:
    lru = LRU[str, int](100)
    for name in "abcd":
        lru.put(name, ord(name), 25)
    assert lru.get("a") == ord("a")
    lru.put("e", 1, 25)
    assert [name for name in "abcde" if lru.get(name) is not None] == ["a", "c", "d", "e"]
    lru.put("large", 1, 26)
    assert lru.get("large") is None
    lru.put("a", 2, 5)
    lru.put("f", 3, 20)
    assert [name for name in "acdef" if lru.get(name) is not None] == ["a", "c", "d", "e", "f"]

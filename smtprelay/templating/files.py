"""The files of the templates' directory: what lies within it, and nothing that a name or a link leads out to."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path

from smtprelay.templating.lru import LRU

MAX_FILE = 16 * 2**20  # octets; what is larger does not go by mail
_KEPT = 32 * 2**20  # octets of all files
_SETTLED = 10**9  # ns: a file that changed since may change again within the same tick of its clock


class FileError(Exception):
    """A file that may not, or cannot, be used; the text says what to do."""


class Files:
    """Reads files by their names in the directory (``shop/receipt/body.html.j2``), each anew once it has changed.

    :param directory: need not exist: there is nothing in it then.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._kept: LRU[str, tuple[tuple[int, ...], bytes]] = LRU(_KEPT)
        self._seen: dict[str, bytes | None] | None = None

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is none.

        :raises FileError: where the name or a symlink leads outside, where it is no regular file, or too large, or
            may not be read.
        """
        if self._seen is not None and name in self._seen:
            return self._seen[name]  # one rendering sees a file in one state
        check_name(name)
        data = self._read(name)
        if self._seen is not None:
            self._seen[name] = data
        return data

    @contextmanager
    def watch(self) -> Iterator[dict[str, bytes | None]]:
        """What is read, and what is found missing, meanwhile: by name."""
        seen: dict[str, bytes | None] = {}
        self._seen = seen
        try:
            yield seen
        finally:
            self._seen = None

    def unchanged(self, seen: Mapping[str, bytes | None]) -> bool:
        """Whether all that was seen is still so."""
        return all(self.read(name) == data for name, data in seen.items())

    def names(self) -> list[str]:
        """All files, in order, but hidden ones."""
        found = []
        for folder, folders, files in os.walk(self.directory):
            folders[:] = [name for name in folders if not name.startswith(".")]
            below = Path(folder).relative_to(self.directory)
            found += [(below / name).as_posix() for name in files if not name.startswith(".")]
        return sorted(found)

    def _read(self, name: str) -> bytes | None:
        path = f"{self.directory}/{name}"  # pathlib takes longer than the system's call
        try:
            mark = _mark(os.stat(path))  # noqa: PTH116
            kept = self._kept.get(name)
            if kept and kept[0] == mark:
                return kept[1]
            opened, directory = self._open(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:  # ELOOP, EACCES, ENAMETOOLONG; ValueError of a NUL
            raise FileError(f"{name!r} cannot be read: {getattr(error, 'strerror', error)}") from error
        with opened as file:
            status = os.fstat(file.fileno())
            self._check(name, file.fileno(), status, directory)
            data = file.read(MAX_FILE)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED:
            self._kept.put(name, (_mark(status), data), len(data))
        return data

    def _open(self, name: str) -> tuple[BufferedReader, Path]:
        """A file, and where the directory was that it is from: that may be a symlink, which deployments exchange."""
        directory = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        try:
            return open(name, "rb", opener=partial(_open_in, directory)), _place(directory)
        finally:
            os.close(directory)

    def _check(self, name: str, fd: int, status: os.stat_result, directory: Path) -> None:
        # What is open is asked, not the path: that could become another between the question and the answer.
        if not _place(fd).is_relative_to(directory):
            raise FileError(f"{name!r} is a symlink that leads outside the templates' directory: copy the file into it")
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{name!r} is not a file")
        if status.st_size > MAX_FILE:
            raise FileError(f"{name!r} has more than {MAX_FILE} octets: too much for a mail")


def check_name(name: str) -> None:
    """:raises FileError: where a name could lead outside."""
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise FileError(f"{name!r} leads outside the templates' directory: name what lies within it, without '..'")


def _open_in(directory: int, name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK, dir_fd=directory)  # a FIFO would wait for its writer


def _place(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}").readlink()


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

"""`smtprelay suppress import`, `export` and `remove --file`: files of a million lines, a slice at a time."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, TypeVar

from smtprelay.cli.remote import Relay
from smtprelay.contacts import BadLine, ContactFile, Duplicate
from smtprelay.suppression_file import Format, header, lines_of, read_entries
from smtprelay.suppression_list import MAX_ENTRIES, PAGE

T = TypeVar("T")


def enter_file(relay: Relay, file: ContactFile, cause: str, *, as_json: bool) -> int:
    """Enter what is in a file; bad lines are told, and left out.

    :param cause: of the lines that name none.
    :param as_json: as JSON lines.
    :returns: one of sysexits' codes.
    """
    tally = _Tally(as_json, _ENTERED)
    complete = False
    try:
        with _bar(file.lines, shown=sys.stdout.isatty() and not as_json) as move:
            for changed in relay.suppress(_slices(tally.good(read_entries(file, cause, "import")), MAX_ENTRIES)):
                tally.done(changed)
                move(tally.on_disk + tally.bad)
            move(file.lines)
        complete = True
    finally:
        if not complete:
            told = f"Not all was entered: the first {tally.on_disk:,} addresses were. Run the same command again."
            print(told, file=sys.stderr)
    tally.summary()
    return os.EX_DATAERR if tally.bad else os.EX_OK


def remove_file(relay: Relay, file: ContactFile, *, as_json: bool) -> int:
    """Take what is in a file off the list; bad lines are told, and left out. To run it again does no harm.

    :param as_json: as JSON lines.
    :returns: one of sysexits' codes.
    """
    tally = _Tally(as_json, _REMOVED)
    contacts = (item for item in file if not isinstance(item, Duplicate))
    addresses = (contact.address for contact in tally.good(contacts))
    with _bar(file.lines, shown=sys.stdout.isatty() and not as_json) as move:
        for unknown in relay.unsuppress(_slices(addresses, PAGE)):
            tally.done(tally.taken - tally.on_disk - len(unknown))
            move(tally.on_disk + tally.bad)
        move(file.lines)
    tally.summary()
    return os.EX_DATAERR if tally.bad else os.EX_OK


@dataclass(frozen=True)
class Wanted:
    """Which addresses are meant.

    :param text: only with it in address, source or note.
    :param cause: only those; ``""``: all.
    """

    text: str = ""
    cause: str = ""


def write_file(relay: Relay, wanted: Wanted, path: Path, form: Format) -> int:
    """Write the list to a file, which is there as a whole or not at all, and which only its owner can read where it is
    new. What is no file, such as /dev/stdout, is written to as it is.

    :returns: how many addresses there are.
    :raises OSError: it cannot be written.
    """
    path = path.resolve()  # a link stays one
    with _bar(_total(relay, wanted), shown=sys.stdout.isatty()) as move:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                return write_stream(relay, wanted, stream, form, move)
        # Under a name that nobody can foresee: in /tmp, somebody may have put a link there.
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as part:
            try:
                count = write_stream(relay, wanted, part, form, move)
                if path.exists():
                    shutil.copymode(path, part.name)
                Path(part.name).replace(path)
            except BaseException:
                Path(part.name).unlink()
                raise
    return count


def write_stream(
    relay: Relay, wanted: Wanted, stream: IO[bytes], form: Format, move: Callable[[int], None] = lambda done: None
) -> int:
    """The same to a stream. :param move: is told after each slice how many are written."""
    stream.write(header(form).encode())
    count = 0
    for entries in _slices(relay.suppressions(wanted.cause, wanted.text, "", sys.maxsize), PAGE):
        stream.write(lines_of(entries, form).encode())
        count += len(entries)
        move(count)
    stream.flush()
    return count


@dataclass(frozen=True)
class _Words:
    """What is told.

    :param on_disk: what addresses are that were done with, in JSON.
    :param changed: what those of them are of which the list says something else than before, in JSON.
    :param summary: of both, for people.
    """

    on_disk: str
    changed: str
    summary: str


_ENTERED = _Words("entered", "changed", "{on_disk:,} read, {changed:,} of them new or changed")
_REMOVED = _Words("read", "removed", "{on_disk:,} read, {changed:,} of them removed: mail goes there again")


@dataclass
class _Tally:
    """How it went so far.

    :ivar taken: addresses that were read.
    :ivar on_disk: those of them that were done with, on the disk.
    :ivar changed: those of them of which the list says something else than before.
    :ivar bad: lines that cannot be used.
    """

    as_json: bool
    words: _Words
    taken: int = 0
    on_disk: int = 0
    changed: int = 0
    bad: int = 0
    began: float = field(default_factory=time.monotonic)

    def good(self, items: Iterable[T | BadLine]) -> Iterator[T]:
        """Those that can be used."""
        for item in items:
            if not isinstance(item, BadLine):
                self.taken += 1
                yield item
                continue
            self.bad += 1
            if self.as_json:
                _print({"line": item.line, "bad": item.reason})
            else:
                print(f"line {item.line}: {item.reason}", file=sys.stderr)

    def done(self, changed: int) -> None:
        """What was taken is on the disk."""
        self.on_disk = self.taken
        self.changed += changed
        if self.as_json:
            _print(self._facts())

    def _facts(self) -> dict[str, int]:
        return {self.words.on_disk: self.on_disk, self.words.changed: self.changed}

    def summary(self) -> None:
        seconds = time.monotonic() - self.began
        if self.as_json:
            _print({"summary": {**self._facts(), "bad_lines": self.bad, "seconds": round(seconds, 3)}})
            return
        bad = f"; {self.bad:,} bad line{'s' * (self.bad != 1)}" if self.bad else ""
        told = self.words.summary.format(on_disk=self.on_disk, changed=self.changed)
        print(f"{told}{bad}; {seconds:.1f} s")


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def _total(relay: Relay, wanted: Wanted) -> int:
    """At most; nobody knows how many have a text."""
    count = relay.suppression_count()
    return count.get(wanted.cause, 0) if wanted.cause else sum(count.values())


def _slices(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar of the work. :returns: what moves it."""
    if not shown:
        yield lambda done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)

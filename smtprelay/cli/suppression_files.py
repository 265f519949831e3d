"""`smtprelay suppress import` and `export`: files of a million lines, a slice at a time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from smtprelay.cli.remote import Relay
from smtprelay.contacts import BadLine, ContactFile
from smtprelay.suppression_file import Format, header, lines_of, read_entries
from smtprelay.suppression_list import MAX_ENTRIES, PAGE, Entry

T = TypeVar("T")


def enter_file(relay: Relay, file: ContactFile, cause: str, *, as_json: bool) -> int:
    """Enter what is in a file; bad lines are told, and left out.

    :param cause: of the lines that name none.
    :param as_json: as JSON lines.
    :returns: one of sysexits' codes.
    """
    tally = _Tally(as_json)
    complete = False
    try:
        with _bar(file.lines, shown=sys.stdout.isatty() and not as_json) as move:
            for changed in relay.suppress(_slices(tally.good(read_entries(file, cause, "import")), MAX_ENTRIES)):
                tally.entered(changed)
                move(tally.on_disk + tally.bad)
            move(file.lines)
        complete = True
    finally:
        if not complete:
            told = f"Not all was entered: the first {tally.on_disk:,} addresses were. Run the same command again."
            print(told, file=sys.stderr)
    tally.summary()
    return os.EX_DATAERR if tally.bad else os.EX_OK


def write_file(relay: Relay, path: Path, form: Format) -> int:
    """Write the list to a file, which is there as a whole or not at all.

    :returns: how many addresses there are.
    :raises OSError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as stream, _bar(_total(relay), shown=sys.stdout.isatty()) as move:
            count = write_stream(relay, stream, form, move)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def write_stream(relay: Relay, stream: BinaryIO, form: Format, move: Callable[[int], None] = lambda done: None) -> int:
    """The same to a stream. :param move: is told after each slice how many are written."""
    stream.write(header(form).encode())
    count = 0
    for entries in _slices(relay.suppressions("", "", "", sys.maxsize), PAGE):
        stream.write(lines_of(entries, form).encode())
        count += len(entries)
        move(count)
    stream.flush()
    return count


@dataclass
class _Tally:
    """How it went so far.

    :ivar taken: addresses that were read.
    :ivar on_disk: those of them that are on the list, and on the disk.
    :ivar changed: those of them that were new, or were there otherwise.
    :ivar bad: lines that cannot be used.
    """

    as_json: bool
    taken: int = 0
    on_disk: int = 0
    changed: int = 0
    bad: int = 0
    began: float = field(default_factory=time.monotonic)

    def good(self, items: Iterable[Entry | BadLine]) -> Iterator[Entry]:
        """Those that can be used."""
        for item in items:
            if isinstance(item, Entry):
                self.taken += 1
                yield item
                continue
            self.bad += 1
            if self.as_json:
                _print({"line": item.line, "bad": item.reason})
            else:
                print(f"line {item.line}: {item.reason}", file=sys.stderr)

    def entered(self, changed: int) -> None:
        """What was taken is on the disk."""
        self.on_disk = self.taken
        self.changed += changed
        if self.as_json:
            _print({"entered": self.on_disk, "changed": self.changed})

    def summary(self) -> None:
        seconds = time.monotonic() - self.began
        if self.as_json:
            facts = {"entered": self.on_disk, "changed": self.changed, "bad_lines": self.bad}
            _print({"summary": {**facts, "seconds": round(seconds, 3)}})
            return
        bad = f"; {self.bad:,} bad line{'s' * (self.bad != 1)}" if self.bad else ""
        print(f"{self.on_disk:,} entered, {self.changed:,} of them new or changed{bad}; {seconds:.1f} s")


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def _total(relay: Relay) -> int:
    return sum(relay.suppression_count().values())


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

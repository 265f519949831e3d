"""What is shown of work that takes long, on a terminal; and how the platform is waited for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat

from smtprelay.platform import PlatformUnreachable, UnreadableAnswer
from smtprelay.platform.call import Progress

PAUSES = (0.5, 1.0, 2.0)  # seconds between the first questions
PAUSE = 5.0  # and between all others: the platform looks for work from time to time
PATIENCE = 5  # questions on end that may stay without an answer while the platform works on something


@contextmanager
def uploading(what: str) -> Iterator[Progress | None]:
    """A bar for what is uploaded; None where nobody sees it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows what is waited for."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True, markup=False).status(what):
        yield


def until(is_done: Callable[[], bool], seconds: float, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Ask until it is done; False where it is not within the time.

    :raises PlatformError: it cannot be told; where the platform is only busy, after `PATIENCE` other questions.
    """
    end = time.monotonic() + seconds
    failures = 0
    for pause in chain(PAUSES, repeat(PAUSE)):
        try:
            if is_done():
                return True
            failures = 0
        except (PlatformUnreachable, UnreadableAnswer):
            failures += 1
            if failures > PATIENCE:
                raise
        if time.monotonic() + pause > end:
            return False
        sleep(pause)
    raise AssertionError

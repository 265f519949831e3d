"""What the platform takes in an hour, kept to by all who ask."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from smtprelay.platform.errors import TooManyCalls

HOUR = 3600.0  # seconds

Made = dict[str, list[float]]  # when calls were made, by what they are; Unix seconds


class Hourly:
    """Counts calls.

    :param file: where they are counted, for several processes; one that is damaged is begun anew. None: this process's
        memory.
    :param clock: Unix seconds.
    """

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._made: Made = {}

    def count(self, name: str, limit: int) -> None:
        """One more is about to be made. :raises TooManyCalls: not now. :raises OSError: the file cannot be written."""
        with self._locked() as made:
            now = self._clock()
            # A time to come is one from before the clock was set back: it is an hour away at most.
            recent = [min(at, now) for at in made.get(name, ()) if now - at < HOUR]
            if len(recent) >= limit:
                raise TooManyCalls(limit, recent[-limit] + HOUR - now)
            made[name] = [*recent, now]

    @contextmanager
    def _locked(self) -> Iterator[Made]:
        """What is in the file, which is written afterwards."""
        if self._file is None:
            yield self._made
            return
        with os.fdopen(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            made = _read(file.read())
            yield made
            file.seek(0)
            file.truncate()
            file.write(json.dumps(made).encode())


def _read(octets: bytes) -> Made:
    try:
        told = json.loads(octets)
        return {str(name): sorted(float(at) for at in times) for name, times in told.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}

"""The thread that keeps the index of words: what is put into the spool a moment later, what was there before little by
little. Mail never waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from smtprelay.spool.sqlite import index_file
from smtprelay.spool.sqlite.errors import is_damage
from smtprelay.spool.sqlite.index_file import BEYOND
from smtprelay.spool.values import SpoolDamaged

if TYPE_CHECKING:
    from smtprelay.spool.sqlite.index import Index

log = structlog.get_logger("search")

LINGER = 1.0  # seconds in which more is gathered: one transaction for all
SLICE = 500  # messages of one transaction
RETRY = 60.0  # seconds until an index that failed is tried again


@dataclass(frozen=True, slots=True)
class Covered:
    """What is in the index for sure.

    :param floor: from this id on …
    :param ceiling: … and below this one, every message of the spool.
    :param generation: of the index's file; another one is another file.
    """

    floor: str
    ceiling: str
    generation: int


class Indexer:
    """Keeps the index, once it has begun.

    :param spool: the spool's file.
    """

    def __init__(self, spool: Path) -> None:
        self._generation = 0
        self._spool = spool
        self._keeping = False  # until then, and while it fails, whatever is put is found missing later
        self._pending: set[str] = set()  # put, and not in the index yet
        self._floor: str | None = None  # `Index.floor`; None while there is no index to rely on
        self._failed_at = -RETRY
        self._hurry = self._distrusted = self._tidy = self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def begin(self, *, at_once: bool = False) -> None:
        """Start, where it has not: a moment later, for a process may only have come to look at something.

        :param at_once: somebody searches.
        """
        with self._changed:
            if at_once and not self._hurry:
                self._hurry = True
                self._changed.notify()
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="spool-indexer", daemon=True)
                self._thread.start()

    def add(self, ids: Iterable[str]) -> None:
        """These were committed to the spool."""
        with self._changed:
            if self._keeping:
                if not self._pending:
                    self._changed.notify()
                self._pending.update(ids)
        if self._thread is None:
            self.begin()

    def covered(self) -> Covered | None:
        """What is in the index; None where there is none to rely on."""
        with self._changed:
            if self._floor is None:
                return None
            return Covered(self._floor, min(self._pending, default=BEYOND), self._generation)

    def distrust(self) -> None:
        """It was found damaged: make it anew."""
        with self._changed:
            self._floor, self._distrusted = None, True
            self._changed.notify()

    def tidy(self) -> None:
        """The spool has pruned its history: do likewise."""
        with self._changed:
            self._tidy = True
            self._changed.notify()

    def close(self) -> None:
        """End the thread. What it did not come to, the next process adds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._hurry or self._closed, LINGER)
        while not self._closed:
            try:
                from smtprelay.spool.sqlite.index import Index  # 0.2 MB, with the first message

                with closing(index_file.open_for_indexing(self._spool)) as connection:
                    self._keep(Index(connection))
            except Exception as error:  # whatever it is: mail goes on, and searches look into the spool itself
                self._recover(error)

    def _keep(self, words: Index) -> None:
        """Until the end. :raises SpoolDamaged: it cannot be relied on."""
        with self._changed:
            self._keeping, self._distrusted = True, False
        if not words.is_of_this_spool():
            raise SpoolDamaged("it is not of this spool")
        missed = words.missed()
        for first in range(0, len(missed), SLICE):
            if self._closed:
                return
            words.add(missed[first : first + SLICE])
        self._generation += 1
        self._publish(words)
        growing = words.floor != ""
        while self._has_work(growing):
            began = time.monotonic()
            if batch := self._batch():
                words.add(batch)
                self._done(batch)
            elif growing:
                growing = words.grow(SLICE)
                self._publish(words)
                if not growing:
                    log.info("the search index is complete", path=str(index_file.path_of(self._spool)))
            else:
                self._tidy = False
                words.drop_old()
            # While there is much to do, half of the time is left to others.
            self._pause(time.monotonic() - began if growing or len(batch) == SLICE else LINGER)

    def _has_work(self, growing: bool) -> bool:
        """Wait for some. :returns: false at the end."""
        with self._changed:
            self._changed.wait_for(lambda: growing or self._pending or self._tidy or self._distrusted or self._closed)
            if self._distrusted:
                raise SpoolDamaged("a search found it damaged")
            return not self._closed

    def _batch(self) -> list[str]:
        with self._changed:
            return sorted(self._pending)[:SLICE]

    def _done(self, batch: Iterable[str]) -> None:
        with self._changed:
            self._pending.difference_update(batch)

    def _publish(self, words: Index) -> None:
        with self._changed:
            self._floor = words.floor

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._distrusted, seconds)

    def _recover(self, error: Exception) -> None:
        """Nobody relies on the index meanwhile."""
        with self._changed:
            self._floor, self._distrusted, self._keeping = None, False, False
            self._pending.clear()
        path = index_file.path_of(self._spool)
        if is_damage(error):
            log.error("the search index is damaged, and made anew", path=str(path), reason=str(error))
            with suppress(OSError):
                index_file.discard(self._spool)
        else:
            log.error(
                "the search index cannot be kept: searches are slow until it can", path=str(path), reason=str(error)
            )
        now = time.monotonic()
        if not is_damage(error) or now < self._failed_at + RETRY:
            self._pause(RETRY)
        self._failed_at = now

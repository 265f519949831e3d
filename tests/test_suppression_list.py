"""The list of addresses that are not to be sent to, as people change it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from smtprelay.config import SuppressionSection
from smtprelay.spool import SpoolFull, Suppression
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.suppression_list import Entry, SuppressionList

NOW = 1_700_000_000_000
DAY = 86_400_000


@asynccontextmanager
async def opened(folder: Path, *, floor: int = 0) -> AsyncIterator[SuppressionList]:
    spool = await SQLiteSpool.open(folder / "spool.db", now=NOW)
    try:
        yield SuppressionList(spool, lambda: SuppressionSection().expiry, lambda: floor, lambda: NOW)
    finally:
        await spool.close()


async def test_what_is_not_said_is_settled(tmp_path: Path) -> None:
    """A full mailbox is a matter of days. What the configuration does not enter by itself, a person enters for ever."""
    async with opened(tmp_path) as suppressions:
        entries = [
            Entry("a@example.org"),
            Entry("b@example.org", "2", NOW - DAY, source="import"),
            Entry("c@example.org", "2", expires=0, note="for ever"),
            Entry("d@example.org", "4711"),
        ]
        assert await suppressions.enter(entries, "operator ops") == 4
        assert await suppressions.page() == [
            Suppression("a@example.org", "operator", NOW, 0, "operator ops"),
            Suppression("b@example.org", "2", NOW - DAY, NOW + 6 * DAY, "import"),
            Suppression("c@example.org", "2", NOW, 0, "operator ops", "for ever"),
            Suppression("d@example.org", "4711", NOW, 0, "operator ops"),
        ]
        assert await suppressions.count() == {"operator": 1, "2": 2, "4711": 1}


async def test_nothing_is_entered_once_the_disk_is_nearly_full(tmp_path: Path) -> None:
    """The fault: an import of a million filled it, and mail that had been accepted could not be recorded as sent."""
    async with opened(tmp_path, floor=1 << 62) as suppressions:
        with pytest.raises(SpoolFull, match="free some space"):
            await suppressions.enter([Entry("a@example.org")], "operator ops")
        assert await suppressions.page() == []
        assert await suppressions.remove(["a@example.org"]) == ["a@example.org"]


async def test_what_is_not_there_cannot_be_removed_and_the_rest_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as suppressions:
        await suppressions.enter([Entry("A@example.org"), Entry("b@example.org")], "operator ops")
        assert await suppressions.remove(["a@example.org", "c@example.org"]) == ["c@example.org"]
        assert [entry.address for entry in await suppressions.page()] == ["b@example.org"]

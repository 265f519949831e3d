"""The spools that every test of the interface is run with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtprelay.spool import Spool
from smtprelay.spool.sqlite import SQLiteSpool
from tests.spool.support import opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
async def sqlite_spool(path: Path) -> AsyncIterator[SQLiteSpool]:
    async with opened(path) as spool:
        yield spool


@pytest.fixture(params=["sqlite_spool"])
def spool(request: pytest.FixtureRequest) -> Spool:
    """Every implementation in turn: what the tests that ask for it check is the interface."""
    implementation: Spool = request.getfixturevalue(request.param)
    return implementation

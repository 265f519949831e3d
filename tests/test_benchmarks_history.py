"""The benchmark of a large history works, with a small one."""

from __future__ import annotations

import asyncio
import sys

import pytest

pytestmark = pytest.mark.slow


async def test_a_short_run_reports_everything() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.history", "--history", "2000", "--rounds", "1", "--messages", "50"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    report = output.decode()
    assert process.returncode == 0, report
    for heading in ("The index is made", "Start", "Pages and searches", "Mail meanwhile"):
        assert f"## {heading}" in report

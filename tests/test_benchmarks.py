"""The benchmark works: a few messages through everything that it measures."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.debian import needs

pytestmark = [pytest.mark.slow, needs("root"), needs("postfix"), needs("opendkim"), needs("saslpasswd2")]


async def test_a_short_run_reports_everything() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", "--rounds", "1", "--messages", "50", "--waiting", "2000"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    report = output.decode()
    for heading in (
        "Kept connections",
        "A connection a message",
        "AUTH LOGIN",
        "Until the 250",
        "DNS",
        "Memory",
        "Start",
    ):
        assert f"## {heading}" in report or heading in report
    for peer in ("smtprelay", "Postfix + OpenDKIM, Unix socket", "Postfix + OpenDKIM, TCP socket", "Postfix"):
        assert report.count(f"\n| {peer} |") >= 4

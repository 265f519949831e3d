"""How much memory the daemon has, and what becomes of its second process."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from benchmarks import usage
from benchmarks.load import Load, send
from tests.process.relay import Relay, running

pytestmark = pytest.mark.slow

AT_REST = 62.0  # MiB; 59.8 to 61.0, by how much of the libraries the page cache holds
AFTER_LARGE = 130.0  # MiB: what four messages of 25 MB took is given back


def pid_of(relay: Relay) -> int:
    assert relay.process
    return relay.process.pid


async def helper_of(relay: Relay) -> int:
    """The process that prepares messages, called for by a load."""
    load = Load(relay.port, messages=400)
    await asyncio.gather(send(load), relay.logged("busy: messages are prepared in a process of their own"))
    [helper] = usage.tree(pid_of(relay)) - {pid_of(relay)}
    return helper


async def test_at_rest_it_is_small(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, _):
        assert usage.tree(pid_of(relay)) == {pid_of(relay)}
        assert usage.resident(pid_of(relay)) < AT_REST


async def test_what_large_messages_took_is_given_back(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        await send(Load(relay.port, messages=4, size=25_000_000, sessions=4))
        await smarthost.wait_for(4, 60)
        await relay.settled(delivered=4)
        assert usage.peak(pid_of(relay)) < 250.0
        assert usage.resident(pid_of(relay)) < AFTER_LARGE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_second_process_ends_with_the_first(tmp_path: Path, number: int) -> None:
    async with running(tmp_path) as (relay, _):
        helper = await helper_of(relay)
        await relay.stop(number)
        async with asyncio.timeout(10):
            while usage.resident(helper):
                await asyncio.sleep(0.05)


async def test_a_second_process_that_dies_costs_no_message(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        os.kill(await helper_of(relay), signal.SIGKILL)
        await relay.logged("the process that prepares messages is gone; a thread does its work")
        await send(Load(relay.port, messages=20))
        await smarthost.wait_for(420, 60)

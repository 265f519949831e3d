"""For all tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

# How long an example takes tells of the machine, where many tests share it. In CI its own profile stays beneath.
settings.register_profile("smtprelay", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("smtprelay")

pytest_plugins = ("tests.secrecy",)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Of tests/torture: how often, and from which seed. Of tests/templates: where to write what they look like."""
    parser.addoption("--kills", type=int, default=20)
    parser.addoption("--seed", type=int, default=20261123)
    parser.addoption("--screenshots", type=Path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that skips has failed: the machine lacks what .ci/run should have installed."""
    report = yield
    if report.skipped and os.environ.get("SMTPRELAY_NO_SKIP"):
        report.outcome = "failed"
    return report


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """The gateway is tested on both loops: the daemon runs on uvloop, which differs in its transports and TLS."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if "gateway" in item.path.parts:
        factories["uvloop"] = uvloop.new_event_loop
    return factories

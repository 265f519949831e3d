"""For all tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that skips has failed: the machine lacks what .ci/run should have installed."""
    report = yield
    if report.skipped and os.environ.get("SMTPRELAY_NO_SKIP"):
        report.outcome = "failed"
    return report

"""Every test of this folder runs on asyncio's loop and on uvloop's."""

from __future__ import annotations

from tests.upstream.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]

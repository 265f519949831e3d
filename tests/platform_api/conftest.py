"""For all tests of the platform's client."""

from __future__ import annotations

import pytest

from tests.platform_api.asking import Asking


@pytest.fixture(params=[False, True], ids=["waiting", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Asking:
    """Asks one client, and then the other."""
    return Asking(request.param)

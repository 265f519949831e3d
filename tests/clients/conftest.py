"""For the tests with real clients."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.clients.mails")

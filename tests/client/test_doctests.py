"""The examples in the docstrings are right."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = ("client.message", "client.parcel", "client.url", "compose")


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    done = doctest.testmod(import_module(f"smtprelay.{name}"))
    assert done.attempted
    assert not done.failed

"""The example templates that come with the package."""

from __future__ import annotations

from pathlib import Path

from smtprelay.packaged import packaged


def examples() -> Path:
    """Their directory."""
    return packaged("templates")

"""The platform's time."""

from __future__ import annotations

from datetime import datetime

from smtprelay.values import SHANGHAI


def now() -> datetime:
    return datetime.now(SHANGHAI)

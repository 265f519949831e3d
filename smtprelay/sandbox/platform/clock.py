"""The platform's time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")  # without summer time, since 1991


def now() -> datetime:
    return datetime.now(SHANGHAI)

"""The wall clock. Everything that judges or stores takes the time as an argument; this is where it comes from."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000

"""What a process and its children use, as the kernel counts it (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
MIB = 2**20


def tree(*roots: int) -> set[int]:
    """The processes with these numbers, and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, [])
    return found


def cpu(pids: Iterable[int]) -> float:
    """Seconds of processor time so far, those of children that have ended included."""
    return sum(sum(map(int, fields[11:15])) for pid in pids if (fields := _stat(pid))) * TICK


def proportional(pids: Iterable[int]) -> float:
    """MiB in memory; pages that several share count in parts (PSS)."""
    return sum(_kib(pid, "smaps_rollup", "Pss:") for pid in pids) * 1024 / MIB


def resident(pid: int) -> float:
    """MiB in memory (RSS)."""
    return _kib(pid, "status", "VmRSS:") * 1024 / MIB


def peak(pid: int) -> float:
    """The most MiB in memory since its start, or since `forget_peak`."""
    return _kib(pid, "status", "VmHWM:") * 1024 / MIB


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; none where it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _kib(pid: int, file: str, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)

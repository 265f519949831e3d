"""Tests that need something from a Debian package."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import pytest

PACKAGES = {
    "Mail::DKIM::Verifier": "libmail-dkim-perl",
    "libopendkim.so.11": "libopendkim11",
    "postfix": "postfix",
    "strace": "strace",
    "swaks": "swaks",
    "systemd-analyze": "systemd",
}


def needs(what: str) -> pytest.MarkDecorator:
    """Skip where a program or library is missing; in CI that is a failure (see conftest)."""
    return pytest.mark.skipif(not _present(what), reason=f"{what} is missing: apt-get install {PACKAGES[what]}")


def _present(what: str) -> bool:
    if "::" in what:
        return subprocess.run(["perl", f"-M{what}", "-e", "1"], capture_output=True, check=False).returncode == 0
    if ".so." not in what:
        return shutil.which(what) is not None
    try:
        ctypes.CDLL(what)
    except OSError:
        return False
    return True

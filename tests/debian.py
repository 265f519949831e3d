"""Tests that need something from a Debian package."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT_USER = "root"

PACKAGES = {
    "Mail::DKIM::Verifier": "libmail-dkim-perl",
    "exim4": "exim4-daemon-light",  # or unpacked
    "libopendkim.so.11": "libopendkim11",
    "opendkim": "opendkim",
    "postfix": "postfix",
    "saslpasswd2": "sasl2-bin",
    "smtpd": "opensmtpd",  # or unpacked
    "strace": "strace",
    "swaks": "swaks",
    "systemd-analyze": "systemd",
}
UNPACKED = Path(__file__).parents[1] / ".peers"  # by .ci/peers, what does not go beside Postfix


def needs(what: str) -> pytest.MarkDecorator:
    """Skip where a program, library or right is missing; in CI that is a failure (see conftest)."""
    how = "run the tests as root" if what == ROOT_USER else f"apt-get install {PACKAGES[what]}"
    return pytest.mark.skipif(not _present(what), reason=f"{what} is missing: {how}")


def program(name: str) -> str | None:
    """Where this program is, be it installed or unpacked."""
    return shutil.which(name) or shutil.which(name, path=UNPACKED / PACKAGES[name] / "usr/sbin")


def _present(what: str) -> bool:
    if what == ROOT_USER:
        return os.geteuid() == 0
    if "::" in what:
        return subprocess.run(["perl", f"-M{what}", "-e", "1"], capture_output=True, check=False).returncode == 0
    if ".so." not in what:
        return program(what) is not None
    try:
        ctypes.CDLL(what)
    except OSError:
        return False
    return True

"""Tests that need something from a package: Debian's, or npm's."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOT_USER = "root"
CHINESE_FONTS = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
NODEMAILER = "tests/clients/node_modules/nodemailer"
AXE = "tests/web/node_modules/axe-core"

PACKAGES = {
    CHINESE_FONTS: "fonts-noto-cjk",
    "/usr/share/java/javax.mail.jar": "libmail-java",
    "/usr/share/php/libphp-phpmailer/autoload.php": "libphp-phpmailer",
    "Authen::SASL": "libauthen-sasl-perl",
    "bsd-mailx": "bsd-mailx",
    "chromium": "chromium",
    "cron": "cron",
    "curl": "curl",
    "exim4": "exim4-daemon-light",  # or unpacked
    "IO::Socket::SSL": "libio-socket-ssl-perl",
    "javac": "default-jdk-headless",
    "libopendkim.so.11": "libopendkim11",
    "Mail::DKIM::Verifier": "libmail-dkim-perl",
    "MIME::Lite": "libmime-lite-perl",
    "msmtp": "msmtp",
    "node": "nodejs",
    "opendkim": "opendkim",
    "php": "php-cli",
    "postfix": "postfix",
    "promtool": "prometheus",
    "s-nail": "s-nail",
    "saslpasswd2": "sasl2-bin",
    "smtpd": "opensmtpd",  # or unpacked
    "strace": "strace",
    "swaks": "swaks",
    "systemd-analyze": "systemd",
}
UNPACKED = ROOT / ".peers"  # by .ci/peers, what does not go beside Postfix


def needs(what: str) -> pytest.MarkDecorator:
    """Skip where a program, library, Perl module, file or right is missing; in CI that is a failure (see conftest)."""
    how = {
        ROOT_USER: "run the tests as root",
        NODEMAILER: "npm install --prefix tests/clients",
        AXE: "npm install --prefix tests/web",
    }.get(what)
    return pytest.mark.skipif(
        not present(what), reason=f"{what} is missing: {how or 'apt-get install ' + PACKAGES[what]}"
    )


def program(name: str) -> str | None:
    """Where this program is, be it installed or unpacked."""
    return shutil.which(name) or shutil.which(name, path=UNPACKED / PACKAGES[name] / "usr/sbin")


@functools.cache
def present(what: str) -> bool:
    if what == ROOT_USER:
        return os.geteuid() == 0
    if "::" in what:
        return subprocess.run(["perl", f"-M{what}", "-e", "1"], capture_output=True, check=False).returncode == 0
    if "/" in what:
        return (ROOT / what).exists()
    if ".so." not in what:
        return program(what) is not None
    try:
        ctypes.CDLL(what)
    except OSError:
        return False
    return True

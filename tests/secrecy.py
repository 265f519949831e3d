"""Fails each test in whose output a password stands: what it printed and logged, and what its processes did.

A pytest plugin, which conftest.py loads. Passwords are looked for as they are, as URLs quote them, and within base64,
as AUTH and Basic authentication have them.
"""

from __future__ import annotations

import asyncio.subprocess
import base64
import binascii
import re
import subprocess
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import wraps
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner

from tests.gateway.wire import PASSWORD
from tests.upstream.support import PASSWORD as NON_ASCII_PASSWORD

SECRETS = (
    PASSWORD,  # of the gateway's accounts
    NON_ASCII_PASSWORD,  # of log-ins at smarthosts
    "platform-secret",
    "platform-sandbox-password",  # of the platform's HTTP API: the sandbox's, and that of its commands
    "p4ssword",
    "s3cret",  # of mailboxes there
    "another-secret",
    "new & secret",
)
_FORMS = sorted({form for secret in SECRETS for form in (secret, quote(secret), quote_plus(secret))})
_BASE64 = re.compile(r"[A-Za-z0-9+/]{12,}={0,2}")

_found: list[str] = []  # by the test that runs


def secrets_in(output: str | bytes) -> Iterator[str]:
    """The passwords that stand in it."""
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output
    decoded = []
    for match in _BASE64.finditer(text):
        token = match[0].rstrip("=")
        with suppress(binascii.Error):
            decoded.append(base64.b64decode(token + "=" * (-len(token) % 4)).decode("utf-8", "replace"))
    return (form for form in _FORMS if form in text or any(form in clear for clear in decoded))


def look(output: str | bytes | None, where: str) -> None:
    """Have the test that runs fail where a password stands in an output."""
    for secret in secrets_in(output or b""):
        _found.append(f"{secret!r} stands in {where}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was captured of it, and what its processes have printed."""
    report = yield
    for name, output in report.sections:
        look(output, name)
    if _found and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = "\n".join(_found)
    _found.clear()
    return report


def pytest_configure() -> None:
    """Look at what is captured outside of pytest."""
    # `run` and `check_output` use it too.
    subprocess.Popen.communicate = _looking(  # type: ignore[method-assign]
        subprocess.Popen.communicate, lambda outputs: outputs
    )
    pytest.CaptureFixture.readouterr = _looking(  # type: ignore[method-assign]
        pytest.CaptureFixture.readouterr, lambda captured: (captured.out, captured.err)
    )
    CliRunner.invoke = _looking(  # type: ignore[method-assign]
        CliRunner.invoke, lambda result: (result.output, "".join(traceback.format_exception(result.exception)))
    )
    process = asyncio.subprocess.Process
    communicate = process.communicate

    @wraps(communicate)
    async def looking(*arguments: Any) -> tuple[bytes, bytes]:
        outputs = await communicate(*arguments)
        for output in outputs:
            look(output, "the output of a process")
        return outputs

    process.communicate = looking  # type: ignore[assignment,method-assign]


def _looking(work: Callable[..., Any], outputs: Callable[[Any], tuple[str | bytes | None, ...]]) -> Callable[..., Any]:
    @wraps(work)
    def looking(*arguments: Any, **options: Any) -> Any:
        result = work(*arguments, **options)
        for output in outputs(result):
            look(output, "what was printed")
        return result

    return looking

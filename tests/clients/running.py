"""A client's script, run as its user would run it, and the daemon that it sends to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from smtprelay.sandbox.smarthost import Received, Smarthost
from tests.clients.table import Client
from tests.debian import ROOT, needs
from tests.gateway.wire import PASSWORD
from tests.process.relay import ACCOUNT, Relay

PATIENCE = 60.0  # seconds for a client to end, or a mail to arrive


@dataclass(frozen=True)
class Gateway:
    """A daemon with its smarthost."""

    relay: Relay
    smarthost: Smarthost

    async def arrived(self, recipient: str) -> Received:
        """The message that went to this address."""
        count = 0
        while True:
            count += 1
            received = (await self.smarthost.wait_for(count, PATIENCE))[-1]
            if recipient in received.recipients:
                return received


def marks(client: Client) -> list[pytest.MarkDecorator]:
    return [needs(what) for what in client.needs]


def link_programs(folder: Path) -> None:
    """What is to be found by name beside the client: smtprelay, also as sendmail."""
    for name in ("sendmail", "smtprelay"):
        (folder / name).symlink_to(Path(sys.executable).with_name("smtprelay"))


def environment(home: Path, programs: Path) -> dict[str, str]:
    """Nothing of whoever runs the tests."""
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }


async def run(client: Client, environment: Mapping[str, str]) -> tuple[int, str]:
    """:returns: exit status and output."""
    process = await asyncio.create_subprocess_exec(
        *client.command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode is not None
    return process.returncode, output.decode("utf-8", "replace")


def settings(port: int, *, user: bool = True, starttls: bool = False) -> dict[str, str]:
    return {
        "SMTP_HOST": "localhost",
        "SMTP_PORT": str(port),
        "SMTP_USER": ACCOUNT if user else "",
        "SMTP_PASSWORD": PASSWORD if user else "",
        "SMTP_STARTTLS": "1" if starttls else "",
        "SMTPRELAY_GATEWAY": f"127.0.0.1:{port}",
    }

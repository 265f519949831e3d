"""Where the demo plays: the stand-ins, the daemon before them, and what is shown."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from smtprelay.cli.demonstration.daemon import Daemon, environment

if TYPE_CHECKING:
    from smtprelay.sandbox.nameserver import NameServer
    from smtprelay.sandbox.platform import Platform
    from smtprelay.sandbox.smarthost import Smarthost


@dataclass(slots=True)
class Stage:
    """All of it.

    :param folder: where the configuration is; commands run there.
    :ivar records: those of the daemon's keys, by their names.
    :ivar port: the gateway's.
    """

    folder: Path
    smarthost: Smarthost
    dns: NameServer
    platform: Platform
    daemon: Daemon
    records: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    _begin: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """A line, with the seconds since the beginning."""
        typer.echo(f"{time.monotonic() - self._begin:5.1f}s  {text}")

    def quote(self, text: str) -> None:
        """What somebody else says."""
        typer.echo("".join(f"        {line}".rstrip() + "\n" for line in text.splitlines()), nl=False)

    async def show(self, *arguments: str) -> str:
        """Have `smtprelay` do something, and quote it. :returns: what it printed; ``""`` where it failed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smtprelay", *arguments, "-c", "config.toml",
            cwd=self.folder, env=environment(self.folder), stdout=PIPE,
        )  # fmt: skip
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:  # the demo is ended: a command that went on would miss its folder
                process.kill()
                await process.wait()
        self.quote(text := output.decode())
        return text if process.returncode == os.EX_OK else ""

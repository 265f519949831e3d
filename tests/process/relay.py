"""The real daemon in a process of its own, before a sandbox smarthost in this one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smtprelay.cli.remote import connect
from smtprelay.sandbox.apps import Endpoint
from smtprelay.sandbox.smarthost import Rule, Smarthost
from smtprelay.signing import generate_key, load_key
from tests.gateway.wire import PASSWORD, PASSWORD_HASH
from tests.secrecy import look

DOMAIN = "example.com"
ACCOUNT = f"app@{DOMAIN}"
PLATFORM = {"news@example.com": "platform-secret"}
END_OF_OUTPUT = {"event": "end of output"}
LOGIN = 'username = "news@example.com"\npassword_file = "platform.password"'
PATIENCE = 30.0  # seconds

CONFIG = """\
[gateway]
listen = ["127.0.0.1:{port}"]
hostname = "relay.example.com"
{gateway}
{accounts}
[spool]
url = "sqlite:///spool.db"
min_free = "1MiB"
[upstream]
host = "127.0.0.1"
port = {smarthost}
{upstream}
[upstream.timeouts]
greeting = "{timeout}"
command = "{timeout}"
data = "{timeout}"
dot = "{timeout}"
[[upstream.credentials]]
name = "news"
{login}
[retry]
schedule = "{schedule}"
{retry}
[domain_rules]
{domain_rules}
[[domains]]
name = "{domain}"
{keys}
[status]
control = "control.sock"
listen = "127.0.0.1:0"
{status}
[log]
format = "json"
{more}
"""

ACCOUNTS = f"""\
[[gateway.accounts]]
username = "{ACCOUNT}"
password_hash = "{PASSWORD_HASH}"
senders = ["*@{DOMAIN}"]
"""


@dataclass
class Relay:
    """A folder with a configuration, and the daemon that runs in it.

    :ivar records: the DNS records of its DKIM keys.
    :ivar log: what it has logged, over all its runs.
    :ivar hear: called with each line of the log.
    :ivar environment: what the daemon has in it beside ours.
    :ivar descriptors: those that it inherits.
    """

    folder: Path
    records: Mapping[str, str]
    log: list[dict[str, Any]] = field(default_factory=list)
    hear: Callable[[dict[str, Any]], None] = lambda line: None
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    wrapper: Sequence[str] = ()
    entry: Sequence[str] = (sys.executable, "-m", "smtprelay")
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()
    _reading: asyncio.Task[None] | None = None
    _logged: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def endpoint(self) -> Endpoint:
        """What an app with an account is configured with."""
        return Endpoint("127.0.0.1", self.port, ACCOUNT, PASSWORD)

    async def start(self) -> dict[str, Any]:
        """Run the daemon until it is ready. :returns: the line that says so."""
        seen = len(self.log)
        await self.launch()
        ready = await self.logged("ready", start=seen)
        self.port = int(ready["listen"][0].rpartition(":")[2])
        return ready

    async def launch(self) -> None:
        """Run the daemon."""
        self.process = await asyncio.create_subprocess_exec(
            *self.wrapper,
            *self.entry,
            "run",
            "-c",
            "config.toml",
            cwd=self.folder,
            env={**os.environ, **self.environment},
            pass_fds=self.descriptors,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self.process.stdout
        self._reading = asyncio.create_task(self._read(self.process.stdout))

    async def opened(self) -> None:
        """Wait until it holds the spool's lock: it opens the spool now."""
        assert self.process
        lock = self.folder / "spool.lock"
        async with asyncio.timeout(PATIENCE):
            while not lock.exists() or lock.read_text().strip() != str(self.process.pid):
                await asyncio.sleep(0.001)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            look(line, "the daemon's log")
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": "output", "text": line.decode("utf-8", "replace")})
            self.hear(self.log[-1])
            self._logged.set()
        self.log.append(END_OF_OUTPUT)
        self._logged.set()

    async def logged(self, event: str, *, start: int = 0, count: int = 1, **words: Any) -> dict[str, Any]:
        """The count-th line of the log, from a place on, with this event and these words."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._logged.clear()
                found = [e for e in self.log[start:] if e["event"] == event and words.items() <= e.items()]
                if len(found) >= count:
                    return found[count - 1]
                assert self.log[start:][-1:] != [END_OF_OUTPUT], f"the daemon ended: {self.log[start:]}"
                await self._logged.wait()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """End it. :returns: its exit status."""
        self.signal(number)
        return await self.ended()

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        assert self.process
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end. :returns: its exit status."""
        assert self.process
        assert self._reading
        async with asyncio.timeout(PATIENCE + 30):
            await self.process.wait()
            await self._reading
        assert self.process.returncode is not None
        return self.process.returncode

    async def run(self, *arguments: str, status: int = 0, stdin: bytes = b"", **environment: str) -> str:
        """A command of the CLI. :returns: what it printed."""
        process = await asyncio.create_subprocess_exec(
            *self.entry,
            *arguments,
            cwd=self.folder,
            env={**os.environ, "SMTPRELAY_CONFIG": "config.toml", "LC_ALL": "C.UTF-8", **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(stdin)
        assert process.returncode == status, output.decode()
        return output.decode()

    async def json(self, *arguments: str) -> Any:
        """A command of the CLI with ``--json``."""
        return json.loads(await self.run(*arguments, "--json"))

    async def settled(self, **expected: int) -> dict[str, int]:
        """Wait until so many recipients are in each of these states.

        (Asked as `queue stats` asks, but from here: a process for each look would take a core.)
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                stats = await asyncio.to_thread(lambda: connect(self.folder / "config.toml").stats())
                recipients: dict[str, int] = stats["recipients"]
                if expected.items() <= recipients.items():
                    return recipients
                await asyncio.sleep(0.1)


def make_relay(folder: Path, smarthost_port: int, *, keys: Sequence[str] = ("rsa",), **parts: str) -> Relay:
    """A folder with keys, password and configuration."""
    records, tables = {}, []
    for i, kind in enumerate(keys):
        selector = f"relay{i}"
        pem = (
            generate_key("ed25519") if kind == "ed25519" else generate_key("rsa", int(kind.removeprefix("rsa") or 2048))
        )
        (folder / f"{selector}.pem").write_bytes(pem)
        key = load_key(pem, DOMAIN, selector)
        records[key.record_name] = key.record
        tables.append(f'[[domains.keys]]\nselector = "{selector}"\nfile = "{selector}.pem"')
    (folder / "platform.password").write_text("platform-secret\n")
    defaults = {
        "port": "0",
        "gateway": "",
        "accounts": ACCOUNTS,
        "upstream": "",
        "login": LOGIN,
        "schedule": "1s",
        "timeout": "2s",
        "retry": "",
        "domain_rules": 'on_failure = "off"',
        "status": "",
        "more": "",
    }
    (folder / "config.toml").write_text(
        CONFIG.format(
            **{**defaults, **parts},
            domain=DOMAIN,
            smarthost=smarthost_port,
            keys="\n".join(tables),
        )
    )
    return Relay(folder, records)


@asynccontextmanager
async def running(
    folder: Path, *rules: Rule, keys: Sequence[str] = ("rsa",), extensions: Sequence[str] = (), **parts: str
) -> AsyncIterator[tuple[Relay, Smarthost]]:
    """The daemon before a smarthost that keeps these rules."""
    offered = ("PIPELINING", "SIZE 52428800", "8BITMIME", *extensions)
    async with Smarthost(*rules, credentials=PLATFORM, extensions=offered) as smarthost:
        relay = make_relay(folder, smarthost.port, keys=keys, **parts)
        await relay.start()
        try:
            yield relay, smarthost
        finally:
            await relay.stop()

"""A campaign through ``smtprelay send``, beside the loop that a user would write: ``make campaign``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report, usage
from benchmarks.load import SENDER
from benchmarks.peers import Peer, SinkProcess, name_server, smtprelay
from benchmarks.sink import Seen
from smtprelay.signing import generate_key

TEMPLATES = Path(__file__).parent.parent / "templates"
ARTICLE = {
    "title": "Cold water",
    "text": "Eight hours in the fridge, and no bitterness. " * 4,
    "url": "https://example.com",
}
VARS = {
    "headline": "The autumn harvest is in",
    "intro": "Three new teas from the hills of Anxi, and a reader's recipe for the first cold evenings.",
    "unsubscribe_url": "https://www.example.com/unsubscribe/7f3k9q",
    "articles": [ARTICLE] * 3,
}
LOOK_EVERY = 0.2  # seconds


class Campaign:
    """A folder with contacts, values and a relay; the spool stays from one run to the next."""

    def __init__(self, folder: Path, count: int) -> None:
        self.count = count
        self.contacts, self.variables, self._relay = folder / "contacts.txt", folder / "vars.json", folder / "relay"
        self.variables.write_text(json.dumps(VARS))
        with self.contacts.open("w", encoding="utf-8") as file:
            file.writelines(f"user{i}@example.org;王芳{i};;;;;V-{i:06}\n" for i in range(count))
        shutil.copytree(TEMPLATES, self._relay / "templates")

    @asynccontextmanager
    async def relay(self, sink: int) -> AsyncIterator[Peer]:
        async with name_server() as dns, smtprelay(sink, dns, self._relay) as (peer, _):
            yield peer

    async def plain(self, sink: int) -> None:
        """The loop, over a tenth of the contacts."""
        key = self._relay / "plain.pem"
        key.write_bytes(generate_key("rsa", 2048))
        words = map(str, (self.contacts, self.count // 10, self.variables, TEMPLATES, key, sink))
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.plain_loop", *words)
        assert await process.wait() == 0


class Sending:
    """``smtprelay send``, while it runs.

    :ivar peak: MiB (RSS).
    :ivar summary: its last line; nothing where it was killed.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.peak = 0.0
        self.summary: dict[str, Any] = {}
        self._process = process
        self._reading = asyncio.create_task(self._read())
        self._watching = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, campaign: Campaign, port: int) -> Sending:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smtprelay", "send", "--from", SENDER, "--template", "newsletter",
            "--vars-file", campaign.variables, "--contacts", campaign.contacts, "--relay", f"127.0.0.1:{port}",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return cls(process)

    def kill(self) -> None:
        self._process.kill()

    async def ended(self) -> dict[str, Any]:
        """Wait for its end. :returns: the summary."""
        await self._reading
        await self._process.wait()
        self._watching.cancel()
        return self.summary

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            if line.startswith(b'{"summary"'):
                self.summary = json.loads(line)["summary"]

    async def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, usage.peak(self._process.pid))
            await asyncio.sleep(LOOK_EVERY)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a whole campaign showed.

    :param rate: messages a second, from the start of the command to the last message at the sink.
    :param plain: the same of the loop.
    :param send: peak MiB (RSS) of the command.
    :param daemon: the same of the daemon's processes together.
    """

    rate: float
    plain: float
    send: float
    daemon: float


async def measure(campaign: Campaign) -> Figures:
    """Both ways, one after the other."""
    async with SinkProcess.running() as sink:
        began = time.monotonic()
        await campaign.plain(sink.port)
        seen = await sink.report(campaign.count // 10)
        assert seen.signed == campaign.count // 10
        plain = seen.messages / (seen.last - began)
    async with SinkProcess.running() as sink, campaign.relay(sink.port) as relay:
        began = time.monotonic()
        sending = await Sending.start(campaign, relay.port)
        summary = await sending.ended()
        daemon = relay.peak()
        seen = await sink.report(campaign.count)
        assert summary["sent"] == campaign.count, summary
        assert seen.signed == seen.messages == seen.recipients == campaign.count, seen
        return Figures(campaign.count / (seen.last - began), plain, sending.peak, daemon)


async def kill_send(campaign: Campaign) -> str:
    """Send is killed in the middle and run again: everybody gets it once."""
    async with SinkProcess.running() as sink, campaign.relay(sink.port) as relay:
        sending = await Sending.start(campaign, relay.port)
        first = await sink.report(campaign.count // 10)
        sending.kill()
        await sending.ended()
        summary = await (await Sending.start(campaign, relay.port)).ended()
        return await _told("send", campaign, summary, first, sink)


async def kill_daemon(campaign: Campaign) -> str:
    """The daemon is killed in the middle, started, and send run again. What was being delivered when it was killed is
    in doubt, and goes out again, as the configuration says."""
    async with SinkProcess.running() as sink:
        async with campaign.relay(sink.port) as relay:
            sending = await Sending.start(campaign, relay.port)
            first = await sink.report(campaign.count // 10)
            os.kill(relay.pids[0], signal.SIGKILL)
            await sending.ended()
        async with campaign.relay(sink.port) as relay:
            summary = await (await Sending.start(campaign, relay.port)).ended()
            return await _told("the daemon", campaign, summary, first, sink)


async def _told(who: str, campaign: Campaign, summary: dict[str, Any], first: Seen, sink: SinkProcess) -> str:
    """
    :param first: what had come when it was killed.
    """
    assert summary["sent"] == campaign.count, summary
    seen = await sink.report(campaign.count - first.messages)
    messages = first.messages + seen.messages
    while seen.recipients < campaign.count:  # what was in doubt came twice
        seen = await sink.report(1)
        messages += seen.messages
    return (
        f"{who} was killed at {first.messages:,} messages: the next run found {summary['before']:,} of "
        f"{campaign.count:,} accepted; {messages:,} messages came, for {seen.recipients:,} recipients"
    )


async def main(count: int, killed: int) -> None:
    print(f"# {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        figures = await measure(Campaign(Path(folder), count))
    print(f"## The newsletter to {count:,} contacts, RSA-2048\n")
    head = ["", "messages/s end to end", "ratio", "memory MiB"]
    rows = [
        ["smtplib + Jinja2 + dkimpy", f"{figures.plain:.0f}", "1.00", ""],
        ["smtprelay send", f"{figures.rate:.0f}", f"{figures.rate / figures.plain:.2f}", f"{figures.send:.0f}"],
        ["its daemon", "", "", f"{figures.daemon:.0f}"],
    ]
    print(report.table(head, rows), flush=True)
    for kill in (kill_send, kill_daemon):
        with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
            print(f"- {await kill(Campaign(Path(folder), killed))}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("--contacts", type=int, default=5_000)
    parser.add_argument("--killed", type=int, default=5_000, help="contacts of the campaigns that are killed")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.contacts, arguments.killed))

"""A large history: every search in it, and what the index of words costs: ``make history``."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import platform
import re
import signal
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from datetime import datetime, timedelta
from http.client import HTTPMessage
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from benchmarks import past, report
from benchmarks.load import PASSWORD, SENDER, Load
from benchmarks.peers import Peer, SinkProcess, name_server, smtprelay
from benchmarks.rounds import Figures, measure, median
from smtprelay.clock import now_ms
from smtprelay.spool.sqlite import index_file

LIMIT = 300.0  # milliseconds of any answer
THINKS = 0.1  # seconds between two searches of somebody who searches all the time
SETTLES = 2.0  # seconds after a start, until memory is looked at

SEARCHES: Mapping[str, dict[str, str]] = {
    "nothing: the newest": {},
    "an address": {"address": past.address(12_345)},
    "how an address begins": {"address": "user1234"},
    "a domain with few": {"address": "*@customer77.example"},
    "a domain with many": {"address": "*@qq.com"},
    "an address that is not there": {"address": "nobody@nowhere.example"},
    "a subject in English": {"text": "Weekly report"},
    "a word that all have": {"text": "example"},
    "a letter": {"text": "a"},
    "a Chinese character": {"text": "发"},
    "two Chinese characters": {"text": "发票"},
    "a fragment in Chinese": {"text": "票已开"},
    "Chinese that is not there": {"text": "鑫鑫"},
    "a word that is not there": {"text": "zzzz"},
    "frequent and not there": {"text": "example 发票 zzzz"},
    "letters and not there": {"text": "u e a 1 2 zzzz"},
    "a tag and a word": {"tag": "hr", "text": "发票"},
    "an account": {"account": "billing"},
    "held": {"state": "held"},
    "queued, a word": {"state": "queued", "text": "发票"},
    "bounced": {"state": "bounced"},
    "bounced, a word": {"state": "bounced", "text": "invoice"},
    "bounced, an account, a tag": {"state": "bounced", "account": "legacy", "tag": "hr"},
    "suppressed, frequent words": {"state": "suppressed", "text": "newsletter harvest"},
    "cancelled, not with that tag": {"state": "cancelled", "tag": "alerts", "text": "receipt 发票"},
    "words of a week ago": {"until": f"{datetime.now() - timedelta(days=7):%Y-%m-%dT%H:%M}", "text": "发票"},
}


class Browser:
    """Looks at the page, logged in, each time on a connection of its own."""

    def __init__(self, folder: Path) -> None:
        ready = [line for line in (folder / "log").read_bytes().splitlines() if b'"ready"' in line][-1]
        self._address = json.loads(ready)["status"][0]
        self._cookie = ""
        headers, _ = self._ask("POST", "/login", urlencode({"username": SENDER, "password": PASSWORD}), status=303)
        self._cookie = headers["Set-Cookie"].partition(";")[0]

    def get(self, target: str) -> tuple[float, bytes]:
        """The milliseconds that an answer took, and the answer."""
        began = time.perf_counter()
        _, body = self._ask("GET", target)
        return 1000 * (time.perf_counter() - began), body

    def _ask(self, method: str, target: str, form: str = "", status: int = 200) -> tuple[HTTPMessage, bytes]:
        headers = {"Cookie": self._cookie, "Content-Type": "application/x-www-form-urlencoded"}
        with closing(http.client.HTTPConnection(self._address)) as connection:
            connection.request(method, target, form or None, headers)
            response = connection.getresponse()
            body = response.read()
        assert response.status == status, body
        return response.headers, body


@asynccontextmanager
async def daemon(folder: Path, sink: int, *, indexed: bool = True) -> AsyncIterator[tuple[Peer, float]]:
    """The daemon on the history, and the seconds that its start took.

    :param indexed: with the index of words.
    """
    module = "smtprelay" if indexed else "benchmarks.unindexed"
    async with name_server() as dns, smtprelay(sink, dns, folder, module=module) as running:
        yield running


async def build(folder: Path, sink: int) -> None:
    """The index is removed, and made while the daemon runs."""
    index_file.discard(folder / "spool.db")
    async with daemon(folder, sink) as (relay, _):
        began, before = time.monotonic(), relay.cpu()
        while not _is_complete(folder / "spool.db"):
            await asyncio.sleep(0.2)
        rows = [
            ["seconds until it is complete", f"{time.monotonic() - began:.0f}"],
            ["seconds of processor time", f"{relay.cpu() - before:.0f}"],
            ["the most RSS, MiB", f"{relay.peak():.0f}"],
        ]
    for name, path in (("spool", folder / "spool.db"), ("index", index_file.path_of(folder / "spool.db"))):
        rows.append([f"size of the {name}, MB", f"{path.stat().st_size / 1e6:.0f}"])
    print("## The index is made\n\n" + report.table(["", ""], rows), flush=True)


def _is_complete(spool: Path) -> bool:
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{index_file.path_of(spool)}?mode=ro", uri=True)) as one,
    ):
        return bool(one.execute("SELECT 1 FROM facts WHERE key = 'floor' AND value = ''").fetchone())
    return False


async def searches(folder: Path, sink: int, rounds: int) -> bool:
    """:returns: whether each answer came in time."""
    async with daemon(folder, sink) as (relay, started):
        await asyncio.sleep(SETTLES)
        at_rest = relay.resident()
        browser = await asyncio.to_thread(Browser, folder)
        rows, slowest = [], 0.0
        pages = {"(overview)": "/", "(one message)": f"/messages/{_newest(folder)}", "(domains)": "/domains"}
        searched = {name: "/messages?" + urlencode(words) for name, words in SEARCHES.items()}
        for name, target in {**pages, **searched}.items():
            took, found = [], 0
            for _ in range(rounds):
                milliseconds, body = await asyncio.to_thread(browser.get, target)
                took.append(milliseconds)
                found = len(set(re.findall(rb'href="/messages/([0-9a-v]{16})"', body)))
            slowest = max(slowest, *took)
            rows.append([name, str(found), f"{statistics.median(took):.1f}", f"{max(took):.1f}"])
        print(f"## Start: {started:.2f} s; RSS {at_rest:.1f} MiB, after all searches {relay.resident():.1f} MiB\n")
        head = ["", "found", "median ms", f"slowest of {rounds} ms"]
        print("## Pages and searches, over HTTP\n\n" + report.table(head, rows), flush=True)
    return slowest < LIMIT


def _newest(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "spool.db")) as connection:
        return str(connection.execute("SELECT max(id) FROM messages").fetchone()[0])


async def flow(folder: Path, rounds: int, messages: int) -> None:
    """Mail through the relay, in turn: without the index, with it, and while somebody searches all the time."""
    kinds = {"without the index": (False, False), "with it": (True, False), "while somebody searches": (True, True)}
    figures: dict[str, list[Figures]] = {name: [] for name in kinds}
    async with SinkProcess.running() as sink:
        for _ in range(rounds):
            for name, (indexed, searching) in kinds.items():
                async with daemon(folder, sink.port, indexed=indexed) as (relay, _):
                    await measure(relay, sink, Load(relay.port, 200))
                    await asyncio.sleep(SETTLES)  # what came while there was no index goes in at the start
                    somebody = asyncio.create_task(_search(await _at_the_page(folder))) if searching else None
                    figures[name].append(await measure(relay, sink, Load(relay.port, messages)))
                    if somebody:
                        somebody.cancel()
                        await asyncio.gather(somebody, return_exceptions=True)
    medians = {name: median(found) for name, found in figures.items()}
    print("## Mail meanwhile\n\n" + report.throughput(medians, "without the index"), flush=True)


async def _at_the_page(folder: Path) -> Browser:
    """Logged in, and with what the first page imports behind it: neither happens ten times a second."""
    browser = await asyncio.to_thread(Browser, folder)
    await asyncio.to_thread(browser.get, "/messages")
    return browser


async def _search(browser: Browser) -> None:
    while True:
        for words in SEARCHES.values():
            await asyncio.to_thread(browser.get, "/messages?" + urlencode(words))
            await asyncio.sleep(THINKS)


async def main(count: int, rounds: int, messages: int) -> int:
    """:returns: the exit status: 1 where an answer came late."""
    print(f"# {count:,} messages; {os.cpu_count()} cores, {platform.machine()}\n", flush=True)
    with TemporaryDirectory(prefix="smtprelay-") as name:
        folder = Path(name)
        past.make(folder / "spool.db", count, now_ms())
        async with SinkProcess.running() as sink:
            await build(folder, sink.port)
            in_time = await searches(folder, sink.port, rounds)
        await flow(folder, max(1, rounds // 4), messages)
    return 0 if in_time else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description="searches in a large history")
    parser.add_argument("--history", type=int, default=1_000_000, help="messages in it")
    parser.add_argument("--rounds", type=int, default=20, help="of each search")
    parser.add_argument("--messages", type=int, default=2000, help="of one round of mail")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server is left behind
    raise SystemExit(asyncio.run(main(arguments.history, arguments.rounds, arguments.messages)))

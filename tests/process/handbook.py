"""docs/troubleshooting.md as something that can be checked against a running daemon."""

from __future__ import annotations

import asyncio
import html
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from smtprelay.log import masked
from tests.debian import ROOT
from tests.gateway.wire import PASSWORD, PASSWORD_HASH
from tests.process.relay import PATIENCE, Relay

OPERATOR = f'[[status.accounts]]\nusername = "ops"\npassword_hash = "{PASSWORD_HASH}"'
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Table:
    """What the document says that a fault shows: the rows of one of its tables."""

    rows: dict[str, str]

    def __getitem__(self, where: str) -> str:
        return self.rows[where]

    @property
    def figures(self) -> list[str]:
        return re.findall(r"`([^`]+)`", self["`/metrics`"])

    @property
    def log(self) -> list[tuple[str, dict[str, Any]]]:
        """Events, and what stands in each."""
        lines = [re.fullmatch(r"`([^`]+)`(.*)", part.strip()) for part in self["log"].split(";")]
        return [(line[1], dict(re.findall(r"(\w+)=(\S+)", line[2]))) for line in lines if line]

    @property
    def ready(self) -> tuple[int, str]:
        """The status and the first line of /readyz."""
        status, first = self["`/readyz`"].split(" ", 1)
        return int(status), first.strip("`")


def tables(heading: str) -> list[Table]:
    """Those of a section."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [
        Table(dict(re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)))
        for table in section.split("| where | what it shows |\n|---|---|\n")[1:]
    ]


def fits(text: str, words: str) -> bool:
    """Whether a text is what the document says: … stands for what differs."""
    return re.fullmatch(_pattern(words), text) is not None


def _pattern(words: str) -> str:
    return re.escape(words).replace("…", ".+")


def _url(relay: Relay) -> str:
    [ready] = [line for line in relay.log if line["event"] == "ready"][-1:]
    return f"http://{ready['status'][0]}"


async def get(relay: Relay, path: str) -> tuple[int, str]:
    """What the status server answers. :returns: status and body."""

    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(_url(relay) + path, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def page(relay: Relay) -> str:
    """What an operator reads on the page."""

    def read() -> str:
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        form = urllib.parse.urlencode({"username": "ops", "password": PASSWORD}).encode()
        with browser.open(f"{_url(relay)}/login", form, timeout=PATIENCE) as answer:
            return html.unescape(answer.read().decode())

    return await asyncio.to_thread(read)


async def shows(relay: Relay, table: Table) -> None:
    """Wait until the daemon shows all that the table says."""
    problem = await _problem(relay, table)
    shown = await page(relay)
    told = f"{table['problem']} {table['what to do']}"  # not the log's line: the room on a disk may be another by now
    assert re.search(_pattern(table["problem"]), shown)
    assert problem["remedy"] in shown
    for event, words in table.log:
        await relay.logged(event, **words)
    status, text = await get(relay, "/readyz")
    first, *lines = text.splitlines()
    assert (status, first) == table.ready
    assert any(fits(line, masked(f"{problem['level']}: {told}")) for line in lines), lines
    deadline = time.monotonic() + PATIENCE
    while missing := [figure for figure in table.figures if not await _has(relay, figure)]:
        assert time.monotonic() < deadline, missing
        await asyncio.sleep(0.2)


async def _problem(relay: Relay, table: Table) -> dict[str, Any]:
    """The line of the log that tells of it."""
    [key] = [words["key"] for event, words in table.log if event == "problem"]
    line = await relay.logged("problem", key=key)
    assert fits(line["sentence"], table["problem"]), line
    assert fits(line["remedy"], table["what to do"]), line
    return line


async def _has(relay: Relay, figure: str) -> bool:
    _, text = await get(relay, "/metrics")
    return any(fits(line.removesuffix(".0"), figure) for line in text.splitlines())


async def over(relay: Relay, key: str) -> None:
    """Wait until the problem has passed: for the log, and for /readyz."""
    await relay.logged("problem over", key=key)
    status, text = await get(relay, "/readyz")
    assert (status, text) == (200, "ready\n")

"""`smtprelay suppress`, before a running daemon and without one."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
from pathlib import Path
from typing import Any

import pytest

from smtprelay.suppression_list import PAGE
from tests.process.relay import Relay, running

pytestmark = pytest.mark.slow

COUNT = 60_000
FAILED = "email\ttype\ttask_id\na@example.org\t3\t1036770\nnobody\t1\t7\nB@example.org\t2\t7\n"  # of the platform


def addresses(listed: list[dict[str, Any]]) -> list[str]:
    return [entry["address"] for entry in listed]


async def test_the_list_is_seen_and_changed(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, _):
        assert "0 addresses on the list" in await relay.run("suppress", "list")
        words = ("--reason", "asked on the phone", "--expires", "30d")
        told = await relay.run("suppress", "add", "A@Example.org", "b@example.org", *words)
        assert told == "2 addresses suppressed; 2 new or changed.\n"
        first, _ = await relay.json("suppress", "list")
        assert (first["address"], first["cause"], first["note"]) == ("A@example.org", "operator", "asked on the phone")
        assert first["source"].startswith("operator ")
        assert first["expires"] - first["since"] == 30 * 86_400_000
        assert (await relay.logged("operator", action="suppress"))["addresses"] == ["A@example.org", "b@example.org"]
        assert addresses(await relay.json("suppress", "list", "--limit", "1", "--after", "a@example.org")) == [
            "b@example.org"
        ]
        assert addresses(await relay.json("suppress", "list", "A@EXAMPLE")) == ["A@example.org"]
        assert await relay.json("suppress", "list", "--cause", "unsubscribed") == []
        table = await relay.run("suppress", "list", "--limit", "1")
        assert "entered by hand" in table
        assert "More: --after A@example.org" in table
        told = await relay.run("suppress", "remove", "a@example.org", "c@example.org", status=os.EX_USAGE)
        assert told == "1 address removed: mail goes there again.\nc@example.org is not on the list\n"
        assert await relay.json("suppress", "remove", "b@example.org") == {"removed": 1}
        expiring = (("add", "a@b.org", "--expires", text) for text in ("soon", "0s"))
        for wrong in (("add", "nobody"), ("remove", "nobody"), *expiring):
            assert "Invalid value" in await relay.run("suppress", *wrong, status=os.EX_USAGE)
        assert "is no cause" in await relay.run("suppress", "list", "--cause", "full", status=os.EX_USAGE)


async def test_files_go_in_and_come_out(tmp_path: Path) -> None:
    (tmp_path / "failed.tsv").write_text(FAILED)
    async with running(tmp_path) as (relay, _):
        told = await relay.run("suppress", "import", "failed.tsv", status=os.EX_DATAERR)
        assert "line 3: 'nobody' is not an address of the form local@domain\n" in told
        assert "2 read, 2 of them new or changed; 1 bad line; " in told
        bare = b"c@example.org\r\nd@example.org\r\n"
        output = await relay.run("suppress", "import", "-", "--cause", "unsubscribed", "--json", stdin=bare)
        entered, last = map(json.loads, output.splitlines())
        assert entered == {"entered": 2, "changed": 2}
        assert (last["summary"]["entered"], last["summary"]["bad_lines"]) == (2, 0)
        listed = await relay.json("suppress", "list")
        assert addresses(listed) == ["a@example.org", "B@example.org", "c@example.org", "d@example.org"]
        assert [entry["cause"] for entry in listed] == ["3", "2", "unsubscribed", "unsubscribed"]
        assert [entry["source"] for entry in listed] == ["import"] * 4
        assert "4 addresses in list.csv" in await relay.run("suppress", "export", "list.csv")
        assert [path.name for path in tmp_path.glob("list.csv*")] == ["list.csv"]
        content = await relay.run("suppress", "export", "--format", "json")
        assert [json.loads(line) for line in content.splitlines()] == listed
        assert "0 of them new" in await relay.run("suppress", "import", "list.csv")
        told = await relay.run("suppress", "export", "nowhere/list.csv", status=os.EX_CANTCREAT)
        assert told == "nowhere/list.csv cannot be written: No such file or directory.\n"


async def test_what_a_file_entered_by_mistake_is_taken_off_again(tmp_path: Path) -> None:
    """By the same file, or by one of all that have something in common, which a person can look through before."""
    (tmp_path / "wrong.txt").write_text("".join(f"user{i}@example.org\n" for i in range(2500)))
    async with running(tmp_path) as (relay, _):
        await relay.run("suppress", "add", "b@example.org")
        await relay.run("suppress", "import", "wrong.txt", "--cause", "1")
        assert "2500 addresses in wrong.csv" in (
            await relay.run("suppress", "export", "wrong.csv", "--text", "import", "--cause", "1")
        ).replace(",", "")
        told = await relay.run("suppress", "remove", "--file", "wrong.csv")
        assert told.startswith("2,500 read, 2,500 of them removed: mail goes there again; ")
        assert addresses(await relay.json("suppress", "list")) == ["b@example.org"]
        assert (await relay.logged("operator", action="unsuppress"))["removed"] == PAGE

        stdin = b"b@example.org\nuser7@example.org\nnobody\n"
        output = await relay.run("suppress", "remove", "--file", "-", "--json", stdin=stdin, status=os.EX_DATAERR)
        summary = json.loads(output.splitlines()[-1])["summary"]
        assert (summary["removed"], summary["bad_lines"]) == (1, 1)
        assert await relay.json("suppress", "list") == []
        for wrong in ((), ("b@example.org", "--file", "wrong.csv")):
            assert "name addresses, or a" in await relay.run("suppress", "remove", *wrong, status=os.EX_USAGE)
        await relay.stop()
        assert "2,500 read, 0 of them removed" in await relay.run("suppress", "remove", "--file", "wrong.txt")


async def test_without_a_daemon_the_list_is_that_of_the_spool(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, _):
        await relay.stop()
        (tmp_path / "addresses.txt").write_text("".join(f"{i}@example.org\n" for i in range(2500)))
        assert "2,500 read" in await relay.run("suppress", "import", "addresses.txt")
        assert await relay.json("suppress", "remove", "7@example.org") == {"removed": 1}
        assert len((await relay.run("suppress", "export")).splitlines()) == 2500
        assert addresses(await relay.json("suppress", "list", "--limit", "1")) == ["0@example.org"]
        # After the year 9999: the list could not be shown any more, nor mail to that address be refused.
        far = await relay.run("suppress", "add", "far@example.org", "--expires", "3650000d", status=os.EX_USAGE)
        assert "after the year 5138" in far
        await relay.start()
        assert "2,499 addresses on the list: 2,499 entered by hand" in await relay.run("suppress", "list")


async def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """A bad line is told beside it."""
    (tmp_path / "failed.tsv").write_text(FAILED)
    async with running(tmp_path) as (relay, _):
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *relay.entry, "suppress", "import", "failed.tsv", "-c", "config.toml",
            cwd=tmp_path, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        assert await process.wait() == os.EX_DATAERR
        shown = os.read(ours, 65536).decode()
        os.close(ours)
    assert "4/4" in shown
    assert "line 3: 'nobody' is not an address" in shown
    assert "2 read" in shown


async def entered(process: asyncio.subprocess.Process, at_least: int) -> int:
    """Wait until so many are told to be entered. :returns: how many were told last."""
    assert process.stdout
    told = 0
    while told < at_least:
        told = json.loads(await process.stdout.readline())["entered"]
    return told


async def start_import(relay: Relay) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *relay.entry, "suppress", "import", "addresses.txt", "--json", "-c", "config.toml",
        cwd=relay.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("killed", ["daemon", "command"])
async def test_what_was_told_to_be_entered_is_there_after_a_kill_and_another_run_enters_the_rest(
    tmp_path: Path, killed: str
) -> None:
    (tmp_path / "addresses.txt").write_text("".join(f"user{i:06}@example.org\n" for i in range(COUNT)))
    async with running(tmp_path) as (relay, _):
        process = await start_import(relay)
        told = await entered(process, 10_000)
        if killed == "daemon":
            await relay.stop(signal.SIGKILL)
        else:
            process.send_signal(signal.SIGKILL)
        output, errors = await process.communicate()
        told = max([told, *(json.loads(line)["entered"] for line in output.splitlines())])
        if killed == "daemon":
            assert process.returncode == os.EX_TEMPFAIL
            assert f"the first {told:,} addresses were. Run the same command again." in errors.decode()
            await relay.start()
        there = (await relay.run("suppress", "export")).splitlines()[1:]
        assert told <= len(there) < COUNT
        assert [line.partition(",")[0] for line in there] == [f"user{i:06}@example.org" for i in range(len(there))]
        output, _ = await (await start_import(relay)).communicate()
        assert json.loads(output.splitlines()[-1])["summary"]["entered"] == COUNT
        assert f"{COUNT:,} addresses on the list" in await relay.run("suppress", "list", "--limit", "1")

"""The Python in docs/platform.md on contacts, campaigns and domains does what it says, with the sandbox's platform."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from smtprelay.platform import DomainStatus
from smtprelay.platform.template_values import Colour
from smtprelay.sandbox.platform import Platform

DOCUMENT = Path(__file__).parent.parent.parent / "docs/platform.md"
SECTIONS = ("Contacts", "Campaigns", "Domains and mailboxes")


def section(name: str) -> str:
    match = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert match
    return match[1]


def program() -> str:
    """All of it, to be run without waiting, and over plain HTTP."""
    blocks = [re.search(r"^```python\n(.*?)^```", section(name), re.DOTALL | re.MULTILINE) for name in SECTIONS]
    text = "\n".join(block[1] for block in blocks if block)
    return text.replace("sleep(5)", "sleep(0)").replace("base_url)", "base_url, allow_insecure=True)")


async def test_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("contacts.csv").write_text("address,姓名,var1\nann@example.org,安,puer\nnobody,,\n", encoding="utf-8")
    async with Platform(mailboxes={"news@example.com": "secret"}) as platform:
        names: dict[str, Any] = {"username": platform.username, "password": platform.password, "base_url": platform.url}
        await asyncio.to_thread(exec, compile(program(), str(DOCUMENT), "exec"), names)
        names["platform"].close()
        [task] = platform.state.tasks.values()
        assert (task.account, task.replyto, task.track_status) == ("news@example.com", "shop@example.com", "2")
    told = capsys.readouterr().out.splitlines()
    assert told[:4] == [
        "wang@example.org 王芳 green tea",
        "li@example.org 李雷 oolong",
        "ann@example.org 安 puer",
        "green not suspicious",
    ]
    assert told[4:] == [
        "waits to be sent 2030-11-28 09:30:00+08:00",
        "2 added, but its DNS is not right",
        "news@example.com",
    ]


def test_its_tables_and_lists_are_the_enumerations() -> None:
    told = dict(re.findall(r"^\| (\d) \| (.*) \|$", section("Domains and mailboxes"), re.MULTILINE))
    assert told == {status.value: status.english for status in DomainStatus}
    assert all(colour.value in section("Campaigns") for colour in Colour)

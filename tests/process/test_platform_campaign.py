"""A campaign in one command, through the stand-in for the platform, and what is told of it afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from smtprelay.sandbox.platform import Platform
from smtprelay.sandbox.platform.records import Template

pytestmark = pytest.mark.slow

ADDRESS_TXT = (  # the platform's document, 4.9.3, as printed
    "Coming1@bestdem.org;coming1;M;1986-08-10;13528775968;北京;var1;var2;... var10;\n"
    "test@bestdem.org; test;F;1986-08-10;13528775968;area;var1;var2;... var10;\n"
)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform(mailboxes={"news@example.com": "secret"}) as platform:
        yield platform


async def smtprelay(platform: Platform, folder: Path, *words: str) -> tuple[int, str, str]:
    """Run a command. :returns: exit code, standard output, standard error."""
    environment = os.environ | {
        "XDG_STATE_HOME": os.fspath(folder),
        "SMTPRELAY_PLATFORM_URL": platform.url,
        "SMTPRELAY_PLATFORM_USERNAME": platform.username,
        "SMTPRELAY_PLATFORM_PASSWORD": platform.password,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "smtprelay", "platform", *words, "--allow-insecure",
        cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert platform.password not in output.decode() + errors.decode()
    return process.returncode or 0, output.decode(), errors.decode()


def write_campaign(folder: Path) -> None:
    template = folder / "templates" / "news"
    template.mkdir(parents=True)
    (template / "subject.j2").write_text("{{ fullname }}，您好")
    (template / "body.html.j2").write_text(
        '<p>{{ fullname }}: <a href="https://example.com/?c={{ var1 }}">{{ area }}</a></p>'
    )
    (folder / "address.txt").write_text(ADDRESS_TXT)


async def told(platform: Platform, folder: Path, *words: str) -> Any:
    status, output, errors = await smtprelay(platform, folder, *words, "--json")
    assert status == 0, errors
    return json.loads(output)


async def test_a_campaign_from_address_txt_and_a_template_of_ours(platform: Platform, tmp_path: Path) -> None:
    write_campaign(tmp_path)
    made = await told(
        platform, tmp_path, "tasks", "create", "--template", "news", "--directory", "templates",
        "--contacts", "address.txt", "--sender", "news@example.com", "--sender-name", "新闻", "--now",
        "--tracking", "2",
    )  # fmt: skip
    assert (made["contacts"], made["checks"][0]["colour"]) == (2, "green")
    assert made["fields"] == {"fullname": "FULLNAME", "var1": "VAR1", "area": "AREA"}
    template = platform.state.templates[made["templates"][0]]
    assert list(template.subjects.values()) == ["{FULLNAME}，您好"]
    assert 'href="https://example.com/?c={VAR1}">{AREA}</a>' in template.content
    addresses = platform.state.lists[made["list"]].addresses
    assert {name.lower() for name in addresses} == {"coming1@bestdem.org", "test@bestdem.org"}
    platform.state.run_tasks()
    words = made["statistics"].split()
    assert words[:2] == ["smtprelay", "platform"]
    [batch] = await told(platform, tmp_path, *words[2:])
    assert (batch["planned"], batch["sent"], batch["delivered"]) == (2, 2, 2)
    [task] = await told(platform, tmp_path, "stats", "web-tasks", "--id", str(made["task"]))
    assert (task["sender_name"], task["sent"]) == ("新闻", 2)
    status, table, _ = await smtprelay(platform, tmp_path, *words[2:])
    assert (status, table.split()[:3]) == (0, ["task", "id", "day"])


async def test_a_platform_that_refuses_the_log_in(platform: Platform, tmp_path: Path) -> None:
    status, output, errors = await smtprelay(platform, tmp_path, "account", "service", "--username", "nobody")
    assert (status, output) == (os.EX_NOPERM, "")
    assert errors.startswith("nobody at http://127.0.0.1:")
    assert "look at username and password" in errors


async def test_a_campaign_that_breaks_off_is_gone_on_with(platform: Platform, tmp_path: Path) -> None:
    """The quota of the hour is used up: the task is refused, and template and contacts are there."""
    write_campaign(tmp_path)
    for _ in range(100):
        assert platform.state.may_create_task()
    task = ("tasks", "create", "--sender", "news@example.com", "--sender-name", "News", "--now")
    status, _, errors = await smtprelay(
        platform, tmp_path, *task, "--template", "news", "--directory", "templates", "--contacts", "address.txt"
    )
    assert status == os.EX_UNAVAILABLE
    advice = errors.partition("run the same command with ")[2].partition(" in place of")[0]
    platform.state.created.clear()
    made = await told(platform, tmp_path, *task, *advice.split())
    assert platform.state.tasks[made["task"]].list_id == made["list"]


async def test_the_hours_campaigns_are_counted_over_commands(platform: Platform, tmp_path: Path) -> None:
    """Each command is a process: its own memory would always say that it is the first one."""
    at = platform.state.now()
    platform.state.templates[3] = Template(3, "news", {1: "News"}, "News", at, at, lag=0)
    task = ("tasks", "create", "--tpl-id", "3", "--list-id", "5", "--now", "--sender", "all", "--sender-name", "News")
    await smtprelay(platform, tmp_path, *task)
    calls = tmp_path / "smtprelay" / "platform-calls.json"
    [(name, made)] = json.loads(calls.read_text()).items()
    calls.write_text(json.dumps({name: made * 100}))
    status, _, errors = await smtprelay(platform, tmp_path, *task)
    assert status == os.EX_TEMPFAIL
    assert "the platform takes 100 of these an hour" in errors

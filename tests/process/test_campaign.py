"""`smtprelay send --contacts` through the real daemon, killed in the middle and run again: everybody once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from smtprelay.sandbox.smarthost import Smarthost, verify
from tests.process.relay import DOMAIN, Relay, running

pytestmark = pytest.mark.slow

COUNT = 800
MIDDLE = 40  # messages at the smarthost: many are on their way to the relay then, and many are not


def write_campaign(folder: Path) -> None:
    """A template, and contacts who all have names."""
    template = folder / "templates" / "news"
    template.mkdir(parents=True)
    (template / "subject.j2").write_text("{{ fullname }}，您好")
    (template / "body.html.j2").write_text(
        "<style>p {color: #333}</style><p>{{ fullname }}: {{ var1 }}, {{ city }}</p>"
    )
    lines = [f"user{i}@example.org;王芳{i};F;;;;voucher-{i}" for i in range(COUNT)]
    (folder / "contacts.txt").write_bytes("\r\n".join([*lines, "nobody", lines[0]]).encode("gb18030"))


async def start(relay: Relay) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *relay.entry, "send", "--from", f"news@{DOMAIN}", "--template", "news", "--var", "city=北京",
        "--contacts", "contacts.txt", "--relay", f"smtp://127.0.0.1:{relay.port}", "--tag", "autumn",
        cwd=relay.folder, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def finish(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """Its JSON lines. (One line of the file is bad: 65.)"""
    output, _ = await process.communicate()
    assert process.returncode == os.EX_DATAERR
    return [json.loads(line) for line in output.splitlines()]


async def everybody_once(relay: Relay, smarthost: Smarthost) -> None:
    await smarthost.wait_for(COUNT, timeout=120)
    await relay.settled(delivered=COUNT)
    received = Counter(address for message in smarthost.messages for address in message.recipients)
    assert received == Counter({f"user{i}@example.org": 1 for i in range(COUNT)})


async def test_send_that_is_killed_goes_on(tmp_path: Path) -> None:
    write_campaign(tmp_path)
    async with running(tmp_path) as (relay, smarthost):
        process = await start(relay)
        await smarthost.wait_for(MIDDLE, timeout=60)
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        *items, last = await finish(await start(relay))
        await everybody_once(relay, smarthost)
        message = next(m for m in smarthost.messages if "user7@example.org" in m.recipients)
    assert last["summary"]["sent"] == COUNT
    assert MIDDLE <= last["summary"]["before"] < COUNT
    assert (last["summary"]["bad_lines"], last["summary"]["duplicates"]) == (1, 1)
    assert len({item["id"] for item in items if "id" in item}) == COUNT
    content = message_from_bytes(message.content, policy=default)
    assert content["subject"] == "王芳7，您好"
    assert "王芳7: voucher-7, 北京" in content.get_body(["html"]).get_content()  # type: ignore[union-attr]
    assert verify(message, relay.records) == [True]


async def test_daemon_that_is_killed_is_gone_on_with(tmp_path: Path) -> None:
    """What it had accepted before it was killed is not accepted again. (An attempt that was under way is made again
    when it starts, as the configuration says: so it is counted in the spool, and not at the smarthost.)"""
    write_campaign(tmp_path)
    async with running(tmp_path) as (relay, smarthost):
        process = await start(relay)
        await smarthost.wait_for(MIDDLE, timeout=60)
        await relay.stop(signal.SIGKILL)
        output, _ = await process.communicate()
        assert process.returncode == os.EX_TEMPFAIL
        first = {item["address"]: item["id"] for item in map(json.loads, output.splitlines()) if "id" in item}
        await relay.start()
        *items, last = await finish(await start(relay))
        await smarthost.wait_for(COUNT, timeout=120)
        recipients = await relay.settled(delivered=COUNT)
        received = {address for message in smarthost.messages for address in message.recipients}
    assert sum(recipients.values()) == COUNT
    assert received == {f"user{i}@example.org" for i in range(COUNT)}
    second = {item["address"]: item["id"] for item in items if "id" in item}
    assert first.items() <= second.items()
    assert last["summary"]["before"] >= len(first)

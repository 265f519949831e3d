"""The Python in README.md and docs/api.md does what it says, with a real relay before a stand-in for the provider."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from smtprelay.sandbox.smarthost import Received
from tests.process.relay import PATIENCE, running

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
TEMPLATES = f'[templates]\ndirectory = "{ROOT / "templates"}"'
CONTACTS = """\
address,fullname,unsubscribe_url
wang@example.org,王芳,https://www.example.com/u/1
nobody,Nobody,https://www.example.com/u/2
li@example.org,李雷,https://www.example.com/u/3
"""


def program(document: Path, port: int) -> str:
    """All Python of a document, one block after the other, each at its lines."""
    text = document.read_text(encoding="utf-8")
    lines = [""] * text.count("\n")
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        first = text.count("\n", 0, block.start(1))
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines).replace("2525", str(port))


async def run(document: Path, folder: Path, *, queued: int, more: str = "") -> tuple[str, list[Received]]:
    """What the program prints, and what the provider gets of it.

    :param queued: recipients whose time comes later.
    :param more: of the configuration.
    """
    (folder / "contacts.csv").write_text(CONTACTS, encoding="utf-8")
    (folder / "invoice.pdf").write_bytes(b"%PDF-1.7")
    (folder / "logo.png").write_bytes((ROOT / "templates/_logo.png").read_bytes())
    async with running(folder, keys=["ed25519"], more=more) as (relay, smarthost):
        (folder / "program.py").write_text(program(document, relay.port), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "program.py"),
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, output.decode()
        await relay.settled(queued=queued, sending=0)
        return output.decode(), list(smarthost.messages)


def subjects(messages: list[Received]) -> Counter[str]:
    parsed = [email.message_from_bytes(received.content, policy=email.policy.default) for received in messages]
    # The newsletter's two subjects rotate: one begins with the name.
    return Counter(str(message["Subject"] or "").rpartition(": ")[2] for message in parsed)


async def test_the_readme(tmp_path: Path) -> None:
    """Its steps left out the template that its program names."""
    assert "mkdir ~/relay && cp -r templates ~/relay " in (ROOT / "README.md").read_text(encoding="utf-8")
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    output, messages = await run(ROOT / "README.md", tmp_path, queued=0)
    assert re.fullmatch(r"[0-9a-v]{16}\nli@example\.org [0-9a-v]{16}\n", output)
    assert subjects(messages) == {"您的订单": 1, "Receipt for your order A-20462": 1}


async def test_the_api(tmp_path: Path) -> None:
    output, messages = await run(ROOT / "docs/api.md", tmp_path, queued=4, more=TEMPLATES)
    [first, no_template, nobody] = output.splitlines()
    assert re.fullmatch("[0-9a-v]{16}", first)
    assert "there is none of this name" in no_template
    assert nobody.startswith("nobody ")
    assert subjects(messages) == {
        "您的订单": 1,
        "您的订单 A-20461 收据": 1,
        "Receipt for your order A-20461": 2,  # from Django and Flask-Mail
        "The autumn harvest is in": 2,
        "Hello": 5,
        "": 1,
    }

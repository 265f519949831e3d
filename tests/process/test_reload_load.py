"""Reloads while mail comes in and goes out."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest

from smtprelay.instructions import Instructions, write_fields
from smtprelay.signing import generate_key
from tests.gateway.wire import Client
from tests.process.relay import ACCOUNT, ACCOUNTS, LOGIN, Relay, running
from tests.process.reloading import MESSAGE, certificate, client, edit, free_port, logged_in, reload, sent
from tests.process.test_templates import write_template

pytestmark = pytest.mark.slow

ROUNDS = 20
KEPT = 100  # sessions, half of which send a message in each round
RENDERED = 5  # of them, by template
NEW = 10  # sessions of one message in each round, under TLS and logged in

# What a round has in place of the configuration to begin with: LETTER takes turns, NUMBER grows, and TEMPLATES changes
# now and then, as another process takes a second to start.
CHANGES = [
    (ACCOUNTS, f"{ACCOUNTS}{ACCOUNTS}".replace(ACCOUNT, "LETTER@example.com", 1)),
    ('hostname = "', 'max_recipients = 10NUMBER\nlisten_tls = ["127.0.0.1:TLS"]\nhostname = "'),
    ('hostname = "', 'tls_certificate = "LETTER.pem"\ntls_key = "LETTER.key"\nhostname = "'),
    ("[upstream]\n", "[upstream]\nconnections = 1NUMBER\n"),
    (LOGIN, 'username = "LETTER@example.com"\npassword_file = "LETTER.password"'),
    ("[[domains.keys]]", '[[domains.keys]]\nselector = "LETTER"\nfile = "LETTER.dkim.pem"\n[[domains.keys]]'),
    ("[log]", '[templates]\ndirectory = "TEMPLATES/templates"\n[log]'),
]


def prepare(folder: Path) -> dict[str, str]:
    """What the configurations of all rounds name. :returns: the passwords at the smarthost."""
    for letter in "ab":
        certificate(folder, letter)
        write_template(folder / letter, "hello", subject_j2="{{ number }}", body_txt_j2="x")
        (folder / f"{letter}.password").write_text(f"secret of {letter}")
        (folder / f"{letter}.dkim.pem").write_bytes(generate_key("rsa", 1024))
    return {f"{letter}@example.com": f"secret of {letter}" for letter in "ab"}


class Mail:
    """The messages, each with a number as its subject."""

    def __init__(self) -> None:
        self._numbers = count()
        self.accepted: list[str] = []

    async def send(self, app: Client) -> None:
        await self._send(app, f"Subject: {(number := str(next(self._numbers)))}\r\n", number)

    async def render(self, app: Client) -> None:
        number = str(next(self._numbers))
        await self._send(app, write_fields(Instructions("hello", {"number": number})).decode(), number)

    async def _send(self, app: Client, fields: str, number: str) -> None:
        await sent(app, MESSAGE.replace("Subject: x\r\n", fields))
        self.accepted.append(number)


async def test_twenty_reloads_under_load_fail_no_session_and_lose_no_message(tmp_path: Path) -> None:
    """Each brings another account, limit, certificate, credential, DKIM key and template directory."""
    mail, tls = Mail(), free_port()
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE

    async def send_once() -> None:
        async with client(tls, ssl=unverified) as app:
            await logged_in(app)
            await mail.send(app)

    async with running(tmp_path) as (relay, smarthost), AsyncExitStack() as stack:
        smarthost.credentials = prepare(tmp_path)
        first = (tmp_path / "config.toml").read_text()
        await another_configuration(relay, first, 0, tls)
        kept = [await stack.enter_async_context(client(relay.port)) for _ in range(KEPT)]
        for number in range(1, ROUNDS + 1):
            async with asyncio.TaskGroup() as group:
                for i, app in enumerate(kept[number % 2 :: 2]):
                    group.create_task(mail.render(app) if i < RENDERED else mail.send(app))
                for _ in range(NEW):
                    group.create_task(send_once())
                group.create_task(another_configuration(relay, first, number, tls))
        received = await smarthost.wait_for(ROUNDS * (KEPT // 2 + NEW))
    subjects = [re.search(rb"(?m)^Subject: (\d+)", message.content) for message in received]
    assert sorted(match[1].decode() for match in subjects if match) == sorted(mail.accepted)
    assert not [line for line in relay.log if line.get("level") in ("error", "critical")]


async def another_configuration(relay: Relay, first: str, number: int, tls: int) -> None:
    (relay.folder / "config.toml").write_text(first)
    words = {"LETTER": "ab"[number % 2], "NUMBER": str(number), "TEMPLATES": "ab"[number // 5 % 2], "TLS": str(tls)}
    for old, new in CHANGES:
        for word, value in words.items():
            new = new.replace(word, value)
        edit(relay, (old, new))
    await reload(relay)

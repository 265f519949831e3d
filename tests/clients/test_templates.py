"""Clients that can only set header fields name a template and give it Chinese values."""

from __future__ import annotations

import email
import email.policy
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from smtprelay.sandbox.smarthost import Received
from smtprelay.templating.examples import examples
from tests.clients.mails import Mail, Posting
from tests.clients.running import Gateway, environment, link_programs, marks, run, settings
from tests.clients.table import CLIENTS, FOLDER, Client
from tests.clients.tap import Tap
from tests.debian import ROOT
from tests.process.relay import running
from tests.verifiers import dkimpy_verify

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

Fields = list[tuple[str, str]]

# A long order: the fields that hold it are longer than any line may be (RFC 5322 §2.1.1).
ORDER: Mapping[str, Any] = {
    "fullname": "王小明",
    "order": "订单 7 号",
    "total": "¥3,480.00",
    "language": "zh-CN",
    "items": [{"name": f"铁观音（第 {i} 批）", "quantity": i, "price": "¥116.00"} for i in range(1, 31)],
}
NAMES = ("李娜", "Wáng Wěi \N{PILE OF POO}")  # of the two recipients, where each has a mail of their own


def ours(to: Sequence[str]) -> Fields:
    return [("X-SMTPRelay-Template", "receipt"), ("X-SMTPRelay-Vars", written(ORDER))]


def ours_in_two(to: Sequence[str]) -> Fields:
    order = dict(ORDER)
    items = {"items": order.pop("items")}
    return [
        ("X-SMTPRelay-Vars", written(order)),
        ("X-SMTPRelay-Template", "receipt"),
        ("X-SMTPRelay-Vars", written(items)),
    ]


def mandrill(to: Sequence[str]) -> Fields:
    own = [{"_rcpt": address, "fullname": name} for address, name in zip(to, NAMES, strict=True)]
    variables = [("X-MC-MergeVars", written(values)) for values in (ORDER, *own)]
    return [("X-MC-Template", "receipt"), *variables, ("X-MC-Tags", "orders,shop")]


def mailgun(to: Sequence[str]) -> Fields:
    own = {address: {"fullname": name} for address, name in zip(to, NAMES, strict=True)}
    return [
        ("X-Mailgun-Template-Name", "receipt"),
        ("X-Mailgun-Template-Variables", written(ORDER)),
        ("X-Mailgun-Recipient-Variables", written(own)),
        ("X-Mailgun-Tag", "orders"),
    ]


def written(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)


RAW, ENCODED = "raw UTF-8", "RFC 2047"
# Client → how it writes what is not ASCII, and whose fields it sends. Django's mail has no field twice.
SENDS: Mapping[str, tuple[str, Sequence[Callable[[Sequence[str]], Fields]]]] = {
    "PHP mail()": (RAW, (ours, ours_in_two, mandrill, mailgun)),
    "Nodemailer": (ENCODED, (ours, ours_in_two, mandrill, mailgun)),
    "Django": (ENCODED, (ours, mailgun)),
    "curl": (RAW, (ours, ours_in_two, mandrill, mailgun)),
    "swaks": (RAW, (ours, ours_in_two, mandrill, mailgun)),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    templates = f'[templates]\ndirectory = "{examples()}"'
    async with running(tmp_path_factory.mktemp("relay"), accounts="", more=templates) as (relay, smarthost):
        yield Gateway(relay, smarthost)


@pytest.mark.parametrize(
    ("client", "write"),
    [
        pytest.param(client, write, marks=marks(client), id=f"{client.name}-{write.__name__}")
        for client in CLIENTS
        if client.name in SENDS
        for write in SENDS[client.name][1]
    ],
)
async def test_values_arrive_right_and_the_fields_do_not(
    gateway: Gateway, client: Client, write: Callable[[Sequence[str]], Fields], tmp_path: Path
) -> None:
    split = write in (mandrill, mailgun)
    name = f"{write.__name__}-{client.script.partition('.')[0]}"
    to = [f"{name}{i}@example.org" for i in range(2)]
    posting = Posting(Mail("template", to=2, headers=write(to)), to, [], [])
    link_programs(tmp_path)
    async with Tap(gateway.relay.port) as tap:
        told = settings(tap.port, user=False) | posting.environment(tmp_path)
        status, output = await run(client, environment(tmp_path, tmp_path) | told)
    assert status == 0, output
    assert ("王小明".encode() in tap.heard, b"=?utf-8?" in tap.heard.lower()) == (
        SENDS[client.name][0] == RAW,
        SENDS[client.name][0] == ENCODED,
    )

    received = [await gateway.arrived(address) for address in to]
    shares = [(address,) for address in to] if split else [tuple(to)] * 2
    assert [tuple(message.recipients) for message in received] == shares
    for message, fullname in zip(received, NAMES if split else ("王小明",) * 2, strict=True):
        check(message, fullname)
        assert dkimpy_verify(message.content, gateway.relay.records) == [True]
    assert sum(set(to) & set(message.recipients) != set() for message in gateway.smarthost.messages) == 1 + split
    if split:
        assert len(await gateway.relay.json("queue", "list", "--tag", "orders", "--to", to[0])) == 1


def check(received: Received, fullname: str) -> None:
    """The receipt that was ordered, in Chinese."""
    message = email.message_from_bytes(received.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == "您的订单 订单 7 号 收据"
    assert not [name for name in message if name.lower().startswith(("x-smtprelay-", "x-mc-", "x-mailgun-"))]
    for subtype in ("plain", "html"):
        body = message.get_body((subtype,))
        assert body
        content = body.get_content()
        assert f"{fullname}，感谢您的惠顾" in content
        assert "¥3,480.00" in content
        assert all(item["name"] in content for item in ORDER["items"])


DJANGO = """\
import django
from django.conf import settings

settings.configure(EMAIL_HOST="localhost", EMAIL_PORT=2525)
django.setup()
"""
# The language of an example in docs/templates.md → who runs it, and what it needs before.
EXAMPLES = {
    "php": ("PHP mail()", next(client.runner for client in CLIENTS if client.name == "PHP mail()"), ""),
    "js": ("Nodemailer", ("node",), ""),
    "python": ("Django", (sys.executable,), DJANGO),
    "sh": ("curl", ("sh", "-eu"), ""),
}


@pytest.mark.parametrize(
    "language",
    [
        pytest.param(language, marks=[mark for client in CLIENTS if client.name == name for mark in marks(client)])
        for language, (name, _, _) in EXAMPLES.items()
    ],
)
async def test_the_examples_of_the_page(gateway: Gateway, language: str, tmp_path: Path) -> None:
    page = (ROOT / "docs/templates.md").read_text(encoding="utf-8").split("## By header fields")[1]
    found = re.search(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert found
    name, runner, before = EXAMPLES[language]
    script = tmp_path / ("example.mjs" if language == "js" else "example")
    address, port = f"page-{language}@example.org", gateway.relay.port
    script.write_text((before + found[1]).replace("wang@example.org", address).replace("2525", str(port)), "utf-8")
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    link_programs(tmp_path)
    told = environment(tmp_path, tmp_path) | settings(port, user=False)
    status, output = await run(Client(name, str(script), runner), told)
    assert status == 0, output
    message = email.message_from_bytes((await gateway.arrived(address)).content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == "您的订单 A-7 收据"
    body = message.get_body(("plain",))
    assert body
    assert "铁观音 × 1: ¥36" in body.get_content()

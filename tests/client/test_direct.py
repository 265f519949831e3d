"""Sending from the caller's own process: everything that the relay does, but for what needs a spool."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smtprelay import Ambiguous, AsyncRelay, ConfigError, InvalidMessage, Refused, Relay, TemplateError, Unreachable
from smtprelay.cli.sending.tally import status_of
from smtprelay.sandbox.nameserver import Fault, NameServer
from smtprelay.sandbox.smarthost import DROP, Received, Rule, Smarthost, verify
from tests.client.support import SHOP
from tests.process.relay import PLATFORM, make_relay

SPF = 'example.com. IN TXT "v=spf1 include:spf.bestedm.org -all"'
MX = "example.com. IN MX 10 mail.bestedm.org."
ANN = "ann@example.net"


@asynccontextmanager
async def direct(folder: Path, *rules: Rule, **parts: str) -> AsyncIterator[tuple[AsyncRelay, Smarthost, Any]]:
    async with Smarthost(*rules, credentials=PLATFORM) as host:
        made = make_relay(folder, host.port, keys=["ed25519"], **parts)
        async with AsyncRelay.direct(folder / "config.toml", from_=SHOP) as relay:
            yield relay, host, made


def template(folder: Path, name: str, **files: str) -> None:
    place = folder / "templates" / name
    place.mkdir(parents=True)
    for kind, source in files.items():
        (place / f"{kind.replace('_', '.')}.j2").write_text(source, encoding="utf-8")


def parsed(received: Received) -> Any:
    return email.message_from_bytes(received.content, policy=email.policy.default)


async def test_it_is_repaired_and_signed(tmp_path: Path) -> None:
    async with direct(tmp_path) as (relay, host, made):
        receipt = await relay.send(to=[ANN, "bob@example.net"], subject="你好", text="您好", tag="test")
    assert receipt.accepted == (ANN, "bob@example.net")
    assert len(receipt.id) == 16
    [received] = host.messages
    assert verify(received, made.records) == [True]
    assert parsed(received)["Subject"] == "你好"
    assert receipt.id in parsed(received)["Message-ID"]
    assert b"X-SMTPRelay" not in received.content


async def test_a_template_is_rendered(tmp_path: Path) -> None:
    template(tmp_path, "welcome", subject="欢迎 {{ name }}", body_txt="Hello {{ name }}")
    async with direct(tmp_path) as (relay, host, made):
        await relay.send(to=ANN, template="welcome", vars={"name": "安"})
        with pytest.raises(TemplateError, match="name") as caught:
            await relay.send(to=ANN, template="welcome")
    assert (caught.value.template, caught.value.variable) == ("welcome", "name")
    [received] = host.messages
    assert parsed(received)["Subject"] == "欢迎 安"
    assert verify(received, made.records) == [True]


async def test_a_message_that_is_too_large(tmp_path: Path) -> None:
    async with direct(tmp_path, gateway='max_message_size = "1KiB"') as (relay, host, _):
        with pytest.raises(Refused, match="max_message_size"):
            await relay.send(to=ANN, text="hello " * 1000)
    assert not host.messages


async def test_a_domain_that_is_not_set_up_is_refused_with_the_record(tmp_path: Path) -> None:
    async with NameServer(MX) as dns:
        rules = f'nameservers = ["{dns.address}"]\non_failure = "hold"'
        async with direct(tmp_path, domain_rules=rules) as (relay, host, _):
            with pytest.raises(Refused, match=r"include:spf\.bestedm\.org") as caught:
                await relay.send(to=ANN, text="hello")
            assert not caught.value.temporary
            dns.publish(SPF)
            async with AsyncRelay.direct(tmp_path / "config.toml", from_=SHOP) as again:
                assert (await again.send(to=ANN, text="hello")).accepted
            assert len(host.messages) == 1


async def test_dns_that_does_not_answer_is_not_dns_that_says_no(tmp_path: Path) -> None:
    async with NameServer() as dns, direct(tmp_path, domain_rules=f'nameservers = ["{dns.address}"]') as parts:
        relay, host, _ = parts
        dns.fault = Fault.SERVFAIL
        with pytest.raises(Refused, match="DNS does not answer") as caught:
            await relay.send(to=ANN, text="hello")
        assert caught.value.temporary
        assert not host.messages


async def test_a_sender_of_another_domain(tmp_path: Path) -> None:
    async with direct(tmp_path) as (relay, _, _made):
        with pytest.raises(Refused, match=r"other\.example"):
            await relay.send(to=ANN, text="hello", from_="a@other.example")


async def test_where_mail_is_kept_there_is_nowhere_to_keep_it(tmp_path: Path) -> None:
    """The fault: a test system's scripts would have mailed customers past the relay."""
    async with direct(tmp_path, upstream='mode = "sandbox"') as (relay, host, _):
        with pytest.raises(
            Refused, match=r"not sent: \[upstream\] mode = sandbox, and direct\(\) has nowhere to keep it"
        ):
            await relay.send(to=ANN, text="hello")
    assert (host.connections, host.messages) == (0, [])


async def test_what_is_redirected_goes_to_one_box(tmp_path: Path) -> None:
    rule = '[[upstream.rules]]\nrecipient = "bob@example.net"\naction = "capture"'
    settings = 'mode = "redirect"\nredirect_to = "box@example.com"'
    async with direct(tmp_path, upstream=settings, more=rule) as (relay, host, _):
        receipt = await relay.send(to=[ANN, "bob@example.net", "cyd@example.net"], text="hello")
    assert receipt.accepted == (ANN, "cyd@example.net")
    assert receipt.refused["bob@example.net"].code == 550
    assert [[*received.recipients] for received in host.messages] == [["box@example.com"]]


async def test_several_transactions(tmp_path: Path) -> None:
    refusal = Rule("RCPT", "550 5.1.1 No such user", match="user3@")
    addresses = [f"user{i}@example.net" for i in range(5)]
    async with direct(tmp_path, refusal, upstream="recipients_per_transaction = 2") as (relay, host, _):
        receipt = await relay.send(to=addresses, text="hello")
        assert [len(received.recipients) for received in host.messages] == [2, 1, 1]
    assert receipt.refused.keys() == {"user3@example.net"}
    assert set(receipt.accepted) == set(addresses) - {"user3@example.net"}


async def test_what_breaks_after_some_have_it_is_told_of_the_others(tmp_path: Path) -> None:
    fault = Rule("ACCEPTED", DROP, after=1)
    async with direct(tmp_path, fault, upstream="recipients_per_transaction = 1") as (relay, _, _made):
        receipt = await relay.send(to=[ANN, "bob@example.net"], text="hello")
    assert receipt.accepted == (ANN,)
    assert isinstance(receipt.doubtful["bob@example.net"], Ambiguous)
    assert not receipt.refused  # what is refused for now is sent again, and he has it
    assert status_of(receipt) == os.EX_TEMPFAIL


@pytest.mark.parametrize(("at", "error"), [("MAIL", Unreachable), ("ACCEPTED", Ambiguous)])
async def test_a_connection_that_breaks(tmp_path: Path, at: str, error: type[Exception]) -> None:
    async with direct(tmp_path, Rule(at, DROP)) as (relay, _, _made):
        with pytest.raises(error):
            await relay.send(to=ANN, text="hello")


@pytest.mark.parametrize(
    "fields", [{"idempotency_key": "order-1"}, {"send_at": datetime.now(UTC) + timedelta(hours=1)}]
)
async def test_what_needs_a_spool(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with direct(tmp_path) as (relay, host, _):
        with pytest.raises(InvalidMessage, match=f"{next(iter(fields))} needs a running relay"):
            await relay.send(to=ANN, text="hello", **fields)
        assert not host.messages


async def test_many(tmp_path: Path) -> None:
    template(tmp_path, "welcome", subject="{{ fullname }}", body_txt="Hello {{ recipient }}")
    contacts = [{"address": f"user{i}@example.net", "fullname": f"User {i}"} for i in range(30)]
    async with direct(tmp_path) as (relay, host, made):
        results = [result async for result in relay.send_many(template="welcome", contacts=contacts)]
        assert all(result.receipt for result in results)
        assert {parsed(received)["Subject"] for received in host.messages} == {f"User {i}" for i in range(30)}
        assert all(verify(received, made.records) == [True] for received in host.messages)


async def test_the_same_without_a_loop(tmp_path: Path) -> None:
    async with direct(tmp_path) as (_, host, _made):

        def send() -> None:
            with Relay.direct(tmp_path / "config.toml", from_=SHOP) as relay:
                assert relay.send(to=ANN, text="hello").accepted == (ANN,)

        await asyncio.to_thread(send)
        assert len(host.messages) == 1


def test_a_configuration_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Relay.direct(tmp_path / "config.toml")
    make_relay(tmp_path, 9)
    (tmp_path / "platform.password").unlink()
    with pytest.raises(ConfigError, match="password cannot be read"):
        Relay.direct(tmp_path / "config.toml")


FORK = """\
import os
from smtprelay import InvalidMessage, Relay
def send():
    try:
        relay.send(to="nobody", text="hello")
    except InvalidMessage:
        return
    raise AssertionError
relay = Relay.direct("config.toml", from_="shop@example.com")
send()
child = os.fork()
if not child:
    os.chdir("/")
    send()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_process_that_forks_and_changes_its_folder(tmp_path: Path) -> None:
    make_relay(tmp_path, 9, keys=["ed25519"])
    command = [sys.executable, "-W", "error", "-c", FORK]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

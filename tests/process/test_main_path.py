"""Real clients through the real daemon to a smarthost: whole, authenticated, signed."""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from smtprelay.sandbox.apps import Endpoint, PhpSample, attachment_mail, plain_mail, python_sample
from smtprelay.sandbox.smarthost import Received
from tests.debian import needs
from tests.process.relay import ACCOUNT, DOMAIN, running
from tests.verifiers import dkimpy_verify, opendkim_verify

pytestmark = pytest.mark.slow

SUBJECT = "测试 umail 邮件系统"
BODY = "<h1>这是 smtp 测试邮件</h1>\r\n.a line that begins with a dot\r\nthe end\r\n"


def parsed(received: Received) -> EmailMessage:
    message = email.message_from_bytes(received.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize("behind", [True, False], ids=["one reply behind", "in step"])
async def test_the_php_sample(tmp_path: Path, behind: bool) -> None:
    async with running(tmp_path) as (relay, smarthost):
        sample = PhpSample(relay.endpoint, behind=behind)
        await asyncio.to_thread(sample.sendmail, "b@example.org", ACCOUNT, SUBJECT, BODY)
        [received] = await smarthost.wait_for(1)
    assert received.username == "news@example.com"
    assert received.envelope_from == ACCOUNT
    message = parsed(received)
    assert message["Subject"] == SUBJECT
    assert message["From"] == ACCOUNT
    assert message.get_content().splitlines() == [*BODY.splitlines(), ""]
    assert dkimpy_verify(received.content, relay.records) == [True]


async def test_the_python_sample(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        await asyncio.to_thread(python_sample, relay.endpoint, ["b@example.org", "c@example.org"], "hello", "测试内容")
        [received] = await smarthost.wait_for(1)
    message = parsed(received)
    assert message["To"] == "b@example.org, c@example.org"
    assert message.get_content().strip() == "测试内容"
    assert dkimpy_verify(received.content, relay.records) == [True]


async def test_a_cron_job_and_a_large_attachment(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        await asyncio.to_thread(plain_mail, Endpoint("127.0.0.1", relay.port), "b@example.org", f"cron@{DOMAIN}")
        await asyncio.to_thread(attachment_mail, relay.endpoint, "b@example.org", ACCOUNT, 5_000_000)
        plain, large = await smarthost.wait_for(2)
    for name in ("Date", "Message-ID", "MIME-Version", "Received"):
        assert parsed(plain)[name]
    [attachment] = parsed(large).iter_attachments()
    assert attachment.get_filename() == "报表.bin"
    assert attachment.get_content() == (bytes(range(256)) * 19532)[:5_000_000]
    for received in (plain, large):
        assert dkimpy_verify(received.content, relay.records) == [True]


@needs("swaks")
async def test_swaks(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        swaks = await asyncio.create_subprocess_exec(
            "swaks", "--server", f"127.0.0.1:{relay.port}", "--auth", "LOGIN", "--auth-user", ACCOUNT,
            "--auth-password", relay.endpoint.password, "--auth-hide-password",
            "--from", ACCOUNT, "--to", "b@example.org,c@example.org", "--h-Subject", "from swaks",
            "--body", "line 1\n.line 2\n", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await swaks.communicate()
        assert swaks.returncode == 0, output
        [received] = await smarthost.wait_for(1)
    assert set(received.recipients) == {"b@example.org", "c@example.org"}
    assert parsed(received)["Subject"] == "from swaks"
    assert ".line 2" in parsed(received).get_content()
    assert dkimpy_verify(received.content, relay.records) == [True]


@needs("libopendkim.so.11")
@pytest.mark.parametrize("keys", [["rsa1024"], ["rsa"], ["ed25519"], ["rsa", "ed25519"]], ids="+".join)
async def test_what_arrives_verifies_elsewhere_too(tmp_path: Path, keys: list[str]) -> None:
    """By verifiers that are not dkimpy, which signed."""
    async with running(tmp_path, keys=keys) as (relay, smarthost):
        await asyncio.to_thread(
            PhpSample(relay.endpoint, behind=True).sendmail, "b@example.org", ACCOUNT, SUBJECT, BODY
        )
        [received] = await smarthost.wait_for(1)
    assert dkimpy_verify(received.content, relay.records) == [True] * len(keys)
    assert opendkim_verify(received.content, relay.records) == [True] * len(keys)


async def test_dsn_parameters_are_passed_on_where_the_smarthost_offers_dsn(tmp_path: Path) -> None:
    async with running(tmp_path, extensions=["DSN"]) as (relay, smarthost):

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
                smtp.sendmail(
                    ACCOUNT,
                    ["b@example.org"],
                    f"From: {ACCOUNT}\r\nSubject: x\r\n\r\nx",
                    ["RET=HDRS", "ENVID=Ab+2Bc"],
                    ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Bob@Example.org"],
                )

        await asyncio.to_thread(send)
        [received] = await smarthost.wait_for(1)
    assert received.mail_params["RET"] == "HDRS"
    assert received.mail_params["ENVID"] == "Ab+2Bc"
    assert received.recipients["b@example.org"] == {"NOTIFY": "SUCCESS,FAILURE", "ORCPT": "rfc822;Bob@Example.org"}


async def test_a_client_whose_name_is_in_gbk(tmp_path: Path) -> None:
    """Windows machines with Chinese names say so in HELO; what is no UTF-8 cannot be stored as it came."""
    lines = [b"HELO \xb5\xe7\xc4\xd4", b"MAIL FROM:<app@example.com>", b"RCPT TO:<b@example.org>", b"DATA"]
    lines += [b"From: app@example.com", b"", b"x", b".", b"QUIT", b""]
    async with running(tmp_path) as (relay, smarthost):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"\r\n".join(lines))
        replies = (await reader.read()).decode()
        writer.close()
        assert "250 2.0.0 Ok: queued as" in replies, replies
        [received] = await smarthost.wait_for(1)
        [listed] = await relay.json("queue", "list")
        assert listed["helo"]
    assert b"from [127.0.0.1]" in received.content or b"([127.0.0.1])" in received.content

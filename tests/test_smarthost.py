"""The sandbox's smarthost itself: as strict as the platform, and able to tell a good signature from a bad one."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from smtprelay.sandbox.smarthost import Received, Smarthost, verify

LOGIN = [b"AUTH LOGIN", base64.b64encode(b"news"), base64.b64encode(b"secret")]


@pytest.fixture
async def host() -> AsyncIterator[Smarthost]:
    async with Smarthost(credentials={"news": "secret"}) as smarthost:
        yield smarthost


async def dialogue(host: Smarthost, *lines: bytes) -> list[str]:
    """The code of the greeting, and that of the last line of each reply; all commands go in one packet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
    writer.write(b"".join(line + b"\r\n" for line in (*lines, b"QUIT")))
    replies = (await reader.read()).decode().splitlines()
    writer.close()
    await writer.wait_closed()
    return [line[:3] for line in replies if line[3:4] == " "]


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ([b"MAIL FROM:<a@example.com>"], ["530"]),
        ([b"RCPT TO:<a@example.com>"], ["530"]),
        ([b"DATA"], ["530"]),
        (
            [*LOGIN, b"MAIL FROM:<a@example.com>", b"RSET", b"NOOP", b"VRFY a"],
            ["334", "334", "235", "250", "250", "250", "500"],
        ),
        ([*LOGIN[:2], base64.b64encode(b"wrong")], ["334", "334", "535"]),
        ([b"AUTH PLAIN", base64.b64encode(b"\0news\0secret")], ["334", "235"]),
        ([b"AUTH LOGIN ???"], ["501"]),
        ([b"AUTH CRAM-MD5"], ["504"]),
        ([*LOGIN, b"RCPT TO:<a@example.com>", b"DATA"], ["334", "334", "235", "503", "503"]),
        ([*LOGIN, b"MAIL FROM: a@example.com"], ["334", "334", "235", "501"]),
        ([*LOGIN, b"MAIL FROM:<a@example.com> RET=FULL"], ["334", "334", "235", "555"]),
        (
            [*LOGIN, b"MAIL FROM:<>", b"RCPT TO:<b@example.com> NOTIFY=NEVER", b"MAIL FROM:<>"],
            ["334", "334", "235", "250", "555", "503"],
        ),
    ],
)
async def test_it_is_strict(host: Smarthost, lines: list[bytes], codes: list[str]) -> None:
    assert await dialogue(host, *lines) == ["220", *codes, "221"]
    assert not host.messages


async def test_commands_and_messages_in_one_packet(host: Smarthost) -> None:
    mail = [b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.com>", b"DATA", b"Subject: x", b"", b"..", b"."]
    codes = await dialogue(host, *LOGIN, *mail, *mail)
    assert codes == ["220", "334", "334", "235", *["250", "250", "354", "250"] * 2, "221"]
    first, second = await host.wait_for(2)
    assert first.content == second.content == b"Subject: x\r\n\r\n.\r\n"


async def test_whoever_takes_the_mail_may_refuse_it() -> None:
    def take(received: Received) -> str | None:
        return "550 5.7.1 Sending quota exceeded" if b"second" in received.content else None

    mail = [b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.com>", b"DATA"]
    async with Smarthost(take=take) as host:
        codes = await dialogue(host, *mail, b"first", b".", *mail, b"second", b".")
        assert codes == ["220", "250", "250", "354", "250", "250", "250", "354", "550", "221"]
        assert [received.content for received in host.messages] == [b"first\r\n"]


async def test_waiting_ends() -> None:
    async with Smarthost() as host:
        with pytest.raises(TimeoutError):
            await host.wait_for(1, timeout=0.01)


def test_signatures_are_verified() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    records = {"relay._domainkey.example.com": f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"}
    content = b"From: a@example.com\r\nSubject: x\r\n\r\nhello\r\n"
    signature = dkim.sign(content, b"relay", b"example.com", pem)

    assert verify(received(signature + content), records) == [True]
    assert verify(received(signature + content.replace(b"hello", b"hullo")), records) == [False]
    assert verify(received(signature + content), {}) == [False]
    assert verify(received(b"DKIM-Signature: nonsense\r\n" + signature + content), records) == [False, True]
    assert verify(received(content), records) == []


def received(content: bytes) -> Received:
    return Received("a@example.com", {}, {"b@example.com": {}}, content, "news", False, 0.0)

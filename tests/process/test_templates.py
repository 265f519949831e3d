"""Instructions by header through the real daemon: templates, recipients of their own, keys, the time to send."""

from __future__ import annotations

import asyncio
import smtplib
import time
from pathlib import Path

import pytest

from benchmarks import usage
from smtprelay.instructions import Instructions, read_queued, write_fields
from tests.process.relay import ACCOUNT, Relay, running
from tests.process.test_main_path import parsed
from tests.process.test_memory import AT_REST, pid_of
from tests.verifiers import dkimpy_verify

pytestmark = pytest.mark.slow

HEAD = f"From: {ACCOUNT}\r\nTo: Ann <ann@example.org>, bob@example.org\r\n".encode()


def write_template(folder: Path, name: str, **files: str) -> None:
    """:param files: by name, with _ for the dots."""
    directory = folder / "templates" / name
    directory.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (directory / file.replace("_", ".")).write_text(text, encoding="utf-8")


def hand_in(relay: Relay, asked: Instructions, *recipients: str, body: str = "hello") -> tuple[int, str]:
    """The reply to the dot."""
    with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
        smtp.ehlo()
        smtp.mail(ACCOUNT)
        for recipient in recipients or ("ann@example.org",):
            assert smtp.rcpt(recipient)[0] == 250
        code, text = smtp.data(HEAD + write_fields(asked) + f"\r\n{body}\r\n".encode())
        return code, text.decode()


async def send(relay: Relay, asked: Instructions, *recipients: str, body: str = "hello") -> tuple[int, str]:
    return await asyncio.to_thread(hand_in, relay, asked, *recipients, body=body)


async def test_a_template_its_variables_and_its_faults(tmp_path: Path) -> None:
    write_template(
        tmp_path, "welcome", subject_j2="欢迎 {{ name }}", body_html_j2="<p>{{ name }} &amp; {{ body_text }}</p>"
    )
    write_template(tmp_path, "hungry", subject_j2="x", body_txt_j2="\n{{ '%0999999999d'|format(1) }}")
    async with running(tmp_path) as (relay, smarthost):
        assert (await send(relay, Instructions("welcome", {"name": "<李>"})))[0] == 250
        [received] = await smarthost.wait_for(1)
        message = parsed(received)
        assert message["Subject"] == "欢迎 <李>"
        html, text = (message.get_body((kind,)) for kind in ("html", "plain"))
        assert html is not None
        assert text is not None
        assert "&lt;李&gt; &amp; hello" in html.get_content()
        assert "<李> & hello" in text.get_content()
        assert dkimpy_verify(received.content, relay.records) == [True]

        code, words = await send(relay, Instructions("welcome"))
        assert code == 550
        assert words.startswith("5.6.0 Template welcome (welcome/subject.j2, line 1): ")
        assert "name" in words
        code, words = await send(relay, Instructions("welcome", {"name": "a\r\nBcc: evil@example.org"}))
        assert (code, "welcome/subject.j2, line 1" in words) == (550, True)
        code, words = await send(relay, Instructions("hungry"))
        assert (code, "hungry/body.txt.j2, line 2" in words or "memory" in words) == (550, True)
        assert (await send(relay, Instructions("../welcome")))[0] == 550

        write_template(tmp_path, "welcome", subject_j2="edited")
        assert (await send(relay, Instructions("welcome", {"name": "x"})))[0] == 250
        assert parsed((await smarthost.wait_for(2))[1])["Subject"] == "edited"
        assert usage.resident(pid_of(relay)) < AT_REST + 10


async def test_each_recipient_has_a_message_of_its_own(tmp_path: Path) -> None:
    write_template(tmp_path, "code", subject_j2="{{ code }}", body_txt_j2="for {{ recipient }}: {{ code }}")
    own = {"ann@example.org": {"code": 1}, "bob@example.org": {"code": 2}}
    async with running(tmp_path) as (relay, smarthost):
        code, words = await send(relay, Instructions("code", own=own, tags=["otp"]), *own)
        assert (code, words.endswith(", the first of 2")) == (250, True)
        received = await smarthost.wait_for(2)
        assert {(tuple(m.recipients), parsed(m)["To"], parsed(m).get_content().strip()) for m in received} == {
            (("ann@example.org",), "Ann <ann@example.org>", "for ann@example.org: 1"),
            (("bob@example.org",), "bob@example.org", "for bob@example.org: 2"),
        }
        await relay.settled(delivered=2)
        listed = await relay.json("queue", "list", "--tag", "otp")
        assert len(listed) == 2
        assert read_queued(words)[0] in [message["id"] for message in listed]
        assert not await relay.json("queue", "list", "--tag", "other")


async def test_a_key_that_came_before_is_answered_with_its_id_over_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        asked = Instructions(idempotency_key="order-7")
        first = await send(relay, asked)
        await smarthost.wait_for(1)
        await relay.stop()
        await relay.start()
        assert await send(relay, asked, body="something else") == (250, f"{first[1]}, as before")
        assert (await send(relay, Instructions(idempotency_key="order-8")))[0] == 250
        await smarthost.wait_for(2)
        await relay.settled(delivered=2)
        assert len(smarthost.messages) == 2


async def test_what_is_to_be_sent_later_waits_and_then_goes(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        at = int(time.time() * 1000) + 3_000
        _, words = await send(relay, Instructions(send_at=at))
        assert (await send(relay, Instructions()))[0] == 250
        assert b"Send-At" not in (await smarthost.wait_for(1))[0].content
        assert "not to be sent before" in await relay.run("queue", "why", read_queued(words)[0])
        [_, later] = await smarthost.wait_for(2)
        assert later.received_at * 1000 >= at - 1

"""The platform's two sides are one: what goes over SMTP takes its quota, is counted, and comes back as failures."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from typing import cast

import pytest

from smtprelay.outcome import about_account
from smtprelay.reply import Reply
from smtprelay.sandbox.smarthost import Smarthost

from .conftest import Caller

TODAY = "2026-03-02"


@pytest.fixture
async def smarthost(caller: Caller) -> AsyncIterator[Smarthost]:
    async with Smarthost(credentials=caller.platform.credentials, take=caller.platform.take) as running:
        yield running


async def send(smarthost: Smarthost, *recipients: str, password: str = "secret") -> Reply | None:
    """:returns: the reply that refused it."""

    def talk() -> Reply | None:
        with smtplib.SMTP("127.0.0.1", smarthost.port) as smtp:
            try:
                smtp.login("news@example.com", password)
                smtp.sendmail("news@example.com", recipients, b"Subject: hello\r\n\r\nhello\r\n")
            except smtplib.SMTPResponseException as error:
                return Reply.received(error.smtp_code, cast("bytes", error.smtp_error).decode())
        return None

    return await asyncio.to_thread(talk)


async def test_what_was_taken_fails_later(caller: Caller, smarthost: Smarthost) -> None:
    assert not await send(smarthost, "ann@example.org", "nosuch@example.org", "full@example.org", "spam@example.org")
    failed = (await caller.get("failexportall.php", date=TODAY, type="all", out_type="json")).json()
    assert [(row["email"], row["type"]) for row in failed] == [
        ("nosuch@example.org", "1"),
        ("full@example.org", "2"),
        ("spam@example.org", "5"),
    ]
    [batch] = await caller.xml("stask.php", date=TODAY)
    assert batch.findtext("task_id") == failed[0]["task_id"]
    assert [batch.findtext(name) for name in ("total", "success", "email_not_exist", "rubbish")] == ["4", "1", "1", "1"]
    [deduction] = await caller.xml("deduction.php", date=TODAY)
    assert (deduction.findtext("send_num"), deduction.findtext("total")) == ("4", "1")


async def test_a_batch_a_day(caller: Caller, smarthost: Smarthost) -> None:
    await send(smarthost, "ann@example.org")
    await send(smarthost, "bob@example.org")
    [batch] = await caller.xml("stask.php", date=TODAY)
    assert batch.findtext("success") == "2"


async def test_the_quota_is_spent_and_comes_back(caller: Caller, smarthost: Smarthost) -> None:
    caller.platform.state.set_quota(1)
    assert not await send(smarthost, "ann@example.org")
    assert (await caller.xml("account.php", "service-info")).findtext("qty_available") == "0"
    refusal = await send(smarthost, "bob@example.org")
    assert refusal
    assert about_account(refusal)
    assert len(smarthost.messages) == 1
    caller.platform.state.set_quota(100)
    assert not await send(smarthost, "bob@example.org")


async def test_a_disabled_service_takes_nothing(caller: Caller, smarthost: Smarthost) -> None:
    caller.platform.state.disable()
    assert (await caller.xml("account.php", "service-info")).findtext("service_status") == "disabled"
    refusal = await send(smarthost, "ann@example.org")
    assert refusal
    assert about_account(refusal)


async def test_a_changed_password_counts_at_once(caller: Caller, smarthost: Smarthost) -> None:
    await caller.get("bs.php", "mailbox-edit", mailbox="news@example.com", pwd="new")
    refusal = await send(smarthost, "ann@example.org")
    assert refusal
    assert refusal.code == 535
    assert not await send(smarthost, "ann@example.org", password="new")


async def test_mail_that_was_taken_may_fail_when_a_test_says_so(caller: Caller, smarthost: Smarthost) -> None:
    await send(smarthost, "ann@example.org")
    caller.platform.state.fail("ann@example.org", "4")
    assert (await caller.get("failexportall.php", date=TODAY, type=4)).text == "ann@example.org\n"
    [batch] = await caller.xml("stask.php", date=TODAY)
    assert (batch.findtext("total"), batch.findtext("failed"), batch.findtext("success")) == ("1", "1", "0")
    assert (await caller.xml("account.php", "service-info")).findtext("qty_available") == "100000"

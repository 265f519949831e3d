"""Client and stand-in were written apart, from one document: each call of the one is understood by the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from smtprelay.contacts import Contact
from smtprelay.platform import AsyncPlatformClient, CallFailed
from smtprelay.platform.contact_values import UploadState
from smtprelay.platform.domains import DomainStatus
from smtprelay.platform.failures import FailureType
from smtprelay.platform.statistics import SendState
from smtprelay.platform.task_values import Sender, Start
from smtprelay.platform.template_values import CheckStatus
from smtprelay.sandbox.platform import Platform, Quirk
from smtprelay.sandbox.platform.calls import CALLS

from .conftest import NOON

DAY = NOON.date()
LINK = '<a href="http://example.com/?a=1&b=2">茶</a>'


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform(mailboxes={"news@example.com": "secret"}) as running:
        running.state.now = lambda: NOON
        yield running


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[AsyncPlatformClient]:
    made = await asyncio.to_thread(
        AsyncPlatformClient, platform.username, platform.password, platform.url, allow_insecure=True
    )
    async with made:
        yield made


@pytest.fixture(params=[None, Quirk.LONE, Quirk.GBK, Quirk.CDATA, Quirk.AMPERSAND, Quirk.NEW_NAMES])
def quirk(request: pytest.FixtureRequest, platform: Platform) -> None:
    """Answers that are odd, and can be read all the same."""
    if request.param:
        platform.quirks.add(request.param)


@pytest.mark.usefixtures("quirk")
async def test_every_call(platform: Platform, client: AsyncPlatformClient, tmp_path: Path) -> None:
    assert (await client.account.customer()).company == platform.state.customer.company
    list_id = await _contacts(client, tmp_path)
    send_id = await _campaign(client, list_id, tmp_path)
    await _what_came_of_it(client, send_id)
    await _domains(platform, client)
    await _manager(platform)
    await client.contacts.delete_list(list_id)
    assert not await client.contacts.lists()
    assert {(request.script, request.do) for request in platform.requests} == CALLS.keys()


async def _contacts(client: AsyncPlatformClient, folder: Path) -> int:
    list_id = (await client.contacts.add_list("顾客 & 朋友", description="说明")).id
    await client.contacts.edit_list(list_id, description="新说明")
    [listed] = await client.contacts.lists()
    assert listed == await client.contacts.list(list_id)
    assert (listed.name, listed.description) == ("顾客 & 朋友", "新说明")

    ann = (await client.contacts.add(list_id, "ann@example.org", fullname="安", variables={10: "ten"})).id
    await client.contacts.add_many(list_id, [Contact("clicks@example.org", {"fullname": "博"})])
    (folder / "address.txt").write_text("nosuch@example.org;无\ninvalid@example.org;\n", encoding="utf-8")
    upload_id = (await client.contacts.upload(list_id, folder / "address.txt")).id
    assert await client.contacts.upload_state(upload_id) is UploadState.READING
    assert await client.contacts.upload_state(upload_id) is UploadState.FINISHED
    await client.contacts.edit(ann, area="北京", variables={1: "one"})
    found = [address async for address in client.contacts.addresses(list_id, limit=2)]
    assert [(one.address, one.fullname, one.area, one.variables[0]) for one in found] == [
        ("ann@example.org", "安", "北京", "one"),
        ("clicks@example.org", "博", "", ""),
        ("nosuch@example.org", "无", "", ""),
        ("invalid@example.org", "", "", ""),
    ]
    await client.contacts.subscribe(list_id, "cleo@example.org", "dora@example.org", names={"dora@example.org": "朵"})
    await client.contacts.unsubscribe(list_id, "cleo@example.org", "dora@example.org")
    assert [(one.address, one.at) for one in await client.contacts.unsubscribed(list_id)] == [
        ("cleo@example.org", NOON),
        ("dora@example.org", NOON),
    ]
    await client.contacts.delete(ann)
    assert (await client.contacts.export(list_id))[0].address == "clicks@example.org"
    other = (await client.contacts.add_list("other")).id
    await client.contacts.empty(other)
    await client.contacts.delete_list(other)
    return list_id


async def _campaign(client: AsyncPlatformClient, list_id: int, folder: Path) -> int:
    tpl_id = (await client.templates.add("秋茶", ["一", "二"], LINK)).id
    await client.templates.edit(tpl_id, name="秋茶 & 咖啡")
    assert (await client.templates.status(tpl_id)).status is CheckStatus.CHECKING
    assert (await client.templates.status(tpl_id)).status is CheckStatus.PASSED
    await client.templates.attach(tpl_id, folder / "address.txt")
    [template] = await client.templates.list()
    assert (template.name, template.content) == ("秋茶 & 咖啡", LINK)
    assert [subject.name for subject in template.subjects] == ["一", "二"]
    [attached] = template.attachments
    await client.templates.detach(tpl_id, attachment_id=attached.id)

    sender = Sender.address("news@example.com")
    send_id = (await client.tasks.create(tpl_id, list_id, sender, "新闻", NOON + timedelta(hours=1))).id
    await client.tasks.edit(send_id, sender_name="茶")
    [task] = [task async for task in client.tasks.list()]
    assert (task.id, task.sender, task.sender_name, task.state) == (send_id, sender, "茶", SendState.WAITING)
    await client.tasks.edit(send_id, start=Start.NOW, time=NOON)
    held = (await client.tasks.create([tpl_id], list_id, Sender.all(), "x", NOON, start=Start.HOLD)).id
    await client.tasks.delete(held)
    assert [task.state async for task in client.tasks.list()] == [SendState.SENT]
    await client.templates.delete(tpl_id)
    return send_id


async def _what_came_of_it(client: AsyncPlatformClient, send_id: int) -> None:
    overview = await client.tracking.overview(send_id)
    assert overview.track_id
    [link] = await client.tracking.links(send_id)
    assert link.link == "http://example.com/?a=1&b=2"
    assert [one.email for one in await client.tracking.opens(send_id)] == ["clicks@example.org"]
    assert [one.email for one in await client.tracking.clicks(send_id)] == ["clicks@example.org"]
    assert await client.tracking.export(overview.track_id) == ["clicks@example.org"]

    failures = await client.failures.all(DAY)
    assert [(one.address, one.type) for one in failures] == [
        ("nosuch@example.org", FailureType.NOT_EXIST),
        ("invalid@example.org", FailureType.INVALID_ADDRESS),
    ]
    assert await client.failures.addresses(DAY, FailureType.NOT_EXIST, task_id=overview.task_id) == [
        "nosuch@example.org"
    ]
    [web] = await client.statistics.web_tasks(id=send_id)
    assert web.id == send_id
    assert (await client.statistics.day(DAY)).deducted == 1
    [batch] = await client.statistics.batches(DAY)
    assert (batch.task_id, batch.not_exist, batch.invalid) == (overview.task_id, 1, 1)
    [deduction] = await client.statistics.deductions(DAY)
    assert deduction.deducted == 1
    assert (await client.account.service()).available == 99_999


async def _domains(platform: Platform, client: AsyncPlatformClient) -> None:
    assert not (await client.domains.add("shop.example.com")).verified
    platform.set_up.add("new.example.com")
    assert (await client.domains.add("new.example.com")).verified
    states = await client.domains.check("new.example.com", "shop.example.com", "nowhere.test")
    assert [one.status for one in states] == [
        DomainStatus.ADDED_AND_VERIFIED,
        DomainStatus.ADDED,
        DomainStatus.NEITHER,
    ]
    with pytest.raises(CallFailed, match="已经验证通过的域名不能删除"):
        await client.domains.delete("new.example.com")
    await client.domains.delete("shop.example.com")
    assert "new.example.com" in [one.domain for one in await client.domains.list()]

    await client.mailboxes.add("shop@new.example.com", "old")
    await client.mailboxes.set_password("shop@new.example.com", "new & secret")
    assert platform.credentials["shop@new.example.com"] == "new & secret"
    assert [one.address async for one in client.mailboxes.list("new.example.com")] == ["shop@new.example.com"]
    await client.mailboxes.delete("shop@new.example.com")


async def _manager(platform: Platform) -> None:
    async with AsyncPlatformClient(*platform.manager, platform.url, allow_insecure=True) as manager:
        await manager.domains.add_for(7, "theirs.test")
        assert [one.domain for one in await manager.domains.list(7)] == ["bestedm.org", "theirs.test"]
        await manager.domains.delete_for(7, "theirs.test")

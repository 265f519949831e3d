"""Every call of the document, made by both clients against the sandbox's platform. Client and stand-in were written
apart, from one document: each call of the one is understood by the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path

import pytest

from smtprelay.compose import Attachment
from smtprelay.contacts import Contact, write_line
from smtprelay.platform import CallFailed
from smtprelay.platform.account import Account, ServiceStatus
from smtprelay.platform.call import Resource
from smtprelay.platform.contact_values import ListStatus, Sex, Subscriber, Unsubscribed, UploadState
from smtprelay.platform.contacts import Contacts
from smtprelay.platform.domains import Domain, Domains, DomainStatus
from smtprelay.platform.failures import Failures, FailureType
from smtprelay.platform.mailboxes import Mailbox, Mailboxes
from smtprelay.platform.statistics import SendState, Statistics, TrackState
from smtprelay.platform.task_values import Sender, SenderKind, Start
from smtprelay.platform.tasks import Tasks
from smtprelay.platform.template_values import AttachedFile, CheckStatus, Colour, Encoding
from smtprelay.platform.templates import Templates
from smtprelay.platform.tracking import Tracking
from smtprelay.sandbox.platform import Platform, Quirk
from smtprelay.sandbox.platform.calls import CALLS
from smtprelay.values import SHANGHAI
from tests.platform_api.caller import Caller, calling, calls_of

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=SHANGHAI)
DAY = date(2026, 3, 2)
KINDS = ["sync", "async"]
ODD = [Quirk.LONE, Quirk.GBK, Quirk.CDATA, Quirk.AMPERSAND, Quirk.NEW_NAMES]  # answers that can be read all the same


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform(mailboxes={"news@example.com": "secret"}) as platform:
        platform.state.now = lambda: NOON
        yield platform


@pytest.fixture(params=[(kind, None) for kind in KINDS] + [("async", quirk) for quirk in ODD], ids=str)
async def caller(platform: Platform, request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    kind, quirk = request.param
    platform.quirks |= {quirk} if quirk else set()
    async with calling(platform, kind, (platform.username, platform.password)) as caller:
        yield caller


@pytest.fixture(params=KINDS)
async def manager(platform: Platform, request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    async with calling(platform, request.param, platform.manager) as caller:
        yield caller


async def new_list(caller: Caller, *addresses: str) -> int:
    """A list of contacts. :returns: its id."""
    list_id = (await caller.ask(Contacts.add_list, "客户")).id
    await caller.ask(Contacts.add_many, list_id, [Contact(address) for address in addresses])
    return list_id


async def new_template(caller: Caller) -> int:
    """A template that may be sent. :returns: its id."""
    content = '<p>{FULLNAME}, <a href="https://example.com/a?b=1&c=2">这里</a></p>'
    tpl_id = (await caller.ask(Templates.add, "三月", ["主题一", "主题二"], content)).id
    while (await caller.ask(Templates.status, tpl_id)).status is CheckStatus.CHECKING:
        pass
    return tpl_id


async def sent(caller: Caller, *addresses: str) -> int:
    """A task that was sent. :returns: its id."""
    list_id, tpl_id = await new_list(caller, *addresses), await new_template(caller)
    order = (tpl_id, list_id, Sender.address("news@example.com"), "新闻", NOON)
    return (await caller.ask(Tasks.create, *order, start=Start.NOW, tracking=TrackState.CLICKS)).id


async def test_account(caller: Caller) -> None:
    assert (await caller.ask(Account.customer)).username == caller.platform.username
    caller.platform.state.set_quota(4321)
    service = await caller.ask(Account.service)
    assert (service.status, service.available) == (ServiceStatus.ENABLED, 4321)
    assert caller.made >= calls_of(Account)


async def test_statistics(caller: Caller) -> None:
    task_id = await sent(caller, "ann@example.org", "nosuch@example.org")
    caller.platform.state.took(["bob@example.org"])
    [task] = await caller.ask(Statistics.web_tasks, DAY)
    assert (task.id, task.state, task.sender_name) == (task_id, SendState.SENT, "新闻")
    assert (task.sent, task.unsent) == (1, 1)
    day = await caller.ask(Statistics.day, DAY)
    assert (day.day, day.sent) == (DAY, 3)
    [batch] = await caller.ask(Statistics.batches, id=task_id)
    assert (batch.ident, batch.delivered, batch.not_exist) == (task.ident, 1, 1)
    batches = await caller.ask(Statistics.batches, DAY)
    assert len(batches) == 2
    assert await caller.ask(Statistics.batches, id=0) == []  # mail over SMTP is of no task
    deductions = await caller.ask(Statistics.deductions, DAY)
    assert sum(each.deducted for each in deductions) == 2
    assert caller.made >= calls_of(Statistics)


async def test_failures(caller: Caller) -> None:
    caller.platform.state.fail("ann@example.org", "3", DAY)
    caller.platform.state.fail("bob@example.org", "1", DAY)
    everything = await caller.ask(Failures.all, DAY)
    assert [(each.address, each.type) for each in everything] == [
        ("ann@example.org", FailureType.USER_REJECT),
        ("bob@example.org", FailureType.NOT_EXIST),
    ]
    task_id = everything[0].task_id
    assert await caller.ask(Failures.addresses, DAY, FailureType.NOT_EXIST, task_id=task_id) == ["bob@example.org"]
    assert caller.made >= calls_of(Failures)


async def test_tracking(caller: Caller) -> None:
    task_id = await sent(caller, "opens@example.org", "clicks@example.org", "ann@example.org")
    overview = await caller.ask(Tracking.overview, task_id)
    assert (overview.send_id, overview.sent, overview.open_unique, overview.click_unique) == (task_id, 3, 2, 1)
    opened = await caller.ask(Tracking.opens, ident=overview.ident)
    assert [each.email for each in opened] == ["opens@example.org", "clicks@example.org"]
    clicked = await caller.ask(Tracking.clicks, task_id)
    assert [each.email for each in clicked] == ["clicks@example.org"]
    [link] = await caller.ask(Tracking.links, task_id)
    assert link.link == "https://example.com/a?b=1&c=2"
    assert overview.track_id is not None
    assert await caller.ask(Tracking.export, overview.track_id, clicked=True) == ["clicks@example.org"]
    assert caller.made >= calls_of(Tracking)


async def test_contacts(caller: Caller, tmp_path: Path) -> None:
    list_id = (await caller.ask(Contacts.add_list, "客户 & 朋友", description="2026")).id
    await caller.ask(Contacts.edit_list, list_id, status=ListStatus.DISABLED)
    contact_list = await caller.ask(Contacts.list, list_id)
    assert (contact_list.name, contact_list.status) == ("客户 & 朋友", ListStatus.DISABLED)
    assert await caller.ask(Contacts.lists) == [contact_list]

    wang = (await caller.ask(Contacts.add, list_id, "wang@example.org", fullname="王芳", sex=Sex.FEMALE)).id
    await caller.ask(Contacts.edit, wang, birthday=date(1986, 8, 15), variables={10: "十"})
    many = [Contact(f"{i}@example.org", {"var1": i}) for i in range(120)]
    await caller.ask(Contacts.add_many, list_id, many)
    found = await caller.all(Contacts.addresses, list_id)
    assert [each.address for each in found] == ["wang@example.org", *(contact.address for contact in many)]
    assert (found[0].id, found[0].fullname, found[0].birthday) == (wang, "王芳", "1986-08-15")
    assert (found[0].variables[9], found[-1].variables[0]) == ("十", "119")
    await caller.ask(Contacts.delete, wang)
    await caller.ask(
        Contacts.add_many, list_id, [Contact("two@example.org", {"area": "北京\n海淀"})] * 2, separator="|"
    )
    [two] = await caller.all(Contacts.addresses, list_id, keyword="two@")
    assert two.area == "北京\n海淀"

    await caller.ask(Contacts.empty, list_id)
    file = tmp_path / "address.txt"
    file.write_text(write_line(Contact("li@example.org", {"fullname": "李娜"})) + "\n", encoding="utf-8")
    went: list[tuple[int, int]] = []
    upload = await caller.ask(Contacts.upload, list_id, file, progress=lambda *octets: went.append(octets))
    assert went[-1] == (file.stat().st_size,) * 2
    assert await caller.ask(Contacts.upload_state, upload.id) is UploadState.READING
    assert await caller.ask(Contacts.upload_state, upload.id) is UploadState.FINISHED
    assert await caller.ask(Contacts.export, list_id) == [Subscriber("li@example.org", "李娜")]

    await caller.ask(
        Contacts.subscribe, list_id, "ann@example.org", "bob@example.org", names={"bob@example.org": "Bob"}
    )
    assert [each.name for each in await caller.ask(Contacts.export, list_id)] == ["李娜", "ann", "Bob"]
    await caller.ask(Contacts.unsubscribe, list_id, "ann@example.org", "li@example.org")
    assert await caller.ask(Contacts.unsubscribed, list_id) == [
        Unsubscribed("ann@example.org", NOON),
        Unsubscribed("li@example.org", NOON),
    ]
    await caller.ask(Contacts.delete_list, list_id)
    with pytest.raises(CallFailed):
        await caller.ask(Contacts.list, list_id)
    assert caller.made >= calls_of(Contacts)


async def test_templates(caller: Caller, tmp_path: Path) -> None:
    file = tmp_path / "标志.png"
    file.write_bytes(b"PNG" * 1000)
    tpl_id = (await caller.ask(Templates.add, "三月", ["主题一", "主题二"], "<p>发票</p>", attachments=[file])).id
    assert (await caller.ask(Templates.status, tpl_id)).colour is Colour.NONE
    checked = await caller.ask(Templates.status, tpl_id)
    assert (checked.status, checked.colour, checked.subjects) == (CheckStatus.REFUSED, Colour.RED, ("主题一", "主题二"))

    await caller.ask(Templates.edit, tpl_id, content="<p>您好 & 再见</p>", encoding=Encoding.BASE64)
    while (checked := await caller.ask(Templates.status, tpl_id)).status is CheckStatus.CHECKING:
        pass
    assert (checked.status, checked.colour, checked.size) == (CheckStatus.PASSED, Colour.GREEN, 3)

    await caller.ask(Templates.attach, tpl_id, Attachment("terms.pdf", b"%PDF"), Attachment("map.pdf", b"%PDF"))
    [template] = await caller.ask(Templates.list, tpl_id)
    assert template.content == "<p>您好 & 再见</p>"
    assert [each.name for each in template.attachments] == ["标志.png", "terms.pdf", "map.pdf"]
    await caller.ask(Templates.detach, tpl_id, attachment_id=template.attachments[0].id)
    [template] = await caller.ask(Templates.list)
    assert template.attachments[0] == AttachedFile(template.attachments[0].id, "terms.pdf")
    await caller.ask(Templates.detach, tpl_id, all=True)
    assert (await caller.ask(Templates.list))[0].attachments == ()
    await caller.ask(Templates.delete, tpl_id)
    assert await caller.ask(Templates.list) == []
    assert caller.made >= calls_of(Templates)


async def test_tasks(caller: Caller) -> None:
    list_id, tpl_id = await new_list(caller, "ann@example.org", "bob@example.org"), await new_template(caller)
    caller.platform.state.domains["a.example"] = caller.platform.state.domains["example.com"]
    later = datetime(2026, 3, 3, 8, 30, tzinfo=SHANGHAI)
    ids = [
        (await caller.ask(Tasks.create, tpl_id, list_id, sender, "新闻", later, first=2, last=9)).id
        for sender in (Sender.all(), Sender.domain("a.example"), Sender.address("news@example.com"))
    ]
    tasks = await caller.all(Tasks.list, limit=2)
    assert [task.id for task in tasks] == ids
    assert [task.sender.kind for task in tasks] == [SenderKind.ALL, SenderKind.DOMAIN, SenderKind.ADDRESS]
    assert [(task.due, task.state, task.ordered) for task in tasks] == [(later, SendState.WAITING, 9)] * 3
    assert [(each.id, each.name) for each in tasks[0].templates] == [(tpl_id, "三月")]

    await caller.ask(Tasks.edit, ids[0], start=Start.HOLD, sender_name="消息", last=0)
    [task] = await caller.all(Tasks.list, state=SendState.NOT_YET, date=later.date())
    assert (task.id, task.sender_name, task.ordered, task.due) == (ids[0], "消息", 0, later)
    await caller.ask(Tasks.delete, ids[0])
    assert await caller.all(Tasks.list, id=ids[0]) == []
    assert caller.made >= calls_of(Tasks)


async def test_domains_and_mailboxes(caller: Caller) -> None:
    caller.platform.set_up |= {"set-up.example", "elsewhere.example"}
    assert (await caller.ask(Domains.add, "new.example")).verified is False
    assert (await caller.ask(Domains.add, "set-up.example")).verified is True
    names = {each.domain for each in await caller.ask(Domains.list)}
    assert names >= {"example.com", "new.example", "set-up.example"}
    states = await caller.ask(Domains.check, "set-up.example", "new.example", "elsewhere.example", "nowhere.example")
    assert [each.status for each in states] == [
        DomainStatus.ADDED_AND_VERIFIED,
        DomainStatus.ADDED,
        DomainStatus.VERIFIED,
        DomainStatus.NEITHER,
    ]
    with pytest.raises(CallFailed, match="已经验证通过的域名不能删除"):
        await caller.ask(Domains.delete, "set-up.example")
    await caller.ask(Domains.delete, "new.example")

    await caller.ask(Mailboxes.add, "info@set-up.example", "p&ss 密码")
    [mailbox] = await caller.all(Mailboxes.list, "set-up.example")
    assert (mailbox.name, mailbox.address) == ("info", "info@set-up.example")
    assert caller.platform.credentials["info@set-up.example"] == "p&ss 密码"
    await caller.ask(Mailboxes.set_password, "info@set-up.example", "another")
    assert caller.platform.credentials["info@set-up.example"] == "another"
    await caller.ask(Mailboxes.delete, "info@set-up.example")
    assert await caller.all(Mailboxes.list, "set-up.example", limit=1) == []
    assert caller.made >= calls_of(Mailboxes)
    assert calls_of(Domains) - caller.made == {Domains.add_for, Domains.delete_for}


async def test_what_only_a_manager_may_call(manager: Caller) -> None:
    customer = manager.platform.state.customer.id
    added = await manager.ask(Domains.add_for, customer, "new.example")
    assert not added.verified
    assert Domain(customer, "new.example") in await manager.ask(Domains.list, customer)
    await manager.ask(Mailboxes.add, "a@new.example", "x", customer_id=customer)
    await manager.ask(Mailboxes.set_password, "a@new.example", "y", customer_id=customer)
    assert await manager.all(Mailboxes.list, "new.example", customer_id=customer) == [
        Mailbox(customer, "new.example", "a", "a@new.example")
    ]
    await manager.ask(Mailboxes.delete, "a@new.example", customer_id=customer)
    await manager.ask(Domains.delete_for, customer, "new.example")
    assert Domain(customer, "new.example") not in await manager.ask(Domains.list, customer)


async def test_an_account_is_no_manager(caller: Caller) -> None:
    with pytest.raises(CallFailed, match="管理员账号才可调用"):
        await caller.ask(Domains.add_for, 1, "new.example")


def test_no_resource_is_left_out() -> None:
    tested = {Account, Statistics, Failures, Tracking, Contacts, Templates, Tasks, Domains, Mailboxes}
    assert set(Resource.__subclasses__()) == tested
    assert sum(len(calls_of(resource)) for resource in tested) == len(CALLS) + 1  # 4.9.1 and 4.9.2 have one name

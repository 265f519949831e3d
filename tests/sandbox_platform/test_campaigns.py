"""Templates and tasks, and what is to be seen of a task that was sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from .conftest import NOON, Caller, campaign, id_of, propose, said

TEMPLATE = {"name": "秋茶", "subject": "主题一|主题二", "content": '<a href="http://example.com/a?b=1&c=2">茶</a>'}
ADDRESSES = (
    "ann@example.org",
    "opens.bob@example.org",
    "clicks.cleo@example.org",
    "nosuch@example.org",
    "full@example.org",
    "refuse@example.org",
    "invalid@example.org",
)


async def test_a_template_is_checked_for_a_while(caller: Caller) -> None:
    tpl_id = id_of(await caller.post("template.php", "add-tpl", TEMPLATE))
    first, second = [await caller.xml("template.php", "get-tpl-status", tpl_id=tpl_id) for _ in range(2)]
    names = ("status", "colour", "size_status", "size", "subject")
    assert [first.findtext(name) for name in names] == ["-1", "", "-1", "1", "主题一|主题二"]
    assert [second.findtext(name) for name in names] == ["1", "green", "1", "1", "主题一|主题二"]
    assert said(await caller.xml("template.php", "get-tpl-status", tpl_id=1))[0] == "not_exist"


async def test_who_offers_invoices_is_red(caller: Caller) -> None:
    tpl_id = id_of(await caller.post("template.php", "add-tpl", TEMPLATE | {"content": "代开发票"}))
    await caller.xml("template.php", "get-tpl-status", tpl_id=tpl_id)
    answer = await caller.xml("template.php", "get-tpl-status", tpl_id=tpl_id)
    assert (answer.findtext("status"), answer.findtext("colour")) == ("0", "red")


async def test_a_template_is_changed_and_deleted(caller: Caller) -> None:
    tpl_id = id_of(await caller.post("template.php", "add-tpl", TEMPLATE))
    assert said(await caller.xml("template.php", "edit-tpl", tpl_id=tpl_id))[0] == "error"
    await caller.post("template.php", "edit-tpl", {"tpl_id": str(tpl_id), "subject": "三"})
    [template] = await caller.xml("template.php", "list-tpl", tpl_id=tpl_id)
    assert [subject.findtext("name") for subject in template.findall("subject")] == ["三"]
    assert template.findtext("content") == TEMPLATE["content"]
    assert said(await caller.xml("template.php", "del-tpl", tpl_id=tpl_id))[0] == "success"
    assert len(await caller.xml("template.php", "list-tpl")) == 0


async def test_attachments_come_with_a_template_or_later(caller: Caller) -> None:
    files = [("file[]", "价目表.pdf", b"%PDF"), ("file[]", "b.txt", b"b")]
    tpl_id = id_of(await caller.upload("template.php", "add-tpl", TEMPLATE, *files))
    form = {"tpl_id": str(tpl_id)}
    later = id_of(await caller.upload("template.php", "tpl-attachment-add", form, ("file", "c.txt", b"c")))

    async def attached() -> list[str | None]:
        [template] = await caller.xml("template.php", "list-tpl", tpl_id=tpl_id)
        return [one.findtext("atta_name") for one in template.findall("attachments/attachment")]

    assert await attached() == ["价目表.pdf", "b.txt", "c.txt"]
    await caller.xml("template.php", "tpl-attachment-del", tpl_id=tpl_id, attachment_id=later)
    assert await attached() == ["价目表.pdf", "b.txt"]
    await caller.xml("template.php", "tpl-attachment-del", tpl_id=tpl_id)
    assert await attached() == []


async def test_a_task_waits_for_its_time(caller: Caller) -> None:
    send_id = await campaign(caller, *ADDRESSES, time="2026-03-02 13:00:00")
    [task] = await caller.xml("task.php", "task-list", id=send_id)
    assert [task.findtext(name) for name in ("send_status", "send_qty_remak", "time_start")] == ["1", "7", ""]
    caller.platform.state.now = lambda: NOON + timedelta(hours=2)
    [task] = await caller.xml("task.php", "task-list", id=send_id)
    names = ("send_status", "time_start", "send_count", "error_count")
    assert [task.findtext(name) for name in names] == ["3", "2026-03-02 14:00:00", "3", "4"]
    [task] = await caller.xml("task.php", "list-task", id=send_id)
    assert (task.findtext("send_satus"), task.findtext("send_count")) == ("3", "3")


async def test_a_waiting_task_is_changed_and_deleted(caller: Caller) -> None:
    send_id = await campaign(caller, *ADDRESSES, status="-1")
    form = {"id": str(send_id), "send_fullname": "新名", "send_status": "1", "send_time": "2026-03-03 09:00"}
    assert said(await caller.post("task.php", "edit-task", form))[0] == "success"
    [task] = await caller.xml("task.php", "task-list", date="2026-03-03", send_status=1)
    assert (task.findtext("sender_name"), task.findtext("send_time")) == ("新名", "2026-03-03 09:00:00")
    assert said(await caller.xml("task.php", "del-task", id=send_id))[0] == "success"
    assert len(await caller.xml("task.php", "task-list")) == 0


async def test_a_task_that_was_sent_is_not_changed(caller: Caller) -> None:
    send_id = await campaign(caller, *ADDRESSES)
    assert said(await caller.xml("task.php", "edit-task", id=send_id, send_fullname="x"))[0] == "error"


@pytest.mark.parametrize(
    "wrong",
    [
        {"tpl_id": "1"},
        {"maillist_id": "1"},
        {"send_qty_start": "0"},
        {"status": "9"},
        {"time": "tomorrow"},
        {"send_account": "x@elsewhere.test"},
    ],
)
async def test_a_task_that_cannot_be_is_refused(caller: Caller, wrong: dict[str, str]) -> None:
    assert said(await propose(caller, "ann@example.org", **wrong))[0] == "error"
    assert not caller.platform.state.tasks


async def test_a_template_that_was_not_checked_is_not_sent(caller: Caller) -> None:
    await campaign(caller, "ann@example.org")
    [tpl_id], [list_id] = caller.platform.state.templates, caller.platform.state.lists
    await caller.xml("template.php", "edit-tpl", tpl_id=tpl_id, content="new")
    answer = await caller.xml(
        "task.php", "add-task", tpl_id=tpl_id, send_account="all", send_domain="all", send_fullname="x",
        maillist_id=list_id, time="2026-03-02",
    )  # fmt: skip
    assert answer.findtext("status") == "error"


async def test_a_part_of_the_list_is_counted_from_one(caller: Caller) -> None:
    send_id = await campaign(caller, *ADDRESSES, send_qty_start="2", send_qty="4", status="2")
    await caller.get("account.php", "service-info")
    batch = caller.platform.state.tasks[send_id].batch
    assert batch
    assert [one.address for one in batch.recipients] == list(ADDRESSES[1:4])


async def test_without_quota_a_task_pauses(caller: Caller) -> None:
    caller.platform.state.set_quota(3)
    await campaign(caller, *ADDRESSES)
    [task] = await caller.xml("task.php", "task-list", send_status=-2)
    assert task.findtext("send_count") == "0"


async def test_the_hundred_and_first_task_of_an_hour_is_refused(caller: Caller) -> None:
    send_id = await campaign(caller, "ann@example.org", status="-1")
    [tpl_id], [list_id] = caller.platform.state.templates, caller.platform.state.lists
    query = {
        "tpl_id": tpl_id, "send_account": "all", "send_domain": "all", "send_fullname": "x", "maillist_id": list_id,
        "time": "2026-03-02", "status": -1,
    }  # fmt: skip
    for _ in range(99):
        answer = await caller.xml("task.php", "add-task", **query)
        assert answer.findtext("status") == "success"
    assert said(await caller.xml("task.php", "add-task", **query)) == (
        "error",
        "调用次数超过限制，1小时不能超过100次",
    )
    assert len(await caller.xml("task.php", "task-list", page=4)) == 10
    caller.platform.state.now = lambda: NOON + timedelta(hours=1)
    assert (await caller.xml("task.php", "add-task", **query)).findtext("status") == "success"
    assert send_id in caller.platform.state.tasks


async def test_what_came_of_a_task(caller: Caller) -> None:
    send_id = await campaign(caller, *ADDRESSES, content=TEMPLATE["content"], track_status="2")
    track = await caller.xml("track.php", "overview", id=send_id)
    names = ("send_id", "send_count", "real_send_count", "error_send_count", "open_unique", "click_total")
    assert [track.findtext(name) for name in names] == [str(send_id), "7", "3", "4", "2", "1"]
    assert (track.findtext("open_ratio"), track.findtext("click_ratio")) == ("66.67%", "33.33%")
    assert track.findtext("link_statistic/link/link") == "http://example.com/a?b=1&c=2"
    ident, link_id = track.findtext("task_sn"), track.findtext("link_statistic/link/link_id")

    opened = await caller.xml("track.php", "open-detail", id=send_id)
    assert [user.findtext("email") for user in opened] == ["opens.bob@example.org", "clicks.cleo@example.org"]
    [click] = await caller.xml("track.php", "click-detail", ident=ident, link_id=link_id)
    assert click.findtext("email") == "clicks.cleo@example.org"
    [link] = await caller.xml("track.php", "link-stat", ident=ident)
    assert (link.findtext("link_id"), link.findtext("click_unique")) == (link_id, "1")
    assert len(await caller.xml("track.php", "link-stat", ident=ident, link_id=0)) == 0

    track_id = track.findtext("track_id")
    for query, found in (
        ({}, ["opens.bob@example.org", "clicks.cleo@example.org"]),
        ({"is_click": 1}, ["clicks.cleo@example.org"]),
        ({"link_id": link_id}, ["clicks.cleo@example.org"]),
        ({"email_id": opened[0].findtext("email_id")}, ["opens.bob@example.org"]),
    ):
        assert await caller.lines("trackexport.php", track_id=track_id, **query) == found


async def test_what_is_not_there_has_no_statistics(caller: Caller) -> None:
    assert said(await caller.xml("track.php", "overview", id=1))[0] == "not_exist"
    assert said(await caller.xml("track.php", "overview"))[0] == "error"
    assert said(await caller.xml("trackexport.php", track_id=1))[0] == "not_exist"


async def test_the_figures_of_the_day(caller: Caller) -> None:
    await campaign(caller, *ADDRESSES)
    day = await caller.xml("statistic.php", date="2026-03-02")
    assert {figure.tag: figure.text for figure in day} == {
        "date": "2026-03-02", "ws_qty": "7", "ws_error": "4", "ws_count": "3", "invalid_addr": "1",
        "format_error": "0", "send_count": "7", "deduc_count": "6", "actual_send": "6", "send_error": "3",
        "actual_deduc": "3",
    }  # fmt: skip
    [batch] = await caller.xml("stask.php", id=next(iter(caller.platform.state.tasks)))
    assert {figure.tag: figure.text for figure in list(batch)[3:]} == {
        "totalsum": "7", "total": "6", "invalid": "1", "failed": "3", "success": "3", "email_not_exist": "1",
        "actual": "3", "over_quota": "1", "user_reject": "1", "rubbish": "0",
    }  # fmt: skip
    assert (await caller.xml("account.php", "service-info")).findtext("qty_available") == "99997"

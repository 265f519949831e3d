"""Every answer in XML has the elements that the document prints, in its order."""

from __future__ import annotations

import pytest
from defusedxml.ElementTree import fromstring

from .conftest import Caller, campaign

STATISTICS_TASK = (
    "id sn sender sender_name replyto tpl_id tpl_name addr_type list_id list_name send_qty send_qty_remak send_time "
    "send_satus time_start time_end send_count error_count track_status"
)
DAY = (
    "date ws_qty ws_error ws_count invalid_addr format_error send_count deduc_count actual_send send_error actual_deduc"
)
BATCH = (
    "task_id task_date task_ident totalsum total invalid failed success email_not_exist actual over_quota user_reject "
    "rubbish"
)
TRACK = (
    "track_id task_id task_sn send_id send_count real_send_count error_send_count open_unique open_total open_first "
    "open_last click_unique click_total click_first click_last open_ratio click_ratio link_statistic"
)
OPENING = (
    "email_id email browser os ip_first ip_last open_total click_total open_first open_last click_first click_last"
)
VARIABLES = " ".join(f"var{n}" for n in range(1, 11))
TASK = (
    "id sn acct_type acct_address sender replyto sender_name templates addr_type list_id list_name send_qty "
    "send_qty_remak send_time time_start time_end send_count error_count send_status track_status"
)
# The call; where its element is; what is in it.
PRINTED = [
    ("account.php?do=customer-info", ".", "id username company contact phone mobile email im address"),
    (
        "account.php?do=service-info",
        ".",
        "id service_status service_type send_type beginning_date expiration_date qty_available qty_buytotal",
    ),
    ("task.php?do=list-task&date=2026-03-02", "task", STATISTICS_TASK),
    (
        "statistic.php?date=2026-03-02",
        ".",
        DAY,
    ),
    ("failexport.php?date=2026-03-02&type=all&out_type=xml", "recipient", "email"),
    ("failexportall.php?date=2026-03-02&type=all&out_type=xml", "recipient", "email type task_id"),
    (
        "stask.php?date=2026-03-02",
        "task",
        BATCH,
    ),
    ("deduction.php?date=2026-03-02", "list", "date company deduction send_num total"),
    ("track.php?do=overview&id={task}", ".", TRACK),
    (
        "track.php?do=overview&id={task}",
        "link_statistic/link",
        "link_id link click_unique click_total click_first click_last",
    ),
    ("track.php?do=open-detail&id={task}", "user", OPENING),
    (
        "track.php?do=click-detail&id={task}",
        "click",
        "click_id email link click_unique click_total click_first click_last",
    ),
    ("track.php?do=link-stat&id={task}", "link", "link_id link click_unique click_total click_first click_last"),
    ("mloperate.php?do=maillist-list", "item", "id subject description count status"),
    ("mloperate.php?do=maillist-detail&id={list}", ".", "id subject description count status"),
    (
        "mloperate.php?do=ml-addr-list&list_id={list}",
        "addr",
        f"id list_id address brithday phone area fullname time {VARIABLES}",
    ),
    (
        "template.php?do=get-tpl-status&tpl_id={template}",
        ".",
        "id name status colour update_date size_status size subject",
    ),
    (
        "template.php?do=list-tpl",
        "template",
        "id user_id name subject subject content content_type attachments created updated",
    ),
    ("template.php?do=list-tpl", "template/subject", "id name"),
    ("task.php?do=task-list", "task", TASK),
    ("task.php?do=task-list", "task/templates/template", "tpl_id tpl_name"),
    ("bs.php?do=domain-list", "data", "customer_id domain"),
    ("bs.php?do=mailbox-list&domain=example.com", "data", "customer_id domain name mailbox"),
]
ROOTS = {
    "account.php?do=customer-info": "customer",
    "account.php?do=service-info": "service",
    "task.php": "task_list",
    "statistic.php": "statistic",
    "failexport": "fail_recipient_list",
    "stask.php": "data",
    "deduction.php": "data",
    "track.php?do=overview": "track",
    "track.php": "data",
    "mloperate.php?do=maillist": "maillist",
    "mloperate.php?do=ml-addr-list": "data",
    "template.php?do=get-tpl-status": "template",
    "template.php?do=list-tpl": "template_list",
    "bs.php?do=domain-list": "domain_list",
    "bs.php?do=mailbox-list": "mailbox_list",
}


@pytest.mark.parametrize(("call", "where", "names"), PRINTED)
async def test_an_answer_is_as_printed(caller: Caller, call: str, where: str, names: str) -> None:
    send_id = await campaign(
        caller, "clicks@example.org", "nosuch@example.org", content='<a href="http://example.com/">x</a>'
    )
    await caller.get("account.php", "service-info")  # the task is due: it is sent before any call
    [list_id], [tpl_id] = caller.platform.state.lists, caller.platform.state.templates
    response = await caller.http.get(call.format(task=send_id, list=list_id, template=tpl_id))
    assert response.text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
    root = fromstring(response.content)
    assert root.tag == next(tag for start, tag in ROOTS.items() if call.startswith(start))
    found = root.find(where)
    assert found is not None
    assert [inner.tag for inner in found] == names.split()


async def test_domains_are_checked_in_the_printed_form(caller: Caller) -> None:
    answer = await caller.post("bs.php", "domain-check", {"domains": "example.com, me.test"})
    assert answer.tag == "domain_list"
    assert [[inner.tag for inner in domain] for domain in answer] == [
        ["customer_id", "domain_id", "val", "status", "info"]
    ] * 2


async def test_a_change_is_answered_by_a_result(caller: Caller) -> None:
    form = {"subject": "列表 & 更多", "status": "enabled"}
    answer = await caller.http.post("mloperate.php?do=maillist-add", data=form)
    assert [inner.tag for inner in fromstring(answer.content)] == ["status", "data"]
    assert "<data><![CDATA[" in answer.text


async def test_a_new_task_has_its_id_beside_the_words(caller: Caller) -> None:
    await campaign(caller, "ann@example.org")
    [tpl_id], [list_id] = caller.platform.state.templates, caller.platform.state.lists
    answer = await caller.xml(
        "task.php", "add-task", tpl_id=tpl_id, send_account="all", send_domain="all", send_fullname="x",
        maillist_id=list_id, time="2026-03-02",
    )  # fmt: skip
    assert [inner.tag for inner in answer] == ["status", "id", "data"]
    [_, task] = await caller.xml("task.php", "task-list")
    assert [task.findtext("acct_type"), task.find("acct_domain"), task.find("acct_address")] == ["all", None, None]


async def test_an_empty_list_is_an_empty_element(caller: Caller) -> None:
    answer = await caller.get("mloperate.php", "maillist-list")
    assert fromstring(answer.content).tag == "maillist"
    assert len(fromstring(answer.content)) == 0

"""Chapter 2, but for the failures: what was sent on a day, by task and by batch, and what it cost."""

from __future__ import annotations

from collections import Counter

from smtprelay.sandbox.platform.batches import NEVER_SENT, Batch
from smtprelay.sandbox.platform.forms import Node, listing, record
from smtprelay.sandbox.platform.records import Task
from smtprelay.sandbox.platform.request import Request, day, need, number
from smtprelay.sandbox.platform.state import State


def web_tasks(state: State, request: Request) -> Node:
    """2.1"""
    need(request.get("date") or request.get("ident") or request.get("id"))
    found = list(state.tasks.values())
    if request.get("date"):
        found = [task for task in found if task.time.date() == day(request.get("date"))]
    if request.get("ident"):
        found = [task for task in found if task.ident == request.get("ident")]
    if request.get("id"):
        found = [task for task in found if task.id == number(request.get("id"))]
    if request.get("state"):
        found = [task for task in found if task.status == number(request.get("state"))]
    return listing("task_list", [_web_task(state, task) for task in found])


def _web_task(state: State, task: Task) -> Node:
    tpl_id = task.templates[0]
    return record(
        "task",
        id=task.id,
        sn=task.ident,
        sender=task.account,
        sender_name=task.fullname,
        replyto=task.replyto,
        tpl_id=tpl_id,
        tpl_name=state.templates[tpl_id].name if tpl_id in state.templates else "",
        addr_type=0,
        list_id=task.list_id,
        list_name=state.lists[task.list_id].subject if task.list_id in state.lists else "",
        send_qty=task.quantity,
        send_qty_remak=task.planned,
        send_time=task.time,
        send_satus=task.status,
        time_start=task.began,
        time_end=task.began,
        send_count=task.sent,
        error_count=task.failed,
        track_status=task.track_status,
    )


def the_day(state: State, request: Request) -> Node:
    """2.2"""
    asked = day(request.get("date"))
    batches = [batch for batch in state.batches if batch.day == asked]
    web = _sum([batch for batch in batches if batch.send_id])
    both = _sum(batches)
    never_sent = sum(both[type_] for type_ in NEVER_SENT)
    return record(
        "statistic",
        date=asked,
        ws_qty=web.total(),
        ws_error=web.total() - web[""],
        ws_count=web[""],
        invalid_addr=both["8"],
        format_error=both["9"],
        send_count=both.total(),
        deduc_count=both.total() - never_sent,
        actual_send=both.total() - never_sent,
        send_error=both.total() - never_sent - both[""],
        actual_deduc=both[""],
    )


def batches(state: State, request: Request) -> Node:
    """2.4"""
    ident, id_ = request.get("ident"), request.get("id")
    if ident or id_:
        found = [batch for batch in state.batches if batch.is_called(ident, id_)]
    else:
        asked = day(request.get("date"))
        found = [batch for batch in state.batches if batch.day == asked]
    return listing("data", [_batch(batch) for batch in found])


def _batch(batch: Batch) -> Node:
    count = batch.count()
    never_sent = sum(count[type_] for type_ in NEVER_SENT)
    return record(
        "task",
        task_id=batch.task_id,
        task_date=batch.day,
        task_ident=batch.ident,
        totalsum=count.total(),
        total=count.total() - never_sent,
        invalid=never_sent,
        failed=count.total() - never_sent - count[""],
        success=count[""],
        email_not_exist=count["1"],
        actual=count[""],
        over_quota=count["2"],
        user_reject=count["3"],
        rubbish=count["5"],
    )


def deductions(state: State, request: Request) -> Node:
    """2.5"""
    asked = day(request.get("date"))
    rows = []
    for kind, is_web in (("Web群发", True), ("SMTP群发", False)):
        count = _sum([batch for batch in state.batches if batch.day == asked and bool(batch.send_id) == is_web])
        if count:
            rows.append(
                record(
                    "list",
                    date=asked,
                    company=state.customer.company,
                    deduction=kind,
                    send_num=count.total() - sum(count[type_] for type_ in NEVER_SENT),
                    total=count[""],
                )
            )
    return listing("data", rows)


def _sum(batches: list[Batch]) -> Counter[str]:
    return sum((batch.count() for batch in batches), Counter())

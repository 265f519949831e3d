"""Chapter 6, and 5.1: tasks, each a list of addresses that gets one of the templates at some time."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from smtprelay.sandbox.platform.forms import CData, Node, Refused, leaf, listing, record, result
from smtprelay.sandbox.platform.records import AT_ONCE, ON_HOLD, SENT, WAITING, Task
from smtprelay.sandbox.platform.request import Request, moment, need, number, page
from smtprelay.sandbox.platform.state import State

PAGE = 30
PER_HOUR = 100  # creations
# What 5.1 and 6.2 call it: what 6.3 does.
OTHER_NAMES: Mapping[str, str] = MappingProxyType({"status": "send_status", "time": "send_time"})


def tasks(state: State, request: Request) -> Node:
    """6.1"""
    found = list(state.tasks.values())
    if request.get("id"):
        found = [task for task in found if task.id == number(request.get("id"))]
    if request.get("date"):
        found = [task for task in found if f"{task.time:%Y-%m-%d}" == request.get("date")]
    if request.get("send_status", "all") != "all":
        found = [task for task in found if task.status == number(request.get("send_status"))]
    return listing("task_list", [_task(state, task) for task in page(found, request, PAGE)])


def _task(state: State, task: Task) -> Node:
    sender = task.account if task.account != "all" else task.domain
    return Node(
        "task",
        (
            leaf("id", task.id),
            leaf("sn", task.ident),
            *_account(task),
            leaf("sender", sender),
            leaf("replyto", task.replyto),
            leaf("sender_name", task.fullname),
            listing("templates", [_template(state, tpl_id) for tpl_id in task.templates]),
            leaf("addr_type", 0),
            leaf("list_id", task.list_id),
            leaf("list_name", state.lists[task.list_id].subject if task.list_id in state.lists else ""),
            leaf("send_qty", task.quantity),
            leaf("send_qty_remak", task.planned),
            leaf("send_time", task.time),
            leaf("time_start", task.began),
            leaf("time_end", task.began),
            leaf("send_count", task.sent),
            leaf("error_count", task.failed),
            leaf("send_status", task.status),
            leaf("track_status", task.track_status),
        ),
    )


def _account(task: Task) -> list[Node]:
    if task.account != "all":
        return [leaf("acct_type", "address"), leaf("acct_address", task.account)]
    if task.domain != "all":
        return [leaf("acct_type", "domain"), leaf("acct_domain", task.domain)]
    return [leaf("acct_type", "all")]


def _template(state: State, tpl_id: int) -> Node:
    name = state.templates[tpl_id].name if tpl_id in state.templates else ""
    return record("template", tpl_id=tpl_id, tpl_name=name)


def add(state: State, request: Request) -> Node:
    """6.2, 5.1"""
    if not state.may_create_task(PER_HOUR):
        raise Refused("error", f"调用次数超过限制，1小时不能超过{PER_HOUR}次")
    for name in ("tpl_id", "send_account", "send_fullname", "maillist_id", "time"):
        need(request.either(name))
    at, id_ = state.now(), state.new_id()
    task = Task(id_, f"{at:%Y%m%d%H%M%S}-{state.customer.id}-{id_}", (), "", "", "", 0, at)
    _fill(state, task, request)
    state.tasks[id_] = task
    words = CData("添加群发任务成功！")
    return Node("result", (leaf("status", "success"), leaf("id", id_), leaf("data", words)))


def edit(state: State, request: Request) -> Node:
    """6.3"""
    task = _find(state, request.either("id"))
    if task.status == SENT:
        raise Refused("error", "任务已经发送，不能修改")
    _fill(state, task, request)
    return result("success", "修改群发任务成功！")


def delete(state: State, request: Request) -> Node:
    """6.4"""
    del state.tasks[_find(state, request.get("id")).id]
    return result("success", "删除群发任务成功！")


def _find(state: State, id_: str) -> Task:
    found = state.tasks.get(number(id_))
    if found is None:
        raise Refused("not_exist", "任务不存在")
    return found


def _fill(state: State, task: Task, request: Request) -> None:
    """Set what the call brings, all of it or nothing. :raises Refused:"""

    def value(name: str, default: object) -> str:
        return request.either(name) or request.either(OTHER_NAMES.get(name, name)) or str(default)

    templates = [number(part) for part in value("tpl_id", ",".join(map(str, task.templates))).split(",")]
    if not all(tpl_id in state.templates and state.templates[tpl_id].is_usable for tpl_id in templates):
        raise Refused("error", "模板不存在或者没有通过检测")
    list_id = number(value("maillist_id", task.list_id))
    if list_id not in state.lists:
        raise Refused("error", "联系人分类不存在")
    status, start = number(value("status", task.status)), number(value("send_qty_start", task.start))
    if status not in (ON_HOLD, WAITING, AT_ONCE) or start < 1:
        raise Refused("error", "参数错误")
    quantity, time = number(value("send_qty", task.quantity)), moment(value("time", f"{task.time:%Y-%m-%d %H:%M:%S}"))
    account = value("send_account", task.account)
    domain = value("send_domain", task.domain) or account.rpartition("@")[2]
    if domain != "all" and domain not in state.domains:
        raise Refused("error", "发件人域名不存在")
    task.templates, task.list_id, task.status, task.time = templates, list_id, status, time
    task.start, task.quantity, task.planned = start, quantity, len(state.lists[list_id].addresses)
    task.account, task.domain = account, domain
    task.fullname = value("send_fullname", task.fullname)
    task.replyto = value("send_replyto", task.replyto)
    task.subs_link = value("subs_link", task.subs_link)
    task.track_status = value("track_status", task.track_status)
    task.track_domain = value("track_domain", task.track_domain)

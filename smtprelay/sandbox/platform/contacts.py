"""Chapter 4: the lists, their exports, and who subscribes or unsubscribes. What is in them: addresses.py."""

from __future__ import annotations

import re

from smtprelay.sandbox.platform.batches import is_address
from smtprelay.sandbox.platform.forms import Node, Refused, Text, listing, record, result
from smtprelay.sandbox.platform.records import Address, MailingList
from smtprelay.sandbox.platform.request import Request, need, number
from smtprelay.sandbox.platform.state import State

STATUSES = ("enabled", "disabled")


def chosen(state: State, id_: str, status: str = "not_exist") -> MailingList:
    """:raises Refused: with that status; there is no such list."""
    found = state.lists.get(number(id_))
    if found is None:
        raise Refused(status, "联系人分类不存在")
    return found


def lists(state: State, request: Request) -> Node:
    """4.1"""
    return listing("maillist", [_list("item", one) for one in state.lists.values()])


def one_list(state: State, request: Request) -> Node:
    """4.2"""
    return _list("maillist", chosen(state, request.get("id")))


def _list(tag: str, one: MailingList) -> Node:
    return record(
        tag,
        id=one.id,
        subject=one.subject,
        description=one.description,
        count=len(one.addresses),
        status=one.status,
    )


def add_list(state: State, request: Request) -> Node:
    """4.3"""
    subject, status = request.post("subject"), request.post("status")
    if not subject or status not in STATUSES:
        raise Refused("add_maillist_error", "参数错误")
    new = MailingList(state.new_id(), subject, request.post("description"), status)
    state.lists[new.id] = new
    return result("success", new.id)


def edit_list(state: State, request: Request) -> Node:
    """4.4"""
    one = chosen(state, request.get("id"), "update_maillist_error")
    status = request.post("status", one.status)
    if status not in STATUSES:
        raise Refused("update_maillist_error", "参数错误")
    one.status = status
    one.subject = request.post("subject", one.subject)
    one.description = request.post("description", one.description)
    return result("success", "修改联系人分类成功")


def delete_list(state: State, request: Request) -> Node:
    """4.5"""
    del state.lists[chosen(state, request.get("id"), "delete_maillist_error").id]
    return result("success", "删除联系人分类成功")


def export(state: State, request: Request) -> Text:
    """4.6"""
    found = chosen(state, request.get("id")).addresses.values()
    return Text([f"{one.address}\t{one.fullname}" for one in found])


def unsubscribed(state: State, request: Request) -> Text:
    """4.7"""
    found = chosen(state, request.get("id")).unsubscribed
    return Text([f"{at:%Y-%m-%d %H:%M:%S}\t{address}" for at, address in found])


def subscribe(state: State, request: Request) -> Node:
    """4.13; many are parted by ``;`` or lines, the name from the address by ``,`` or a tab."""
    one = chosen(state, request.get("list_id"))
    many = request.either("maillist")
    pairs = re.split(r"[;；\n]", many) if many else [f"{need(request.get('address'))},{request.get('name')}"]
    added = 0
    for pair in filter(str.strip, pairs):
        address, name = (*re.split(r"[,，\t]", pair.strip(), maxsplit=1), "")[:2]
        address = address.strip()
        if is_address(address) and address not in one.addresses:
            fullname = name.strip() or address.partition("@")[0]
            one.addresses[address] = Address(state.new_id(), one.id, address, state.now(), fullname)
            added += 1
    if not added:
        raise Refused("error", "邮箱地址错误或者已存在")
    return result("success", f"成功订阅{added}个地址")


def unsubscribe(state: State, request: Request) -> Node:
    """4.14"""
    one = chosen(state, request.get("list_id"))
    addresses = [part.strip() for part in re.split(r"[,，\n]", need(request.either("address")))]
    leaving = [address for address in addresses if address in one.addresses]
    for address in leaving:
        state.unsubscribe(one.id, address)
    if not leaving:
        raise Refused("not_exist", "邮箱地址不存在")
    return result("success", f"成功退订{len(leaving)}个地址")

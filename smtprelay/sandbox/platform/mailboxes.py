"""Chapter 7.7–7.10: the mailboxes of a domain, with which one logs in to the smarthost."""

from __future__ import annotations

from smtprelay.sandbox.platform.domains import whose
from smtprelay.sandbox.platform.forms import Node, Refused, listing, record, result
from smtprelay.sandbox.platform.request import Request, need, page
from smtprelay.sandbox.platform.state import State

PAGE = 30
PER_DOMAIN = 20


def mailboxes(state: State, request: Request) -> Node:
    """7.7"""
    domain = _domain(state, request, request.get("domain"))
    found = [mailbox for mailbox in state.mailboxes if mailbox.endswith(f"@{domain}")]
    return listing("mailbox_list", [_mailbox(state, mailbox) for mailbox in page(found, request, PAGE)])


def _mailbox(state: State, mailbox: str) -> Node:
    name, _, domain = mailbox.partition("@")
    customer_id = state.domains[domain].customer_id
    return record("data", customer_id=customer_id, domain=domain, name=name, mailbox=mailbox)


def add(state: State, request: Request) -> Node:
    """7.8"""
    mailbox, password = need(request.either("mailbox")), need(request.either("pwd"))
    domain = _domain(state, request, mailbox.partition("@")[2])
    if mailbox in state.mailboxes:
        raise Refused("error", "账号已存在")
    if sum(one.endswith(f"@{domain}") for one in state.mailboxes) >= PER_DOMAIN:
        raise Refused("error", f"每个域名最多{PER_DOMAIN}个账号")
    state.mailboxes[mailbox] = password
    return result("success", "添加账号成功")


def delete(state: State, request: Request) -> Node:
    """7.9"""
    del state.mailboxes[_known(state, request)]
    return result("success", "删除账号成功")


def set_password(state: State, request: Request) -> Node:
    """7.10"""
    mailbox = _known(state, request)
    state.mailboxes[mailbox] = need(request.either("pwd"))
    return result("success", "修改账号成功")


def _known(state: State, request: Request) -> str:
    mailbox = need(request.either("mailbox"))
    _domain(state, request, mailbox.partition("@")[2])
    if mailbox not in state.mailboxes:
        raise Refused("not_exist", "账号不存在")
    return mailbox


def _domain(state: State, request: Request, domain: str) -> str:
    """:raises Refused: it is not the customer's."""
    name = need(domain).lower()
    if name not in state.domains or state.domains[name].customer_id != whose(state, request):
        raise Refused("not_exist", "域名不存在")
    return name

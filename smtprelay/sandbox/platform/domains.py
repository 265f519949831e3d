"""Chapter 7.1–7.6: the domains from which a customer sends."""

from __future__ import annotations

from smtprelay.sandbox.platform.forms import Node, Refused, listing, record, result
from smtprelay.sandbox.platform.records import Domain
from smtprelay.sandbox.platform.request import Request, need, number
from smtprelay.sandbox.platform.state import State

# By status: known to the system or not, and verified or not.
WORDS = ("系统不存在并验证不通过", "系统不存在但验证通过", "添加成功但验证不通过", "添加成功并验证通过")


def whose(state: State, request: Request) -> int:
    """The customer whom a call is about: who makes it, or whom the manager names. :raises Refused:"""
    if request.either("user_type", "customer") != "manager":
        return state.customer.id
    return of_manager(request)


def of_manager(request: Request) -> int:
    """:raises Refused:"""
    if not request.manager:
        raise Refused("error", "管理员账号才可调用")
    return number(request.either("customer_id"))


def domains(state: State, request: Request) -> Node:
    """7.1; the system's own, of customer 0, are everybody's."""
    customers = (0, whose(state, request))
    found = [one for one in state.domains.values() if one.customer_id in customers]
    return listing("domain_list", [record("data", customer_id=one.customer_id, domain=one.name) for one in found])


def add(state: State, request: Request) -> Node:
    """7.2"""
    return _add(state, request.get("domain"), state.customer.id)


def add_for(state: State, request: Request) -> Node:
    """7.4"""
    return _add(state, request.get("domain"), of_manager(request))


def _add(state: State, domain: str, customer_id: int) -> Node:
    name = need(domain).lower()
    if "." not in name or name in state.domains:
        raise Refused("error", "域名错误或者已存在")
    new = state.domains[name] = Domain(state.new_id(), name, customer_id)
    return result("success_and_check_ok" if state.is_set_up(name) else "success", new.id)


def check(state: State, request: Request) -> Node:
    """7.3"""
    names = [name.strip().lower() for name in need(request.post("domains")).split(",")]
    return listing("domain_list", [_checked(state, name) for name in names if name])


def _checked(state: State, name: str) -> Node:
    known = state.domains.get(name)
    status = 2 * bool(known) + state.is_set_up(name)
    return record(
        "domain",
        customer_id=state.customer.id,
        domain_id=known.id if known else 0,
        val=name,
        status=status,
        info=WORDS[status],
    )


def delete(state: State, request: Request) -> Node:
    """7.6"""
    return _delete(state, request.get("domain"), state.customer.id)


def delete_for(state: State, request: Request) -> Node:
    """7.5"""
    return _delete(state, request.get("domain"), of_manager(request))


def _delete(state: State, domain: str, customer_id: int) -> Node:
    name = need(domain).lower()
    if name not in state.domains or state.domains[name].customer_id != customer_id:
        raise Refused("not_exist", "域名不存在")
    if state.is_set_up(name):
        raise Refused("error", "已经验证通过的域名不能删除")
    del state.domains[name]
    for mailbox in [mailbox for mailbox in state.mailboxes if mailbox.endswith(f"@{name}")]:
        del state.mailboxes[mailbox]
    return result("success", "删除域名成功")

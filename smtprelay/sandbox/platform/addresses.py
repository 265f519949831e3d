"""Chapter 4.8–4.12: the addresses of a list, one, many, or from a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from smtprelay.sandbox.platform.batches import is_address
from smtprelay.sandbox.platform.contacts import chosen
from smtprelay.sandbox.platform.forms import CData, Node, Refused, record, result
from smtprelay.sandbox.platform.records import VARIABLES, Address, Import, MailingList
from smtprelay.sandbox.platform.request import Request, need, number, page
from smtprelay.sandbox.platform.state import State

COLUMNS = ("address", "fullname", "sex", "birthday", "phone", "area", *(f"var{n}" for n in range(1, VARIABLES + 1)))
PAGE = 50


def addresses(state: State, request: Request) -> Node:
    """4.8; list 0 is that of addresses which are on none: there are none here."""
    list_id, address_id = request.get("list_id"), request.get("address_id")
    found = [one for each in state.lists.values() for one in each.addresses.values()]
    if list_id:
        found = [one for one in found if one.list_id == number(list_id)]
    if address_id:
        found = [one for one in found if one.id == number(address_id)]
    if keyword := request.get("keyword"):
        found = [one for one in found if keyword in one.address or keyword in one.fullname]
    return record("data", total_num=len(found)).with_nodes(*(_address(one) for one in page(found, request, PAGE)))


def _address(one: Address) -> Node:
    return record(
        "addr",
        id=one.id,
        list_id=one.list_id,
        address=CData(one.address),
        brithday=one.birthday,
        phone=one.phone,
        area=CData(one.area),
        fullname=CData(one.fullname),
        time=one.added,
        **{f"var{n}": value for n, value in enumerate(one.variables, 1)},
    )


def add(state: State, request: Request) -> Node:
    """4.9.1, and 4.9.2 where there is ``ml_addr``."""
    if "ml_addr" in request.form:
        return _add_many(state, request)
    one = chosen(state, request.either("list_id"))
    values = {column: request.either(column) for column in COLUMNS}
    need(values["address"])
    if not (added := _enter(state, one, [values])):
        raise Refused("error", "邮箱地址错误或者已存在")
    return result("success", added[0].id if request.either("return_id") == "1" else "添加地址成功")


def _add_many(state: State, request: Request) -> Node:
    one = chosen(state, request.get("list_id"))
    if request.get("addr_type", "string") != "string":
        raise Refused("error", "参数错误")
    added = _enter(state, one, _parse(request.post("ml_addr"), request.get("separate") or "\n"))
    return result("success", f"成功添加{len(added)}个地址")


def upload(state: State, request: Request) -> Node:
    """4.9.3"""
    one = chosen(state, request.either("list_id"))
    file = next((file for file in request.files if file.field == "file"), None)
    if file is None:
        raise Refused("error", "没有上传文件")
    id_ = state.new_id()
    state.imports[id_] = Import(one.id, file.content.decode("utf-8", "replace"), state.lag)
    return result("success", id_)


def upload_state(state: State, request: Request) -> Node:
    """4.9.4"""
    found = state.imports.get(number(request.get("id")))
    if found is None:
        return result("not_exist", "不存在id")
    if found.lag:
        found.lag -= 1
        return result("no_complete", "正在解析")
    if found.list_id in state.lists:
        _enter(state, state.lists[found.list_id], _parse(found.text, "\n"))
        found.text = ""
    return result("success", "解析完成")


def edit(state: State, request: Request) -> Node:
    """4.10"""
    one, its_list = _find(state, request.either("id"))
    address = request.either("address", one.address)
    if not is_address(address) or (address != one.address and address in its_list.addresses):
        raise Refused("error", "邮箱地址错误或者已存在")
    _fill(one, {column: request.either(column) for column in COLUMNS if column in {**request.query, **request.form}})
    its_list.addresses = {each.address: each for each in its_list.addresses.values()}
    return result("success", "修改地址成功")


def delete(state: State, request: Request) -> Node:
    """4.11"""
    one, its_list = _find(state, request.get("id"))
    del its_list.addresses[one.address]
    return result("success", "删除地址成功")


def empty(state: State, request: Request) -> Node:
    """4.12"""
    chosen(state, request.get("list_id")).addresses.clear()
    return result("success", "清空联系人分类成功")


def _find(state: State, id_: str) -> tuple[Address, MailingList]:
    sought = number(id_)
    for each in state.lists.values():
        for one in each.addresses.values():
            if one.id == sought:
                return one, each
    raise Refused("not_exist", "地址不存在")


def _parse(text: str, separator: str) -> list[dict[str, str]]:
    """Lines as ``address;name;sex;birthday;phone;area;var1;…;var10``."""
    lines = (line.strip().split(";") for line in text.removeprefix("\ufeff").split(separator))
    return [dict(zip(COLUMNS, (part.strip() for part in parts), strict=False)) for parts in lines if parts != [""]]


def _enter(state: State, one: MailingList, rows: Iterable[Mapping[str, str]]) -> list[Address]:
    """Those that are no addresses, or there already, are left out."""
    added = []
    for row in rows:
        if is_address(row["address"]) and row["address"] not in one.addresses:
            new = Address(state.new_id(), one.id, row["address"], state.now())
            _fill(new, row)
            one.addresses[new.address] = new
            added.append(new)
    return added


def _fill(one: Address, row: Mapping[str, str]) -> None:
    for column, value in row.items():
        if column.startswith("var"):
            one.variables[int(column.removeprefix("var")) - 1] = value
        else:
            setattr(one, column, value)

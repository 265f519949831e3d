"""Lists and their addresses: a change is seen by the next call."""

from __future__ import annotations

import pytest

from .conftest import Caller, id_of, said

LINES = """ann@example.org;安;F;1986-08-10;13528775968;北京;一;two
;
not an address;x
bob@example.org
ann@example.org;again
"""
SCRIPT = "mloperate.php"


async def a_list(caller: Caller, subject: str = "顾客") -> int:
    return id_of(await caller.post(SCRIPT, "maillist-add", {"subject": subject, "status": "enabled"}))


async def test_a_list_is_made_changed_and_deleted(caller: Caller) -> None:
    id_ = await a_list(caller)
    answer = await caller.post(SCRIPT, "maillist-edit", {"description": "说明", "status": "disabled"}, id=id_)
    assert said(answer)[0] == "success"
    one = await caller.xml(SCRIPT, "maillist-detail", id=id_)
    assert [one.findtext(name) for name in ("subject", "description", "count", "status")] == [
        "顾客", "说明", "0", "disabled",
    ]  # fmt: skip
    assert said(await caller.xml(SCRIPT, "maillist-del", id=id_))[0] == "success"
    assert len(await caller.xml(SCRIPT, "maillist-list")) == 0


async def test_what_cannot_be_done_has_the_status_of_the_document(caller: Caller) -> None:
    assert said(await caller.post(SCRIPT, "maillist-add", {"subject": "x"}))[0] == "add_maillist_error"
    assert said(await caller.post(SCRIPT, "maillist-edit", {}, id=1))[0] == "update_maillist_error"
    assert said(await caller.xml(SCRIPT, "maillist-del", id=1))[0] == "delete_maillist_error"
    assert said(await caller.xml(SCRIPT, "maillist-detail", id=1))[0] == "not_exist"
    assert said(await caller.xml(SCRIPT, "maillist-detail"))[0] == "error"
    assert said(await caller.xml(SCRIPT, "no-such-thing"))[0] == "error"


async def test_what_the_document_wants_posted_is_not_read_from_the_query(caller: Caller) -> None:
    answer = await caller.xml(SCRIPT, "maillist-add", subject="x", status="enabled")
    assert said(answer)[0] == "add_maillist_error"


@pytest.mark.parametrize("by", ["query", "form"])
async def test_an_address_comes_by_get_or_post(caller: Caller, by: str) -> None:
    id_ = await a_list(caller)
    values = {"list_id": str(id_), "address": "ann@example.org", "fullname": "安娜", "var10": "ten", "return_id": "1"}
    if by == "query":
        answer = await caller.xml(SCRIPT, "ml-addr-add", **values)
    else:
        answer = await caller.post(SCRIPT, "ml-addr-add", values)
    listed = await caller.xml(SCRIPT, "ml-addr-list", address_id=id_of(answer))
    assert [listed.findtext(name) for name in ("total_num", "addr/fullname", "addr/var10")] == ["1", "安娜", "ten"]


async def test_many_come_in_lines_of_which_bad_and_known_ones_are_left_out(caller: Caller) -> None:
    id_ = await a_list(caller)
    assert said(await caller.post(SCRIPT, "ml-addr-add", {"ml_addr": LINES}, list_id=id_)) == (
        "success", "成功添加2个地址",
    )  # fmt: skip
    ann, bob = (await caller.xml(SCRIPT, "ml-addr-list", list_id=id_)).findall("addr")
    assert [ann.findtext(name) for name in ("fullname", "brithday", "phone", "area", "var1", "var2", "var3")] == [
        "安", "1986-08-10", "13528775968", "北京", "一", "two", "",
    ]  # fmt: skip
    assert bob.findtext("address") == "bob@example.org"


async def test_many_may_be_parted_by_something_else(caller: Caller) -> None:
    id_ = await a_list(caller)
    form = {"ml_addr": "ann@example.org;安|bob@example.org;"}
    await caller.post(SCRIPT, "ml-addr-add", form, list_id=id_, addr_type="string", separate="|")
    assert await caller.lines(SCRIPT, "subscription-export", id=id_) == ["ann@example.org\t安", "bob@example.org\t"]


async def test_a_file_is_in_work_for_a_while(caller: Caller) -> None:
    id_ = await a_list(caller)
    file = ("file", "address.txt", LINES.encode())
    import_id = id_of(await caller.upload(SCRIPT, "ml-addr-add-file", {"list_id": str(id_)}, file))
    assert said(await caller.xml(SCRIPT, "ml-addr-add-file-query", id=import_id)) == ("no_complete", "正在解析")
    assert (await caller.xml(SCRIPT, "maillist-detail", id=id_)).findtext("count") == "0"
    assert said(await caller.xml(SCRIPT, "ml-addr-add-file-query", id=import_id)) == ("success", "解析完成")
    assert (await caller.xml(SCRIPT, "maillist-detail", id=id_)).findtext("count") == "2"
    assert said(await caller.xml(SCRIPT, "ml-addr-add-file-query", id=1))[0] == "not_exist"
    assert said(await caller.xml(SCRIPT, "ml-addr-add-file-query"))[0] == "error"


async def test_addresses_come_in_pages(caller: Caller) -> None:
    id_ = await a_list(caller)
    lines = "\n".join(f"reader{n}@example.org;{n}" for n in range(5))
    await caller.post(SCRIPT, "ml-addr-add", {"ml_addr": lines}, list_id=id_)
    sizes = []
    for page in (1, 2, 3, 4):
        answer = await caller.xml(SCRIPT, "ml-addr-list", list_id=id_, page=page, limit=2)
        assert answer.findtext("total_num") == "5"
        sizes.append(len(answer.findall("addr")))
    assert sizes == [2, 2, 1, 0]
    assert (await caller.xml(SCRIPT, "ml-addr-list", keyword="reader3")).findtext("addr/fullname") == "3"
    assert (await caller.xml(SCRIPT, "ml-addr-list", list_id=0)).findtext("total_num") == "0"


async def test_an_address_is_changed_and_deleted_and_a_list_emptied(caller: Caller) -> None:
    id_ = await a_list(caller)
    await caller.post(SCRIPT, "ml-addr-add", {"ml_addr": LINES}, list_id=id_)
    ann = (await caller.xml(SCRIPT, "ml-addr-list", keyword="ann")).findtext("addr/id")
    answer = await caller.post(SCRIPT, "ml-addr-edit", {"address": "anna@example.org", "var1": ""}, id=ann)
    assert said(answer)[0] == "success"
    changed = await caller.xml(SCRIPT, "ml-addr-list", address_id=ann)
    assert [changed.findtext(f"addr/{name}") for name in ("address", "fullname", "var1", "var2")] == [
        "anna@example.org", "安", "", "two",
    ]  # fmt: skip
    assert said(await caller.xml(SCRIPT, "ml-addr-edit", id=ann, address="bob@example.org"))[0] == "error"
    assert said(await caller.xml(SCRIPT, "ml-addr-del", id=ann))[0] == "success"
    assert said(await caller.xml(SCRIPT, "ml-addr-del", id=ann))[0] == "not_exist"
    assert said(await caller.xml(SCRIPT, "ml-addr-empty", list_id=id_))[0] == "success"
    assert (await caller.xml(SCRIPT, "ml-addr-list", list_id=id_)).findtext("total_num") == "0"


@pytest.mark.parametrize(
    "query",
    [
        {"maillist": "ann@example.org,安;bob@example.org，博;"},
        {"maillist": "ann@example.org\t安\nbob@example.org,博\n"},
    ],
)
async def test_subscribing_and_unsubscribing(caller: Caller, query: dict[str, str]) -> None:
    id_ = await a_list(caller)
    assert said(await caller.xml(SCRIPT, "ml-sub", list_id=id_, address="cleo@example.org"))[0] == "success"
    assert said(await caller.post(SCRIPT, "ml-sub", query, list_id=id_)) == ("success", "成功订阅2个地址")
    assert await caller.lines(SCRIPT, "subscription-export", id=id_) == [
        "cleo@example.org\tcleo",
        "ann@example.org\t安",
        "bob@example.org\t博",
    ]
    assert said(await caller.xml(SCRIPT, "ml-unsub", list_id=id_, address="ann@example.org,bob@example.org")) == (
        "success",
        "成功退订2个地址",
    )
    assert said(await caller.xml(SCRIPT, "ml-unsub", list_id=id_, address="ann@example.org"))[0] == "not_exist"
    assert await caller.lines(SCRIPT, "subscription-export", id=id_) == ["cleo@example.org\tcleo"]
    assert await caller.lines(SCRIPT, "unsubscribe-export", id=id_) == [
        "2026-03-02 12:00:00\tann@example.org",
        "2026-03-02 12:00:00\tbob@example.org",
    ]


async def test_a_reader_unsubscribes_without_a_call(caller: Caller) -> None:
    id_ = await a_list(caller)
    await caller.xml(SCRIPT, "ml-sub", list_id=id_, address="ann@example.org")
    caller.platform.state.unsubscribe(id_, "ann@example.org")
    assert await caller.lines(SCRIPT, "unsubscribe-export", id=id_) == ["2026-03-02 12:00:00\tann@example.org"]
    assert await caller.lines(SCRIPT, "subscription-export", id=id_) == []

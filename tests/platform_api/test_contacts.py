"""Chapter 4: which requests are made of lists and addresses, and what is read of the answers."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

import smtprelay.contacts.platform_line
from smtprelay.contacts import FIELDS, Contact, write_line
from smtprelay.contacts.platform_line import read_line
from smtprelay.platform import CallFailed, UnreadableAnswer
from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, Upload
from smtprelay.platform.contact_values import (
    Address,
    ContactList,
    ListStatus,
    Sex,
    Subscriber,
    Unsubscribed,
    UploadState,
)
from smtprelay.platform.contacts import Contacts
from smtprelay.platform.result import Result
from smtprelay.platform.statuses import Status
from smtprelay.values import SHANGHAI


def xml(text: str) -> Answer:
    return Answer(text.encode())


def outcome(status: str, data: str = "") -> Answer:
    return xml(f"<result><status>{status}</status><data><![CDATA[{data}]]></data></result>")


def test_a_list_is_made_and_changed_by_post() -> None:
    made = Contacts.add_list.describe(None, "客户 & 朋友", description="2026")
    assert made.query == {"do": "maillist-add"}
    assert made.form == {"subject": "客户 & 朋友", "status": "enabled", "description": "2026"}
    assert made.read(outcome("success", "78")) == Result(Status.SUCCESS, 78)
    changed = Contacts.edit_list.describe(None, 78, status=ListStatus.DISABLED, description="")
    assert changed.query == {"do": "maillist-edit", "id": "78"}
    assert changed.form == {"status": "disabled", "description": ""}
    with pytest.raises(ValueError, match="nothing is given"):
        Contacts.edit_list.describe(None, 78)


@pytest.mark.parametrize(
    ("described", "query"),
    [
        (Contacts.lists.describe(None), {"do": "maillist-list"}),
        (Contacts.list.describe(None, 5), {"do": "maillist-detail", "id": "5"}),
        (Contacts.delete_list.describe(None, 5), {"do": "maillist-del", "id": "5"}),
        (Contacts.export.describe(None, 5), {"do": "subscription-export", "id": "5"}),
        (Contacts.unsubscribed.describe(None, 5), {"do": "unsubscribe-export", "id": "5"}),
        (Contacts.upload_state.describe(None, 5), {"do": "ml-addr-add-file-query", "id": "5"}),
        (Contacts.delete.describe(None, 5), {"do": "ml-addr-del", "id": "5"}),
        (Contacts.empty.describe(None, 5), {"do": "ml-addr-empty", "list_id": "5"}),
    ],
)
def test_what_is_asked_by_an_id(described: Call[object], query: dict[str, str]) -> None:
    assert (described.path, described.query, described.form) == ("mloperate.php", query, None)
    assert described.repeatable == query["do"].endswith(("list", "detail", "export", "query"))


def test_addresses_come_page_by_page() -> None:
    pages = Contacts.addresses.describe(None, 0, keyword="王")
    assert pages.size == 50
    assert pages.page(3).query == {"do": "ml-addr-list", "list_id": "0", "keyword": "王", "limit": "50", "page": "3"}
    one = Contacts.addresses.describe(None, address_id=9, limit=2)
    assert one.page(1).query == {"do": "ml-addr-list", "address_id": "9", "limit": "2", "page": "1"}
    assert one.size == 2


def test_an_address_is_added_and_changed_by_post() -> None:
    known: dict[str, Any] = {"sex": Sex.FEMALE, "birthday": date(1986, 8, 10), "variables": {1: "a;b", 10: ""}}
    added = Contacts.add.describe(None, 5, "wang@example.org", fullname="王芳", **known)
    assert added.query == {"do": "ml-addr-add", "list_id": "5", "return_id": "1"}
    sent = {"sex": "F", "birthday": "1986-08-10", "var1": "a;b", "var10": ""}
    assert added.form == {"address": "wang@example.org", "fullname": "王芳", **sent}
    assert not added.repeatable
    changed = Contacts.edit.describe(None, 9, address="li@example.org", phone="1", area="", **known)
    assert changed.query == {"do": "ml-addr-edit", "id": "9"}
    assert changed.form == {"address": "li@example.org", "phone": "1", "area": "", **sent}
    with pytest.raises(ValueError, match="nothing is given"):
        Contacts.edit.describe(None, 9)
    with pytest.raises(ValueError, match="there is no variable 11: they are 1 to 10"):
        Contacts.edit.describe(None, 9, variables={11: "x"})
    for address in ("li", ""):
        with pytest.raises(ValueError, match="not an address"):
            Contacts.edit.describe(None, 9, address=address)


def test_many_are_added_as_lines() -> None:
    contacts = [
        Contact("wang@example.org", {"fullname": "王芳", "var10": 7}),
        Contact("li@example.org", {"color": ";"}),
    ]
    described = Contacts.add_many.describe(None, 5, contacts)
    assert described.query == {"do": "ml-addr-add", "list_id": "5", "addr_type": "string"}
    assert described.form == {"ml_addr": "wang@example.org;王芳;;;;;;;;;;;;;;7\nli@example.org;;;;;;;;;;;;;;;"}


def test_a_separator_of_ones_own_lets_values_have_line_breaks() -> None:
    contacts = [Contact("wang@example.org", {"area": "北京\n海淀", "var10": "a"}), Contact("li@example.org")]
    described = Contacts.add_many.describe(None, 5, contacts, separator="||")
    assert described.query == {"do": "ml-addr-add", "list_id": "5", "addr_type": "string", "separate": "||"}
    assert described.form
    assert described.form["ml_addr"].split("||") == [
        "wang@example.org;;;;;北京\n海淀;;;;;;;;;;a",
        "li@example.org;;;;;;;;;;;;;;;",
    ]
    for value in ("a||b", "a|"):  # the second would end with the first of three strokes
        with pytest.raises(ValueError, match=r"'li@example\.org': var10 is .*: a semicolon or '\|\|' would end it"):
            Contacts.add_many.describe(None, 5, [Contact("li@example.org", {"var10": value})], separator="||")


@pytest.mark.parametrize("separator", ["", ";", "a;"])
def test_what_would_part_fields_parts_no_contacts(separator: str) -> None:
    with pytest.raises(ValueError, match="cannot stand between contacts"):
        Contacts.add_many.describe(None, 5, [Contact("li@example.org")], separator=separator)


@pytest.mark.parametrize(
    ("sex", "birthday", "line"),
    [
        ("女", "1990/5/1", "F;1990-05-01"),
        ("男", "1990年12月31日", "M;1990-12-31"),
        ("Female", "1990-05-01", "F;1990-05-01"),
        ("m", "1990.5.1", "M;1990-05-01"),
        ("保密", "May 1st", "保密;May 1st"),
        ("", "", ";"),
    ],
)
def test_sex_and_birthday_go_as_the_document_writes_them(sex: str, birthday: str, line: str) -> None:
    """The fault: a column 性别 with 男 and 女 went as it was, where M and F are wanted; Excel's days likewise."""
    assert write_line(Contact("li@example.org", {"sex": sex, "birthday": birthday})).split(";", 2)[2].startswith(line)


@pytest.mark.parametrize("count", [0, 501])
def test_too_many_for_one_call_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 500 contacts go with one call; more go as a file"):
        Contacts.add_many.describe(None, 5, (Contact(f"{i}@example.org") for i in range(count)))
    assert Contacts.add_many.describe(None, 5, (Contact(f"{i}@example.org") for i in range(500)))


@pytest.mark.parametrize("value", ["a;b", "a\nb", "b\r", ["a"], {}])
def test_what_would_become_another_field_is_refused_with_whose_it_is(value: object) -> None:
    with pytest.raises(ValueError, match=r"'wang@example\.org': var2 is "):
        write_line(Contact("wang@example.org", {"var2": value}))


def test_a_line_comes_back() -> None:
    fields = {name: f"{name} 值" for name in FIELDS}
    assert read_line(write_line(Contact("wang@example.org", fields)), 7) == Contact("wang@example.org", fields, 7)
    assert doctest.testmod(smtprelay.contacts.platform_line).failed == 0


def test_a_file_goes_by_post(tmp_path: Path) -> None:
    def progress(sent: int, total: int) -> None:
        raise AssertionError

    described = Contacts.upload.describe(None, 5, tmp_path / "地址.txt", progress=progress)
    assert described.query == {"do": "ml-addr-add-file", "list_id": "5"}
    assert (described.form, described.progress) == ({}, progress)
    assert described.uploads == (Upload("file", "地址.txt", tmp_path / "地址.txt"),)
    assert described.read(outcome("success", "\n210586\n")).id == 210586


def test_how_far_a_file_is() -> None:
    read = Contacts.upload_state.describe(None, 1).read
    assert read(outcome("success", "解析完成")) is UploadState.FINISHED
    assert read(outcome("no_complete", "正在解析")) is UploadState.READING
    for status in ("not_exist", "error", "else"):
        with pytest.raises(CallFailed) as failed:
            read(outcome(status, "?"))
        assert (failed.value.status, failed.value.data) == (status, "?")


def test_addresses_subscribe_and_unsubscribe_by_post() -> None:
    names = {"Wang@Example.org": "王芳"}
    described = Contacts.subscribe.describe(None, 5, "Wang@Example.org", "li@example.org", names=names)
    assert described.query == {"do": "ml-sub", "list_id": "5"}
    assert described.form == {"maillist": "Wang@example.org\t王芳\nli@example.org\tli"}
    left = Contacts.unsubscribe.describe(None, 5, "wang@example.org", "li@example.org")
    assert left.query == {"do": "ml-unsub", "list_id": "5"}
    assert left.form == {"address": "wang@example.org\nli@example.org"}


@pytest.mark.parametrize("describe", [Contacts.subscribe.describe, Contacts.unsubscribe.describe])
def test_who_subscribes_has_an_address(describe: Callable[..., Call[object]]) -> None:
    with pytest.raises(ValueError, match="nothing is given"):
        describe(None, 5)
    with pytest.raises(ValueError, match="not an address"):
        describe(None, 5, "wang@example.org,li@example.org")


@pytest.mark.parametrize("mark", ",;\t\n\r")
def test_a_name_that_would_be_read_as_another_subscriber_is_refused(mark: str) -> None:
    with pytest.raises(ValueError, match="must be without commas"):
        Contacts.subscribe.describe(None, 5, "li@example.org", names={"li@example.org": f"Li{mark}Na"})


def test_a_name_of_nobody_is_told() -> None:
    """The fault: one that was meant for an address with a slip in it was left out in silence."""
    with pytest.raises(ValueError, match=r"there is a name for 'lii@example\.org', which is not among the addresses"):
        Contacts.subscribe.describe(None, 5, "li@example.org", names={"lii@example.org": "李娜"})


LIST = "<id>5</id><subject>客户</subject><description/><count>1,200</count><status>enabled</status>"


def test_lists_of_none_of_one_and_of_several() -> None:
    expected = ContactList(5, "客户", "", 1200, ListStatus.ENABLED)
    lists, one = Contacts.lists.describe(None).read, Contacts.list.describe(None, 5).read
    assert lists(xml("<maillist></maillist>")) == []
    assert lists(xml(f"<item>{LIST}</item>")) == [expected]
    assert lists(xml(f"<maillist><item>{LIST}</item><item>{LIST}</item></maillist>")) == [expected] * 2
    for text in (f"<maillist>{LIST}</maillist>", f"<maillist><item>{LIST}</item></maillist>", f"<item>{LIST}</item>"):
        assert one(xml(text)) == expected


def test_the_export_has_names_or_none() -> None:
    read = Contacts.export.describe(None, 5).read
    assert read(Answer("\ufeffa@example.org\t王芳\r\nb@example.org\r\n\r\nnobody\t\n".encode())) == [
        Subscriber("a@example.org", "王芳"),
        Subscriber("b@example.org", ""),
        Subscriber("nobody", ""),
    ]
    assert read(Answer(b"")) == []
    with pytest.raises(UnreadableAnswer, match="a line should be address, tab, name: 'no such list'"):
        read(Answer(b"no such list"))


@pytest.mark.parametrize("line", ["2018-08-22 10:11:12\ta@example.org", "a@example.org\t 2018-08-22 10:11:12"])
def test_who_unsubscribed_is_found_whichever_comes_first(line: str) -> None:
    at = datetime(2018, 8, 22, 10, 11, 12, tzinfo=SHANGHAI)
    read = Contacts.unsubscribed.describe(None, 5).read
    assert read(Answer(f"{line}\n{line}\n".encode())) == [Unsubscribed("a@example.org", at)] * 2


def test_one_line_without_a_proper_address_or_time_does_not_hide_the_others() -> None:
    lines = "2018-08-22 10:11:12\tnobody\n0000-00-00 00:00:00\ta@example.org\nb@example.org\n"
    found = Contacts.unsubscribed.describe(None, 5).read(Answer(lines.encode()))
    assert [each.address for each in found] == ["nobody", "a@example.org", "b@example.org"]
    assert [each.at is None for each in found] == [False, True, True]


@pytest.mark.parametrize("line", ["no such list", "when?\ta@example.org", "2018-08-22\t"])
def test_a_line_that_tells_neither_time_nor_address_is_refused(line: str) -> None:
    with pytest.raises(UnreadableAnswer):
        Contacts.unsubscribed.describe(None, 5).read(Answer(line.encode()))


@pytest.mark.parametrize("birthday", ["brithday", "birthday"])
def test_a_birthday_is_found_under_both_names(birthday: str) -> None:
    variables = "".join(f"<var{i}>变量 {i}</var{i}>" for i in range(1, 11))
    row = "<addr><id>9</id><list_id>0</list_id><address>![CDATA[a@example.org]]</address>"
    row += f"<{birthday}>1986-08-15</{birthday}>"
    row += f"<phone>1</phone><area/><fullname>王 & 李</fullname ><time>2018-08-22 10:11</time>{variables}</addr>"
    expected = Address(
        id=9,
        list_id=0,
        address="a@example.org",
        fullname="王 & 李",
        birthday="1986-08-15",
        phone="1",
        area="",
        added=datetime(2018, 8, 22, 10, 11, tzinfo=SHANGHAI),
        variables=tuple(f"变量 {i}" for i in range(1, 11)),
    )
    read = Contacts.addresses.describe(None).page(1).read
    assert read(xml(f"<data><total_num>2</total_num >{row}{row}</data>")) == [expected] * 2
    assert read(xml(row)) == [expected]
    assert read(xml("<data><total_num>0</total_num></data>")) == []


@pytest.mark.parametrize(
    "status",
    [
        "add_maillist_error", "add_describe_error", "update_maillist_error", "update_describe_error",
        "delete_address_error", "delete_describe_error", "delete_maillist_error",
    ],
)  # fmt: skip
def test_every_documented_refusal_has_its_meaning(status: str) -> None:
    with pytest.raises(CallFailed, match=f"the platform says {status}: the ") as failed:
        Contacts.add_list.describe(None, "x").read(outcome(status, "失败"))
    assert failed.value.status.is_documented
    assert failed.value.status.chinese

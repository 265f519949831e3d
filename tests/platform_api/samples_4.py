"""The answers of chapter 4."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from smtprelay.platform.contact_values import Address, ContactList, ListStatus, Subscriber, UploadState
from smtprelay.platform.contacts import Contacts
from smtprelay.platform.result import Result
from smtprelay.platform.statuses import Status
from smtprelay.values import SHANGHAI
from tests.platform_api.sample import Refused, Sample

NO_ID = Refused("<id> should be a number: '联系人分类 ID'")
NO_STATUS = Refused("the platform says 执行结果标识符")
LIST = {"id": "78", "subject": "客户", "description": "买过的", "count": "1200", "status": "disabled"}
THE_LIST = ContactList(id=78, name="客户", description="买过的", count=1200, status=ListStatus.DISABLED)
VARIABLES = tuple(f"变量 {i}" for i in range(1, 11))
ADDRESS = Address(
    id=9,
    list_id=78,
    address="wang@example.org",
    fullname="王芳",
    birthday="1986-08-15",
    phone="13528775736",
    area="深圳市福田区科技园中路 3 号",
    added=datetime(2018, 8, 22, 10, 11, 12, tzinfo=SHANGHAI),
    variables=VARIABLES,
)
UPLOAD = Contacts.upload.describe(None, 78, Path("address.txt"))

SAMPLES = [
    Sample("4.1.lists", Contacts.lists.describe(None), verbatim=NO_ID, fields=LIST, value=[THE_LIST]),
    Sample("4.2.list", Contacts.list.describe(None, 78), verbatim=NO_ID, repaired=NO_ID, fields=LIST, value=THE_LIST),
    Sample(
        "4.3.add_list",
        Contacts.add_list.describe(None, "客户"),
        verbatim=NO_STATUS,
        fields={"status": "success", "data": "78"},
        value=Result(Status.SUCCESS, 78),
    ),
    Sample(
        "4.4.edit_list",
        Contacts.edit_list.describe(None, 78, name="客户"),
        verbatim=NO_STATUS,
        fields={"status": "success", "data": "修改联系人分类成功"},
        value=Result(Status.SUCCESS, 0, "修改联系人分类成功"),
    ),
    Sample(
        "4.5.delete_list",
        Contacts.delete_list.describe(None, 78),
        verbatim=NO_STATUS,
        fields={"status": "delete_maillist_error", "data": "没有权限"},
        value=Refused("delete_maillist_error: the contact list could not be deleted (4.5) (没有权限)"),
    ),
    Sample(
        "4.6.export",
        Contacts.export.describe(None, 78),
        verbatim=Refused("a line should be address, tab, name"),
        repaired=[Subscriber("邮件地址", "用户名称")],
    ),
    Sample(
        "4.7.unsubscribed",
        Contacts.unsubscribed.describe(None, 78),
        verbatim=Refused("a line should be time, tab, address"),
        repaired=Refused("<time> should be a date: '退订时间'"),
    ),
    Sample(
        "4.8.addresses",
        Contacts.addresses.describe(None, 78).page(1),
        verbatim=Refused("<id> should be a number: '地址 id'"),
        repaired=Refused("<id> should be a number: '地址 id'"),
        fields={
            "total_num": "2",
            "id": "9",
            "list_id": "78",
            "address": "wang@example.org",
            "brithday": "1986-08-15",
            "phone": "13528775736",
            "area": "深圳市福田区科技园中路 3 号",
            "fullname": "王芳",
            "time": "2018-08-22 10:11:12",
            **{f"var{i}": value for i, value in enumerate(VARIABLES, 1)},
        },
        value=[ADDRESS, ADDRESS],
    ),
    Sample(
        "4.9.3.upload",
        UPLOAD,
        verbatim=Refused("the answer breaks off within CDATA"),
        repaired=Result(Status.SUCCESS, 10),
    ),
    Sample("4.9.3.upload.example", UPLOAD, verbatim=Result(Status.SUCCESS, 210586)),
    Sample("4.9.4.upload_state", Contacts.upload_state.describe(None, 10), verbatim=UploadState.FINISHED),
]

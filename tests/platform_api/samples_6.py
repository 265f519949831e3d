"""The answers of chapter 6."""

from __future__ import annotations

from datetime import datetime

from smtprelay.platform.statistics import AddressType, SendState, TrackState
from smtprelay.platform.task_values import Sender, Task, UsedTemplate
from smtprelay.platform.tasks import Tasks
from smtprelay.values import SHANGHAI
from tests.platform_api.sample import Refused, Sample

SAMPLES = [
    Sample(
        "6.1.list",
        Tasks.list.describe(None).page(1),
        verbatim=Refused("<id> should be a number: '任务 id'"),
        fields={
            "id": "19124",
            "sn": "20120302-362-F9B1E5",
            "acct_type": "address",
            "acct_domain": "",
            "acct_address": "news@example.com",
            "sender": "news@example.com",
            "replyto": "answers@example.com",
            "sender_name": "新闻",
            "tpl_id": "8",
            "tpl_name": "三月",
            "addr_type": "0",
            "list_id": "9",
            "list_name": "客户",
            "send_qty": "500",
            "send_qty_remak": "480",
            "send_time": "2012-03-02 08:00:00",
            "time_start": "2012-03-02 08:00:05",
            "time_end": "0000-00-00 00:00:00",
            "send_count": "470",
            "error_count": "10",
            "send_status": "2",
            "track_status": "1",
        },
        value=[
            Task(
                id=19124,
                ident="20120302-362-F9B1E5",
                sender=Sender.address("news@example.com"),
                sender_address="news@example.com",
                sender_name="新闻",
                reply_to="answers@example.com",
                templates=(UsedTemplate(8, "三月"), UsedTemplate(8, "三月")),
                address_type=AddressType.CONTACTS,
                list_id=9,
                list_name="客户",
                ordered=500,
                addresses=480,
                due=datetime(2012, 3, 2, 8, tzinfo=SHANGHAI),
                began=datetime(2012, 3, 2, 8, 0, 5, tzinfo=SHANGHAI),
                ended=None,
                sent=470,
                unsent=10,
                state=SendState.SENDING,
                tracking=TrackState.OPENS,
            )
        ],
    ),
]

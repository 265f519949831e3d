"""The answers of chapter 2."""

from __future__ import annotations

from datetime import date, datetime

from smtprelay.platform.failures import Failure, Failures, FailureType
from smtprelay.platform.statistics import (
    AddressType,
    Batch,
    DayStatistics,
    Deduction,
    SendState,
    Statistics,
    TrackState,
    WebTask,
)
from smtprelay.values import SHANGHAI
from tests.platform_api.sample import Refused, Sample

DAY = date(2012, 3, 2)
NO_JSON = Refused("JSON was expected, and something else came")  # but for three dots it is some
REJECTED = [
    Failure("1595936793@qq.com", FailureType.USER_REJECT, 1036770),
    Failure("1595936793@qq.com", FailureType.USER_REJECT, 1036885),
]
INVALID = [
    Failure("550317164@qq.com", FailureType.INVALID_ADDRESS, 1037645),
    Failure("3085392966@qq.com", FailureType.INVALID_ADDRESS, 1037645),
]

SAMPLES = [
    Sample(
        "2.1.web_tasks",
        Statistics.web_tasks.describe(None, DAY),
        verbatim=Refused("<id> should be a number: '发送任务 send ID'"),
        repaired=Refused("<id> should be a number: '发送任务 send ID'"),
        fields={
            "id": "7",
            "sn": "20120302-362-F9B1E5",
            "sender": "news@example.com",
            "sender_name": "新闻",
            "replyto": "answers@example.com",
            "tpl_id": "8",
            "tpl_name": "三月",
            "addr_type": "1",
            "list_id": "9",
            "list_name": "订阅者",
            "send_qty": "500",
            "send_qty_remak": "600",
            "send_time": "2012-03-02 08:00:00",
            "send_satus": "3",
            "time_start": "2012-03-02 08:00:05",
            "time_end": "2012-03-02 08:10",
            "send_count": "490",
            "error_count": "10",
            "track_status": "2",
        },
        value=[
            WebTask(
                id=7,
                ident="20120302-362-F9B1E5",
                sender="news@example.com",
                sender_name="新闻",
                reply_to="answers@example.com",
                template_id=8,
                template_name="三月",
                address_type=AddressType.SUBSCRIBERS,
                list_id=9,
                list_name="订阅者",
                ordered=500,
                addresses=600,
                due=datetime(2012, 3, 2, 8, tzinfo=SHANGHAI),
                state=SendState.SENT,
                began=datetime(2012, 3, 2, 8, 0, 5, tzinfo=SHANGHAI),
                ended=datetime(2012, 3, 2, 8, 10, tzinfo=SHANGHAI),
                sent=490,
                unsent=10,
                tracking=TrackState.CLICKS,
            )
        ],
    ),
    Sample(
        "2.2.day",
        Statistics.day.describe(None, DAY),
        verbatim=Refused("<date> should be a date: '日期'"),
        fields={
            "date": "2012-03-02",
            "ws_qty": "1",
            "ws_error": "2",
            "ws_count": "3",
            "invalid_addr": "4",
            "format_error": "5",
            "send_count": "6",
            "deduc_count": "7",
            "actual_send": "8",
            "send_error": "9",
            "actual_deduc": "10",
        },
        value=DayStatistics(
            day=DAY,
            web_planned=1,
            web_failed=2,
            web_sent=3,
            invalid=4,
            malformed=5,
            planned=6,
            planned_deduction=7,
            sent=8,
            failed=9,
            deducted=10,
        ),
    ),
    Sample("2.3.1.addresses.xml", Failures.addresses.describe(None, DAY), verbatim=["violatte@coolreall.com"]),
    Sample(
        "2.3.1.addresses.json",
        Failures.addresses.describe(None, DAY),
        verbatim=NO_JSON,
        repaired=["1595936793@qq.com", "1595936793@qq.com"],
    ),
    Sample(
        "2.3.2.all.csv",
        Failures.all.describe(None, DAY),
        verbatim=[*REJECTED, *INVALID],  # a table, whose columns the text has with tabs between them
        repaired=[*REJECTED, *INVALID],
    ),
    Sample(
        "2.3.2.all.xml",
        Failures.all.describe(None, DAY),
        verbatim=[Failure("violatte@coolreall.com", FailureType.USER_REJECT, 1025694)],
    ),
    Sample("2.3.2.all.json", Failures.all.describe(None, DAY), verbatim=NO_JSON, repaired=REJECTED),
    Sample(
        "2.4.batches",
        Statistics.batches.describe(None, DAY),
        verbatim=Refused("<task_id> should be a number: '任务id'"),
        fields={
            "task_id": "1036770",
            "task_date": "2012-03-02",
            "task_ident": "20120302-362-F9B1E5",
            "totalsum": "1",
            "total": "2",
            "invalid": "3",
            "failed": "4",
            "success": "5",
            "email_not_exist": "6",
            "actual": "7",
            "over_quota": "8",
            "user_reject": "9",
            "rubbish": "10",
        },
        value=[
            Batch(
                task_id=1036770,
                day=DAY,
                ident="20120302-362-F9B1E5",
                planned=1,
                sent=2,
                invalid=3,
                failed=4,
                delivered=5,
                not_exist=6,
                over_quota=8,
                user_reject=9,
                spam=10,
                deducted=7,
            )
        ],
    ),
    Sample(
        "2.5.deductions",
        Statistics.deductions.describe(None, DAY),
        verbatim=Refused("<date> should be a date: '日期'"),
        repaired=Refused("<date> should be a date: '日期'"),
        fields={
            "date": "2012-03-02",
            "company": "例子公司",
            "deduction": "SMTP",
            "send_num": "1,234",
            "total": "1200",
        },
        value=[Deduction(day=DAY, company="例子公司", kind="SMTP", sent=1234, deducted=1200)],
    ),
]

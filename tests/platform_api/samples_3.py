"""The answers of chapter 3. The document prints none of 3.4."""

from __future__ import annotations

from datetime import datetime

from smtprelay.platform.tracking import Click, Link, Open, Overview, Tracking
from smtprelay.values import SHANGHAI
from tests.platform_api.sample import Refused, Sample

TIMES = {
    "open_first": "2012-03-02 09:00:00",
    "open_last": "2012-03-03 10:00:00",
    "click_first": "2012-03-02 09:01:00",
    "click_last": "2012-03-03 10:01:00",
}
OPEN_FIRST, OPEN_LAST = datetime(2012, 3, 2, 9, tzinfo=SHANGHAI), datetime(2012, 3, 3, 10, tzinfo=SHANGHAI)
CLICK_FIRST, CLICK_LAST = datetime(2012, 3, 2, 9, 1, tzinfo=SHANGHAI), datetime(2012, 3, 3, 10, 1, tzinfo=SHANGHAI)
CLICKED = {name: when for name, when in TIMES.items() if name.startswith("click")}
LINK = Link(
    id=5,
    link="https://example.com/?a=1",
    click_unique=30,
    click_total=40,
    click_first=CLICK_FIRST,
    click_last=CLICK_LAST,
)
LINK_FIELDS = {"link_id": "5", "link": "https://example.com/?a=1", "click_unique": "30", "click_total": "40", **CLICKED}

SAMPLES = [
    Sample(
        "3.1.overview",
        Tracking.overview.describe(None, 7),
        verbatim=Refused("<track_id> should be a number: '跟踪统计 id'"),
        repaired=Refused("<track_id> should be a number: '跟踪统计 id'"),
        fields={
            "track_id": "1",
            "task_id": "1036770",
            "task_sn": "20120302-362-F9B1E5",
            "send_id": "7",
            "send_count": "100",
            "real_send_count": "90",
            "error_send_count": "10",
            "open_unique": "50",
            "open_total": "60",
            "open_ratio": "55.56%",
            "click_ratio": "33.33%",
            **TIMES,
            **LINK_FIELDS,
        },
        value=Overview(
            track_id=1,
            task_id=1036770,
            ident="20120302-362-F9B1E5",
            send_id=7,
            sent=100,
            delivered=90,
            failed=10,
            open_unique=50,
            open_total=60,
            open_first=OPEN_FIRST,
            open_last=OPEN_LAST,
            click_unique=30,
            click_total=40,
            click_first=CLICK_FIRST,
            click_last=CLICK_LAST,
            open_ratio="55.56%",
            click_ratio="33.33%",
            links=(LINK,),
        ),
    ),
    Sample(
        "3.2.opens",
        Tracking.opens.describe(None, 7),
        verbatim=Refused("<email_id> should be a number: '邮箱 id'"),
        fields={
            "email_id": "3",
            "email": "reader@example.com",
            "browser": "Chrome",
            "os": "Windows 7",
            "ip_first": "192.0.2.1",
            "ip_last": "192.0.2.2",
            "open_total": "4",
            "click_total": "2",
            **TIMES,
        },
        value=[
            Open(
                email_id=3,
                email="reader@example.com",
                browser="Chrome",
                os="Windows 7",
                ip_first="192.0.2.1",
                ip_last="192.0.2.2",
                open_total=4,
                click_total=2,
                open_first=OPEN_FIRST,
                open_last=OPEN_LAST,
                click_first=CLICK_FIRST,
                click_last=CLICK_LAST,
            )
        ],
    ),
    Sample(
        "3.3.clicks",
        Tracking.clicks.describe(None, 7),
        verbatim=Refused("<click_id> should be a number: '点击 id'"),
        fields={
            "click_id": "4",
            "email": "reader@example.com",
            "link": "https://example.com/?a=1",
            "click_unique": "1",
            "click_total": "2",
            **CLICKED,
        },
        value=[
            Click(
                id=4,
                email="reader@example.com",
                link="https://example.com/?a=1",
                click_unique=1,
                click_total=2,
                click_first=CLICK_FIRST,
                click_last=CLICK_LAST,
            )
        ],
    ),
    Sample(
        "3.5.links",
        Tracking.links.describe(None, 7),
        verbatim=Refused("<link_id> should be a number: '链接 id'"),
        repaired=Refused("<link_id> should be a number: '链接 id'"),
        fields=LINK_FIELDS,
        value=[LINK],
    ),
]

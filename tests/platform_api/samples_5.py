"""The answers of chapter 5."""

from __future__ import annotations

from datetime import datetime

from smtprelay.platform.result import Result
from smtprelay.platform.statuses import Status
from smtprelay.platform.task_values import Sender, Start
from smtprelay.platform.tasks import Tasks
from smtprelay.platform.template_values import (
    AttachedFile,
    CheckStatus,
    Colour,
    Subject,
    Template,
    TemplateState,
)
from smtprelay.platform.templates import Templates
from smtprelay.values import SHANGHAI
from tests.platform_api.sample import Refused, Sample

CREATE = Tasks.create.describe(None, 16, 5, Sender.all(), "新闻", start=Start.NOW)

SAMPLES = [
    Sample(
        "5.1.create",
        CREATE,
        verbatim=Result(Status.SUCCESS, 0, "添加群发任务成功!"),
        repaired=Result(Status.SUCCESS, 0, "添加群发任务成功!"),
        fields={"status": "success", "id": "19124", "data": "添加群发任务成功!"},
        value=Result(Status.SUCCESS, 19124, "添加群发任务成功!"),
    ),
    Sample(
        "5.1.create.error",
        CREATE,
        verbatim=Refused("the platform says 错误状态 (错误描述)"),
        fields={"status": "error", "data": "模板没有通过检测"},
        value=Refused("(模板没有通过检测)"),
    ),
    Sample(
        "5.3.status",
        Templates.status.describe(None, 53),
        verbatim=TemplateState(
            id=53,
            name="模板名称",
            status=CheckStatus.PASSED,
            colour=Colour.GREEN,
            updated=datetime(2017, 11, 11, 11, 11, 11, tzinfo=SHANGHAI),
            size=78,
            subjects=("模板主题",),
        ),
    ),
    Sample(
        "5.4.list",
        Templates.list.describe(None),
        verbatim=Refused("<user_id> should be a number: '模板 id'"),
        repaired=Refused("<user_id> should be a number: '模板 id'"),
        fields={
            "id": "53",
            "user_id": "7",
            "name": "三月",
            "content": "<![CDATA[<p>{FULLNAME} & 您</p>]]>",
            "content_type": "html",
            "atta_id": "8",
            "atta_name": "三月.pdf",
            "created": "2012-12-06 10:11:12",
            "updated": "2017-11-11 11:11",
        },
        value=[
            Template(
                id=53,
                user_id=7,
                name="三月",
                subjects=(Subject(53, "三月"), Subject(53, "三月")),
                content="<p>{FULLNAME} & 您</p>",
                content_type="html",
                attachments=(AttachedFile(8, "三月.pdf"),),
                created=datetime(2012, 12, 6, 10, 11, 12, tzinfo=SHANGHAI),
                updated=datetime(2017, 11, 11, 11, 11, tzinfo=SHANGHAI),
            )
        ],
    ),
]

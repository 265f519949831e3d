"""Chapter 6 and 5.1: which requests are made of tasks, and what is checked before."""

from __future__ import annotations

import doctest
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

import smtprelay.platform.task_values
from smtprelay.platform import CallFailed
from smtprelay.platform.answer import Answer
from smtprelay.platform.read import parse_instant
from smtprelay.platform.statistics import SendState, TrackState
from smtprelay.platform.task_values import Sender, SenderKind, Start
from smtprelay.platform.tasks import Tasks
from smtprelay.values import SHANGHAI

NEWS = Sender.address("news@example.com")
NOON = datetime(2026, 11, 28, 12, 0, tzinfo=SHANGHAI)


def created(*args: Any, **options: Any) -> dict[str, str]:
    form = Tasks.create.describe(None, *(args or (16, 5, NEWS, "新闻", NOON)), **options).form
    assert form is not None
    return dict(form)


def test_a_task_goes_by_post() -> None:
    described = Tasks.create.describe(None, 16, 5, NEWS, "新闻", NOON)
    assert (described.path, described.query) == ("task.php", {"do": "add-task"})
    assert described.form == {
        "tpl_id": "16",
        "maillist_id": "5",
        "send_domain": "example.com",
        "send_account": "news@example.com",
        "send_fullname": "新闻",
        "send_qty_start": "1",
        "send_qty": "0",
        "status": "1",
        "time": "2026-11-28 12:00:00",
        "subs_link": "1",
        "track_status": "0",
    }
    assert (described.repeatable, described.hourly) == (False, 100)


def test_all_that_may_be_said_of_a_task() -> None:
    form = created(
        [1, 2, 78],
        5,
        NEWS,
        "新闻",
        NOON,
        start=Start.HOLD,
        first=10,
        last=100,
        unsubscribe_link=False,
        tracking=TrackState.CLICKS,
        track_domain="Track.Example",
        reply_to="answers@EXAMPLE.com",
    )
    assert form["tpl_id"] == "1,2,78"
    assert (form["send_qty_start"], form["send_qty"], form["status"]) == ("10", "100", "-1")
    assert (form["subs_link"], form["track_status"], form["track_domain"]) == ("0", "2", "track.example")
    assert form["send_replyto"] == "answers@example.com"


@pytest.mark.parametrize(
    ("sender", "domain", "account"),
    [
        (Sender.all(), "all", "all"),
        (Sender.domain("例子.example"), "xn--fsqu00a.example", "all"),
        (NEWS, "example.com", "news@example.com"),
    ],
)
def test_the_three_kinds_of_sender(sender: Sender, domain: str, account: str) -> None:
    form = created(16, 5, sender, "新闻", NOON)
    assert (form["send_domain"], form["send_account"]) == (domain, account)
    assert sender.kind.english
    assert sender.kind.chinese
    edited = Tasks.edit.describe(None, 7, sender=sender).form
    assert edited == {"send_domain": domain, "send_account": account}


def test_who_a_person_means() -> None:
    assert doctest.testmod(smtprelay.platform.task_values).failed == 0
    for wrong in ("", "everybody else", "@", "a@", "*@example.com "):
        with pytest.raises(ValueError):
            Sender.parse(wrong)
    with pytest.raises(ValueError, match="no kind of sender"):
        created(16, 5, Sender(SenderKind("group")), "新闻", NOON)


def test_times_are_those_of_shanghai() -> None:
    assert created(16, 5, NEWS, "新闻", datetime(2026, 11, 28, 4, 0, tzinfo=UTC))["time"] == "2026-11-28 12:00:00"


def test_a_time_without_a_zone_would_be_sent_at_another_hour_wherever_it_is_not_that_of_shanghai() -> None:
    with pytest.raises(ValueError, match="2026-11-28 04:00:00 where"):
        created(16, 5, NEWS, "新闻", datetime(2026, 11, 28, 4, 0))
    with pytest.raises(ValueError, match="Give `time` a zone"):
        Tasks.edit.describe(None, 7, time=datetime(2026, 11, 28, 4, 0))


def test_at_once_needs_no_time_and_is_not_past_on_arrival() -> None:
    now = datetime.now(SHANGHAI)
    form = created(16, 5, NEWS, "新闻", start=Start.NOW)
    assert form["status"] == "2"
    time = parse_instant(form["time"], "time")
    assert time is not None
    assert timedelta(seconds=30) < time - now < timedelta(minutes=5)
    assert created(start=Start.NOW)["time"] == "2026-11-28 12:00:00"
    edited = Tasks.edit.describe(None, 7, start=Start.NOW).form
    assert edited is not None
    assert edited["send_time"] > f"{now:%Y-%m-%d %H:%M:%S}"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"first": 0}, "`first` is counted from 1"),
        ({"first": 10, "last": 9}, "`last` comes after `first`, or is 0: all"),
        ({"last": -1}, "`last` comes after `first`, or is 0: all"),
        ({"track_domain": "a b"}, "a domain name is wanted"),
        ({"reply_to": "nobody"}, "is not an address"),
        ({"tpl_id": []}, "there is no template"),
        ({"sender_name": " "}, "the sender's name is empty"),
    ],
)
def test_what_cannot_be_right_is_not_asked_for(wrong: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"tpl_id": 16, "list_id": 5, "sender": NEWS, "sender_name": "新闻", "time": NOON}
    with pytest.raises(ValueError, match=words):
        Tasks.create.describe(None, **(given | wrong))
    with pytest.raises(ValueError, match=words):
        Tasks.edit.describe(None, 7, **wrong)


@pytest.mark.parametrize("start", [Start.WAIT, Start.HOLD])
def test_what_waits_needs_a_time(start: Start) -> None:
    with pytest.raises(ValueError, match=r"when\?"):
        created(16, 5, NEWS, "新闻", start=start)


def test_what_is_changed_has_names_of_its_own() -> None:
    described = Tasks.edit.describe(None, 7, start=Start.HOLD, time=NOON, unsubscribe_link=False, last=0, tpl_id=(1, 2))
    assert described.query == {"do": "edit-task", "id": "7"}
    assert described.form == {
        "send_status": "-1",
        "send_time": "2026-11-28 12:00:00",
        "time": "2026-11-28 12:00:00",
        "subs_link": "0",
        "send_qty": "0",
        "tpl_id": "1,2",
    }
    assert not described.repeatable
    with pytest.raises(ValueError, match="nothing is given"):
        Tasks.edit.describe(None, 7)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_has_rows(limit: int) -> None:
    """The fault: no task at all, or some, were told as if there were no others."""
    with pytest.raises(ValueError, match="a page has one row or more"):
        Tasks.list.describe(None, limit=limit)


def test_tasks_come_page_by_page() -> None:
    pages = Tasks.list.describe(None, date=date(2013, 1, 5), state=SendState.CANCELLED)
    assert pages.size == 30
    assert pages.page(2).query == {
        "do": "task-list",
        "date": "2013-01-05",
        "send_status": "-3",
        "limit": "30",
        "page": "2",
    }
    assert Tasks.list.describe(None, id=7, limit=1).page(1).query == {
        "do": "task-list",
        "id": "7",
        "limit": "1",
        "page": "1",
    }


def test_what_came_of_it() -> None:
    read = Tasks.create.describe(None, 16, 5, NEWS, "新闻", NOON).read
    answer = "<result><status>success</status><id>19124</id><data><![CDATA[添加群发任务成功!]]></data></result>"
    assert (read(Answer(answer.encode())).id, read(Answer(answer.encode())).data) == (19124, "添加群发任务成功!")
    with pytest.raises(CallFailed, match="error: a parameter is wrong"):
        read(Answer("<result><status>error</status><data>参数错误</data></result>".encode()))
    assert Tasks.delete.describe(None, 19124).query == {"do": "del-task", "id": "19124"}


@pytest.mark.parametrize("kind", ["all", "domain", "address", "group"])
@pytest.mark.parametrize(("state", "addresses"), [("send_status", "send_qty_remark"), ("send_satus", "send_qty_remak")])
def test_a_task_is_read_whoever_sends_it(kind: str, state: str, addresses: str) -> None:
    accounts = {"domain": "<acct_domain>a.example</acct_domain>", "address": "<acct_address>b@a.example</acct_address>"}
    text = f"<task><id>7</id><acct_type>{kind}</acct_type>{accounts.get(kind, '')}<{state}>-2</{state}>"
    text += f"<{addresses}>5</{addresses}><templates/></task>"
    [task] = Tasks.list.describe(None).page(1).read(Answer(text.encode()))
    assert task.sender == Sender(SenderKind(kind), {"domain": "a.example", "address": "b@a.example"}.get(kind, ""))
    assert (task.state, task.addresses, task.templates, task.due) == (SendState.PAUSED, 5, (), None)

"""2.1, 2.2, 2.4, 2.5 and chapter 3: what has to be given, and names that are misspelt or new."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call
from smtprelay.platform.errors import UnreadableAnswer
from smtprelay.platform.statistics import SendState, Statistics
from smtprelay.platform.tracking import Tracking

DAY = date(2012, 3, 2)
IDENT = "20120302-362-F9B1E5"


def test_the_tasks_of_a_day_or_one_task() -> None:
    describe = Statistics.web_tasks.describe
    assert describe(None, DAY).query == {"do": "list-task", "date": "2012-03-02"}
    assert describe(None, ident=IDENT).query == {"do": "list-task", "ident": IDENT}
    assert describe(None, id=7, state=SendState.PAUSED).query == {"do": "list-task", "id": "7", "state": "-2"}
    assert describe(None, DAY, state=SendState("4")).query["state"] == "4"


def test_not_two_of_day_batch_and_task_and_not_none() -> None:
    describe = Statistics.web_tasks.describe
    with pytest.raises(ValueError, match="give one of `date`, `ident` and `id`, and only one"):
        describe(None)
    with pytest.raises(ValueError, match="only one"):
        describe(None, DAY, id=7)


@pytest.mark.parametrize("state", ["5", "-6", "", "all"])
def test_a_state_is_a_small_number(state: str) -> None:
    with pytest.raises(ValueError, match="from -5 to 4"):
        Statistics.web_tasks.describe(None, DAY, state=SendState(state))


def test_a_batch_may_be_asked_for_with_its_day() -> None:
    describe = Statistics.batches.describe
    assert describe(None, DAY).query == {"date": "2012-03-02"}
    assert describe(None, DAY, ident=IDENT).query == {"date": "2012-03-02", "ident": IDENT}
    assert describe(None, id=7).query == {"id": "7"}
    with pytest.raises(ValueError, match="give `date`, `ident` or `id`"):
        describe(None)
    with pytest.raises(ValueError, match="not both"):
        describe(None, DAY, ident=IDENT, id=7)


@pytest.mark.parametrize(
    "describe", [getattr(Tracking, name).describe for name in ("overview", "opens", "clicks", "links")]
)
def test_tracking_is_of_a_task_or_a_batch(describe: Callable[..., Call[object]]) -> None:
    assert describe(None, 7).query["id"] == "7"
    assert describe(None, ident=IDENT).query["ident"] == IDENT
    for wrong in ({}, {"id": 7, "ident": IDENT}):
        with pytest.raises(ValueError, match="give one of `id` and `ident`, and only one"):
            describe(None, **wrong)


def test_what_is_exported_of_those_who_read() -> None:
    describe = Tracking.export.describe
    assert describe(None, 7).query == {"track_id": "7", "is_click": "0"}
    wanted = {"track_id": "7", "is_click": "1", "link_id": "8", "email_id": "9"}
    assert describe(None, 7, clicked=True, link_id=8, email_id=9).query == wanted
    assert describe(None, 7).read(Answer(b"a@example.com\r\n\r\nb@example.com\r\n")) == [
        "a@example.com",
        "b@example.com",
    ]
    assert describe(None, 7).read(Answer(b"")) == []
    with pytest.raises(
        UnreadableAnswer, match="addresses were expected, and something else came: '系统繁忙，请稍后再试'"
    ):
        describe(None, 7).read(Answer("系统繁忙，请稍后再试\n".encode()))


@pytest.mark.parametrize("names", [("send_satus", "send_qty_remak"), ("send_status", "send_qty_remark")])
def test_what_is_misspelt_is_found_and_what_is_not_too(names: tuple[str, str]) -> None:
    state, addresses = names
    body = f"<task_list><task><{state}>-1</{state}><{addresses}>1,234</{addresses}></task></task_list>"
    [task] = Statistics.web_tasks.describe(None, DAY).read(Answer(body.encode()))
    assert (task.state, task.addresses) == (SendState.NOT_YET, 1234)


def test_a_link_alone_is_not_taken_for_the_list_of_what_is_in_it() -> None:
    """It has a <link> in it, as a list of links has."""
    body = b"<link><link_id>7</link_id><link>https://example.com/</link><click_total>2</click_total></link>"
    [link] = Tracking.links.describe(None, 7).read(Answer(body))
    assert (link.id, link.link, link.click_total) == (7, "https://example.com/", 2)
    overview = Tracking.overview.describe(None, 7).read(Answer(b"<track><track_id>1</track_id>%s</track>" % body))
    assert overview.links == (link,)

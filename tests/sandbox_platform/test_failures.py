"""The addresses to which mail has failed, in each of their forms."""

from __future__ import annotations

from datetime import date

import pytest

from smtprelay.sandbox.platform import Quirk

from .conftest import Caller, said

TODAY, YESTERDAY = "2026-03-02", date(2026, 3, 1)


@pytest.fixture
async def failed(caller: Caller) -> Caller:
    state = caller.platform.state
    state.fail("old@example.org", "1", YESTERDAY)
    state.fail("ann@example.org", "1")
    state.fail("bob@example.org", "2")
    return caller


@pytest.fixture
def task_id(failed: Caller) -> int:
    return failed.platform.state.batches[-1].task_id


async def test_text_is_an_address_a_line(failed: Caller) -> None:
    for script in ("failexport.php", "failexportall.php"):
        assert await failed.lines(script, date=TODAY, type="all") == ["ann@example.org", "bob@example.org"]


async def test_a_file_has_tabs_and_a_head(failed: Caller, task_id: int) -> None:
    answer = await failed.get("failexportall.php", date=TODAY, type=-1, out_type="file")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.splitlines() == [
        "email\ttype\ttask_id",
        f"ann@example.org\t1\t{task_id}",
        f"bob@example.org\t2\t{task_id}",
    ]
    assert await failed.lines("failexport.php", date=TODAY, type="all", out_type="file") == [
        "email",
        "ann@example.org",
        "bob@example.org",
    ]


async def test_json_is_of_texts(failed: Caller, task_id: int) -> None:
    query = {"date": TODAY, "type": "over_quota", "task_id": str(task_id), "out_type": "json"}
    assert (await failed.get("failexport.php", **query)).json() == ["bob@example.org"]
    assert (await failed.get("failexportall.php", **query)).json() == [
        {"email": "bob@example.org", "type": "2", "task_id": str(task_id)}
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"date": "2026-03-01", "type": "all"}, ["old@example.org"]),
        (
            {"date": "2026-03-01", "date_end": TODAY, "type": "all"},
            ["old@example.org", "ann@example.org", "bob@example.org"],
        ),
        ({"date": TODAY, "type": "not_exist", "task_ident": "20260302-2369-SMTP"}, ["ann@example.org"]),
        ({"date": TODAY, "type": "all", "task_id": "1"}, []),
        ({"date": TODAY, "type": "8"}, []),
        ({"date": "2026-03-03", "type": "all"}, []),
    ],
)
async def test_what_is_asked_for_is_told(failed: Caller, query: dict[str, str], found: list[str]) -> None:
    assert await failed.lines("failexportall.php", **query) == found


@pytest.mark.parametrize(
    "query",
    [
        {"type": "all"},
        {"date": "2026-3-2", "type": "all"},
        {"date": "2026-13-02", "type": "all"},
        {"date": TODAY},
        {"date": TODAY, "type": "1"},
        {"date": TODAY, "type": "all", "out_type": "yaml"},
    ],
)
async def test_what_the_document_does_not_allow_is_refused(failed: Caller, query: dict[str, str]) -> None:
    assert said(await failed.xml("failexportall.php", **query))[0] == "error"


async def test_newer_answers_have_other_names(failed: Caller, task_id: int) -> None:
    failed.platform.state.fail("cleo@example.org", "4")
    failed.platform.quirks.add(Quirk.NEW_NAMES)
    query = {"date": TODAY, "type": "all", "out_type": "json"}
    _, bob, cleo = (await failed.get("failexportall.php", **query)).json()
    assert bob == {
        "email": "bob@example.org",
        "error_type": "2",
        "error_type_dec": "邮箱空间满",
        "task_id": str(task_id),
    }
    assert cleo["error_type"] == "4"

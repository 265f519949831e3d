"""It misbehaves as it is told, and lets nobody in who does not log in."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as PlainTree

import defusedxml
import httpx
import pytest
from defusedxml.ElementTree import fromstring

from smtprelay.sandbox.platform import Platform, Quirk

from .conftest import Caller, said

NAME = "茶 & 咖啡 <新>"


@pytest.fixture
async def one_list(caller: Caller) -> Caller:
    await caller.post("mloperate.php", "maillist-add", {"subject": NAME, "status": "enabled"})
    return caller


async def lists(caller: Caller, *quirks: Quirk) -> httpx.Response:
    caller.platform.quirks = set(quirks)
    return await caller.get("mloperate.php", "maillist-list")


async def test_a_wrong_password_is_told_by_a_page(caller: Caller) -> None:
    for auth in (("", ""), ("sandbox", "wrong"), ("other", "platform-sandbox-password")):
        answer = await caller.http.get("account.php", auth=auth)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert not caller.platform.requests


async def test_the_old_address_answers_too(caller: Caller) -> None:
    answer = await caller.get(caller.platform.url.replace("/apinew/", "/api/") + "account.php", "customer-info")
    assert fromstring(answer.content).findtext("username") == "sandbox"


async def test_what_was_asked_is_kept(caller: Caller) -> None:
    await caller.post("mloperate.php", "ml-sub", {"maillist": "ann@example.org"}, list_id=7)
    [request] = caller.platform.requests
    assert (request.script, request.do, request.get("list_id")) == ("mloperate.php", "ml-sub", "7")
    assert request.post("maillist") == "ann@example.org"


async def test_there_is_no_such_script(caller: Caller) -> None:
    assert (await caller.get("nothing.php")).status_code == 404


async def test_one_element_comes_without_its_list(one_list: Caller) -> None:
    root = fromstring((await lists(one_list, Quirk.LONE)).content)
    assert (root.tag, root.findtext("subject")) == ("item", NAME)
    await one_list.post("mloperate.php", "maillist-add", {"subject": "zwei", "status": "enabled"})
    assert len(fromstring((await lists(one_list, Quirk.LONE)).content)) == 2


async def test_one_element_comes_without_its_list_in_json(caller: Caller) -> None:
    caller.platform.state.fail("ann@example.org", "1")
    caller.platform.quirks.add(Quirk.LONE)
    answer = await caller.get("failexport.php", date="2026-03-02", type="all", out_type="json")
    assert answer.json() == "ann@example.org"


async def test_gbk_is_said_to_be_utf_8(one_list: Caller) -> None:
    answer = await lists(one_list, Quirk.GBK)
    assert b'encoding="UTF-8"' in answer.content
    assert "茶 &amp; 咖啡".encode("gbk") in answer.content
    with pytest.raises(PlainTree.ParseError):
        fromstring(answer.content)


async def test_ampersands_stay_bare(one_list: Caller) -> None:
    answer = await lists(one_list, Quirk.AMPERSAND)
    assert f"<subject>{NAME}</subject>" in answer.text


async def test_all_text_is_in_cdata_sections(one_list: Caller) -> None:
    answer = await lists(one_list, Quirk.CDATA)
    assert f"<subject><![CDATA[{NAME}]]></subject>" in answer.text
    assert fromstring(answer.content).findtext("item/subject") == NAME


@pytest.mark.parametrize(
    ("quirk", "status", "start"),
    [
        (Quirk.ERROR_PAGE, 200, "<html>"),
        (Quirk.BAD_GATEWAY, 502, "<html>"),
        (Quirk.PLAIN_ERROR, 200, "系统繁忙"),
    ],
)
async def test_an_error_in_place_of_an_answer(one_list: Caller, quirk: Quirk, status: int, start: str) -> None:
    answer = await lists(one_list, quirk)
    assert answer.status_code == status
    assert answer.text.startswith(start)


async def test_a_bomb(one_list: Caller) -> None:
    answer = await lists(one_list, Quirk.BOMB)
    with pytest.raises(defusedxml.EntitiesForbidden):
        fromstring(answer.content)


async def test_an_empty_answer(one_list: Caller) -> None:
    answer = await lists(one_list, Quirk.EMPTY)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_connection_breaks_in_the_middle(one_list: Caller) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await lists(one_list, Quirk.CUT)


async def test_a_slow_answer_is_of_a_call_that_was_made(one_list: Caller) -> None:
    one_list.http.timeout = httpx.Timeout(10.0, read=0.05)
    form = {"subject": "x", "status": "enabled"}
    one_list.platform.quirks.add(Quirk.SLOW)
    with pytest.raises(httpx.ReadTimeout):
        await one_list.post("mloperate.php", "maillist-add", form)
    await one_list.platform.wait_for(2)
    assert len(one_list.platform.state.lists) == 2


async def test_a_slow_answer_comes(one_list: Caller) -> None:
    one_list.platform.slowness = 0.05
    assert (await lists(one_list, Quirk.SLOW)).status_code == 200


async def test_some_things_go_wrong_once(caller: Caller) -> None:
    caller.platform.once.extend([Quirk.BAD_GATEWAY, Quirk.EMPTY])
    answers = [await caller.get("account.php", "service-info") for _ in range(3)]
    assert [(answer.status_code, bool(answer.content)) for answer in answers] == [
        (502, True),
        (200, False),
        (200, True),
    ]


async def test_an_error_in_place_of_an_answer_has_changed_nothing(caller: Caller) -> None:
    caller.platform.once.extend([Quirk.BAD_GATEWAY, Quirk.EMPTY])
    for _ in range(2):
        await caller.http.post("mloperate.php?do=maillist-add", data={"subject": "x", "status": "enabled"})
    assert len(caller.platform.state.lists) == 1


async def test_chapter_seven_may_read_the_query_alone(caller: Caller) -> None:
    caller.platform.quirks.add(Quirk.QUERY_ONLY)
    form = {"mailbox": "news@example.com", "pwd": "new"}
    assert said(await caller.post("bs.php", "mailbox-edit", form))[0] == "error"
    assert said(await caller.xml("bs.php", "mailbox-edit", **form))[0] == "success"
    assert len(await caller.post("bs.php", "domain-check", {"domains": "example.com"})) == 1


async def test_it_ends_though_somebody_waits() -> None:
    async with httpx.AsyncClient(verify=False) as http:
        async with Platform(quirks={Quirk.SLOW}) as platform:
            platform.slowness = 60.0
            call = http.get(f"{platform.url}account.php?do=service-info", auth=(platform.username, platform.password))
            asking = asyncio.create_task(call)
            await platform.wait_for(1)
        assert (await asking).status_code == 200

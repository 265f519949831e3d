"""A stand-in platform, and somebody who asks it with plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from xml.etree.ElementTree import Element

import httpx
import pytest
from defusedxml.ElementTree import fromstring

from smtprelay.sandbox.platform import Platform
from smtprelay.values import SHANGHAI

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=SHANGHAI)


class Caller:
    """Calls as `customer`, or as another."""

    def __init__(self, platform: Platform, http: httpx.AsyncClient) -> None:
        self.platform = platform
        self.http = http

    async def get(self, script: str, do: str = "", **query: object) -> httpx.Response:
        return await self.http.get(script, params=_query(do, query))

    async def xml(self, script: str, do: str = "", **query: object) -> Element:
        return fromstring((await self.get(script, do, **query)).content)

    async def lines(self, script: str, do: str = "", **query: object) -> list[str]:
        return (await self.get(script, do, **query)).text.splitlines()

    async def post(self, script: str, do: str, form: dict[str, str], **query: object) -> Element:
        return fromstring((await self.http.post(script, params=_query(do, query), data=form)).content)

    async def upload(self, script: str, do: str, form: dict[str, str], *files: tuple[str, str, bytes]) -> Element:
        """:param files: field, name and content of each."""
        parts = [(field, (name, content)) for field, name, content in files]
        return fromstring((await self.http.post(script, params=_query(do, {}), data=form, files=parts)).content)

    def as_manager(self) -> Caller:
        self.http.auth = httpx.BasicAuth(*self.platform.manager)
        return self


def _query(do: str, query: dict[str, object]) -> dict[str, str]:
    return {**({"do": do} if do else {}), **{name: str(value) for name, value in query.items()}}


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with Platform(mailboxes={"news@example.com": "secret"}) as platform:
        platform.state.now = lambda: NOON
        log_in = (platform.username, platform.password)
        async with httpx.AsyncClient(base_url=platform.url, auth=log_in, verify=False) as http:
            yield Caller(platform, http)


def said(answer: Element) -> tuple[str | None, str | None]:
    """Status and data of a ``<result>``."""
    assert answer.tag == "result"
    return answer.findtext("status"), answer.findtext("data")


def id_of(answer: Element) -> int:
    status, data = said(answer)
    assert status == "success"
    return int(data or "")


async def propose(caller: Caller, *addresses: str, content: str = "hello", **form: str) -> Element:
    """A list with these addresses, a template and a task. :returns: what was said to the task."""
    list_id = id_of(await caller.post("mloperate.php", "maillist-add", {"subject": "list", "status": "enabled"}))
    await caller.post("mloperate.php", "ml-addr-add", {"ml_addr": "\n".join(addresses)}, list_id=list_id)
    template = {"name": "t", "subject": "一|二", "content": content}
    tpl_id = id_of(await caller.post("template.php", "add-tpl", template))
    await caller.get("template.php", "get-tpl-status", tpl_id=tpl_id)
    task = {
        "tpl_id": str(tpl_id),
        "send_account": "news@example.com",
        "send_fullname": "新闻",
        "maillist_id": str(list_id),
        "time": "2026-3-2 12:00",
    }
    return await caller.post("task.php", "add-task", task | form)


async def campaign(caller: Caller, *addresses: str, content: str = "hello", **form: str) -> int:
    """The same, where it succeeds. :returns: the task's send_id."""
    answer = await propose(caller, *addresses, content=content, **form)
    assert answer.findtext("status") == "success"
    return int(answer.findtext("id") or "")

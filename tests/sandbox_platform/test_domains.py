"""Domains and the mailboxes on them, the manager's calls too."""

from __future__ import annotations

import httpx
import pytest

from smtprelay.sandbox.nameserver import NameServer
from smtprelay.sandbox.platform import Platform

from .conftest import Caller, said

SET_UP = (
    'new.example.com. IN TXT "v=spf1 include:spf.bes" "tedm.org -all"',
    "new.example.com. IN MX 10 mail.bestedm.org.",
)


async def checked(caller: Caller, domains: str) -> list[tuple[str | None, ...]]:
    answer = await caller.post("bs.php", "domain-check", {"domains": domains})
    return [tuple(domain.findtext(name) for name in ("val", "status", "info")) for domain in answer]


async def listed(caller: Caller, do: str, name: str, **query: object) -> list[str | None]:
    return [data.findtext(name) for data in await caller.xml("bs.php", do, **query)]


async def test_a_domain_is_added_checked_and_deleted(caller: Caller) -> None:
    caller.platform.set_up |= {"new.example.com", "elsewhere.test"}
    assert said(await caller.xml("bs.php", "customer-domain-add", domain="wrong.example.com"))[0] == "success"
    status, _ = said(await caller.xml("bs.php", "customer-domain-add", domain="new.example.com"))
    assert status == "success_and_check_ok"
    assert await checked(caller, "new.example.com,wrong.example.com, elsewhere.test,nowhere.test") == [
        ("new.example.com", "3", "添加成功并验证通过"),
        ("wrong.example.com", "2", "添加成功但验证不通过"),
        ("elsewhere.test", "1", "系统不存在但验证通过"),
        ("nowhere.test", "0", "系统不存在并验证不通过"),
    ]
    assert await listed(caller, "domain-list", "domain") == [
        "bestedm.org",
        "example.com",
        "wrong.example.com",
        "new.example.com",
    ]
    assert said(await caller.xml("bs.php", "customer-domain-add", domain="new.example.com"))[0] == "error"
    assert said(await caller.xml("bs.php", "customer-domain-del", domain="new.example.com")) == (
        "error",
        "已经验证通过的域名不能删除",
    )
    assert said(await caller.xml("bs.php", "customer-domain-del", domain="wrong.example.com"))[0] == "success"
    assert said(await caller.xml("bs.php", "customer-domain-del", domain="bestedm.org"))[0] == "not_exist"


async def test_a_domain_is_set_up_when_the_dns_of_the_sandbox_says_so() -> None:
    dns = NameServer(SET_UP[0])
    async with Platform(dns=dns) as platform:
        login = (platform.username, platform.password)
        async with httpx.AsyncClient(base_url=platform.url, auth=login, verify=False) as http:
            caller = Caller(platform, http)
            assert (await checked(caller, "new.example.com"))[0][1] == "0"
            dns.publish(SET_UP[1])
            assert (await checked(caller, "new.example.com"))[0][1] == "1"


async def test_some_calls_are_the_managers(caller: Caller) -> None:
    query = {"customer_id": 7, "domain": "theirs.test"}
    assert said(await caller.xml("bs.php", "domain-add", **query)) == ("error", "管理员账号才可调用")
    caller.as_manager()
    assert said(await caller.xml("bs.php", "domain-add", **query))[0] == "success"
    assert await listed(caller, "domain-list", "domain", user_type="manager", customer_id=7) == [
        "bestedm.org",
        "theirs.test",
    ]
    manager = {"user_type": "manager", "customer_id": 7}
    assert said(await caller.xml("bs.php", "mailbox-add", mailbox="a@theirs.test", pwd="x", **manager))[0] == "success"
    assert said(await caller.xml("bs.php", "mailbox-add", mailbox="b@theirs.test", pwd="x"))[0] == "not_exist"
    assert await listed(caller, "mailbox-list", "mailbox", domain="theirs.test", **manager) == ["a@theirs.test"]
    assert said(await caller.xml("bs.php", "domain-del", **query))[0] == "success"
    assert "a@theirs.test" not in caller.platform.state.mailboxes


@pytest.mark.parametrize("by", ["query", "form"])
async def test_a_mailbox_is_added_changed_and_deleted(caller: Caller, by: str) -> None:
    async def call(do: str, **values: str) -> str | None:
        answer = await (caller.xml("bs.php", do, **values) if by == "query" else caller.post("bs.php", do, values))
        return said(answer)[0]

    box = "shop@example.com"
    assert await call("mailbox-add", mailbox=box, pwd="old") == "success"
    assert await call("mailbox-add", mailbox=box, pwd="old") == "error"
    assert await call("mailbox-edit", mailbox=box, pwd="new & secret") == "success"
    assert caller.platform.credentials[box] == "new & secret"
    assert await listed(caller, "mailbox-list", "name", domain="example.com") == ["news", "shop"]
    assert await call("mailbox-del", mailbox=box) == "success"
    assert await call("mailbox-del", mailbox=box) == "not_exist"
    assert await call("mailbox-edit", mailbox="x@elsewhere.test", pwd="y") == "not_exist"


async def test_a_domain_has_room_for_twenty_mailboxes(caller: Caller) -> None:
    for n in range(19):
        await caller.xml("bs.php", "mailbox-add", mailbox=f"n{n}@example.com", pwd="x")
    assert said(await caller.xml("bs.php", "mailbox-add", mailbox="more@example.com", pwd="x"))[0] == "error"
    pages = [await listed(caller, "mailbox-list", "name", domain="example.com", page=n, limit=15) for n in (1, 2, 3)]
    assert [len(page) for page in pages] == [15, 5, 0]

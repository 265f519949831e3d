"""Chapter 7: which requests are made of domains and mailboxes, and what is read of the answers."""

from __future__ import annotations

import pytest

from smtprelay.platform import CallFailed, UnreadableAnswer
from smtprelay.platform.answer import Answer
from smtprelay.platform.domains import AddedDomain, Domain, Domains, DomainState, DomainStatus
from smtprelay.platform.mailboxes import Mailbox, Mailboxes
from smtprelay.platform.result import Result
from smtprelay.platform.statuses import Status


def xml(text: str) -> Answer:
    return Answer(text.encode())


def test_a_managers_calls_name_the_customer() -> None:
    assert Domains.list.describe(None).query == {"do": "domain-list"}
    assert Domains.list.describe(None, 4).query == {"do": "domain-list", "customer_id": "4", "user_type": "manager"}
    page = Mailboxes.list.describe(None, "example.com", customer_id=4).page(2)
    assert page.query == {
        "do": "mailbox-list",
        "domain": "example.com",
        "customer_id": "4",
        "user_type": "manager",
        "page": "2",
        "limit": "30",
    }
    delete = Mailboxes.delete.describe(None, "a@example.com", customer_id=4)
    assert delete.query == {
        "do": "mailbox-del",
        "mailbox": "a@example.com",
        "customer_id": "4",
        "user_type": "manager",
    }


def test_the_password_of_a_mailbox_is_not_in_the_url() -> None:
    for method, do in ((Mailboxes.add, "mailbox-add"), (Mailboxes.set_password, "mailbox-edit")):
        described = method.describe(None, "a@example.com", "s3cret;密码")
        assert described.query == {"do": do, "mailbox": "a@example.com"}
        assert described.form == {"pwd": "s3cret;密码"}
        assert "s3cret" not in repr(described)
        with pytest.raises(ValueError, match="empty"):
            method.describe(None, "a@example.com", "")


def test_a_password_that_the_platform_repeats_is_not_in_what_came_of_it() -> None:
    for method in (Mailboxes.add, Mailboxes.set_password):
        described = method.describe(None, "a@example.com", "s3cret")
        done = described.read(xml("<result><status>success</status><data>a@example.com s3cret</data></result>"))
        assert done == Result(Status.SUCCESS)


def test_what_may_be_done_twice() -> None:
    assert Mailboxes.set_password.describe(None, "a@example.com", "x").repeatable
    assert Domains.check.describe(None, "example.com").repeatable
    assert not Mailboxes.add.describe(None, "a@example.com", "x").repeatable
    assert not Domains.delete.describe(None, "example.com").repeatable


def test_the_platform_gets_the_names_that_dns_has() -> None:
    assert Domains.add.describe(None, "例子.Example").query["domain"] == "xn--fsqu00a.example"
    check = Domains.check.describe(None, "Example.com", "例子.example")
    assert (check.query, check.form) == ({"do": "domain-check"}, {"domains": "example.com,xn--fsqu00a.example"})
    assert Domains.add_for.describe(None, 2, "a.example").query == {
        "do": "domain-add",
        "customer_id": "2",
        "domain": "a.example",
    }
    assert Domains.delete_for.describe(None, 2, "a.example").query == {
        "do": "domain-del",
        "customer_id": "2",
        "domain": "a.example",
    }


@pytest.mark.parametrize("bad", ["", "a.example,b.example", "a@b.example", "two words"])
def test_a_domain_is_checked_before_anybody_is_asked(bad: str) -> None:
    for describe in (Domains.add.describe, Domains.check.describe, Domains.delete.describe, Mailboxes.list.describe):
        with pytest.raises(ValueError, match="a domain name is wanted"):
            describe(None, bad)
    with pytest.raises(ValueError, match="one or more"):
        Domains.check.describe(None)


def test_a_mailbox_is_an_address() -> None:
    with pytest.raises(ValueError, match="not an address"):
        Mailboxes.add.describe(None, "nobody", "x")


@pytest.mark.parametrize(
    ("status", "added"),
    [("success_and_check_ok", AddedDomain(23, verified=True)), ("success", AddedDomain(23, verified=False))],
)
def test_an_added_domain_tells_whether_it_is_verified(status: str, added: AddedDomain) -> None:
    answer = xml(f"<result>\n<status>{status}</status>\n<data>23</data>\n</result>")
    assert Domains.add.describe(None, "example.com").read(answer) == added
    assert Domains.add_for.describe(None, 2, "example.com").read(answer) == added


@pytest.mark.parametrize("status", ["0", "1", "2", "3"])
def test_every_status_of_a_domain_has_its_meaning(status: str) -> None:
    answer = xml(
        f"<domain><customer_id>1</customer_id><domain_id>0</domain_id><val>a.example</val><status>{status}</status></domain>"
    )
    [state] = Domains.check.describe(None, "a.example").read(answer)
    assert state == DomainState(1, 0, "a.example", DomainStatus(status), "")
    assert state.status.is_documented
    assert state.status.english
    assert state.status.chinese


def test_a_status_that_is_not_documented_is_kept() -> None:
    answer = xml("<domain_list><domain><val>a.example</val><status>7</status></domain></domain_list>")
    [state] = Domains.check.describe(None, "a.example").read(answer)
    assert (state.status, state.status.is_documented, state.customer_id) == ("7", False, None)


def test_lists_of_none_of_one_and_of_several() -> None:
    read = Domains.list.describe(None).read
    assert read(xml("<domain_list/>")) == []
    one = "<data><customer_id>0</customer_id><domain>a.example</domain></data>"
    assert read(xml(one)) == [Domain(0, "a.example")]
    assert read(xml(f"<domain_list>{one}{one}</domain_list>")) == [Domain(0, "a.example")] * 2
    mailbox = one.replace("</data>", "<name>n</name><mailbox>n@a.example</mailbox></data>")
    assert Mailboxes.list.describe(None, "a.example").page(1).read(xml(f"<mailbox_list>{mailbox}</mailbox_list>")) == [
        Mailbox(0, "a.example", "n", "n@a.example")
    ]


def test_refusals_and_what_is_none() -> None:
    refused = xml("<result><status>error</status><data>已经验证通过的域名不能删除</data></result>")
    for read in (Domains.delete.describe(None, "a.example").read, Domains.list.describe(None).read):
        with pytest.raises(CallFailed, match="已经验证通过的域名不能删除"):
            read(refused)
    with pytest.raises(UnreadableAnswer, match="<domain_list> was expected"):
        Domains.list.describe(None).read(xml("<mailbox_list/>"))

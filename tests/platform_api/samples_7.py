"""The answers of chapter 7."""

from __future__ import annotations

from smtprelay.platform.domains import AddedDomain, Domain, Domains, DomainState, DomainStatus
from smtprelay.platform.mailboxes import Mailbox, Mailboxes
from tests.platform_api.sample import Refused, Sample

ADD = Domains.add.describe(None, "test.com")
CHECKED = [
    DomainState(2369, 3213, "test.com", DomainStatus.ADDED_AND_VERIFIED, "添加成功并验证通过"),
    DomainState(2369, 6731, "we.com", DomainStatus.ADDED, "添加成功但验证不通过"),
    DomainState(2369, 0, "me.com", DomainStatus.NEITHER, "系统不存在并验证不通过"),
]

SAMPLES = [
    Sample(
        "7.1.list",
        Domains.list.describe(None),
        verbatim=Refused("<customer_id> should be a number: '客户 id (0 为系统域名)'"),
        fields={"customer_id": "0", "domain": "test.com"},
        value=[Domain(0, "test.com")],
    ),
    Sample("7.2.add.verified", ADD, verbatim=AddedDomain(23, verified=True), repaired=AddedDomain(23, verified=True)),
    Sample("7.2.add", ADD, verbatim=AddedDomain(23, verified=False)),
    Sample(
        "7.3.check", Domains.check.describe(None, "test.com", "we.com", "me.com"), verbatim=CHECKED, repaired=CHECKED
    ),
    Sample(
        "7.7.list",
        Mailboxes.list.describe(None, "test.com").page(1),
        verbatim=Refused("<customer_id> should be a number: '客户 id'"),
        repaired=Refused("<customer_id> should be a number: '客户 id'"),
        fields={"customer_id": "2369", "domain": "test.com", "name": "test", "mailbox": "test@test.com"},
        value=[Mailbox(2369, "test.com", "test", "test@test.com")],
    ),
]

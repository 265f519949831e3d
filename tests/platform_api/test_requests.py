"""Every request that chapters 1 to 7 of the platform's document print is the one that is made: the same script, and at
least the same parameters, be it in the URL or by POST. Values stand for its asterisks."""

from __future__ import annotations

import io
from datetime import date, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from smtprelay.contacts import Contact, ContactFile
from smtprelay.platform.account import Account
from smtprelay.platform.call import Call
from smtprelay.platform.contacts import Contacts
from smtprelay.platform.domains import Domains
from smtprelay.platform.failures import Failures
from smtprelay.platform.mailboxes import Mailboxes
from smtprelay.platform.statistics import Statistics
from smtprelay.platform.task_values import Sender
from smtprelay.platform.tasks import Tasks
from smtprelay.platform.templates import Templates
from smtprelay.platform.tracking import Tracking
from smtprelay.values import SHANGHAI

SENDER = Sender.address("linbihuan@comingchina.com")
FILE = Path("address.txt")
TASK = (
    "tpl_id=16&send_domain=comingchina.com&send_account=linbihuan@comingchina.com&send_fullname=linbihuan&maillist_id=5"
)


def at(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=SHANGHAI)  # type: ignore[arg-type, misc]


DAY = date(2012, 3, 2)
REQUESTS: list[tuple[Call[object], str]] = [
    (Account.customer.describe(None), "account.php?do=customer-info"),
    (Account.service.describe(None), "account.php?do=service-info"),
    (Statistics.web_tasks.describe(None, DAY), "task.php?do=list-task&date=2012-03-02"),
    (Statistics.day.describe(None, DAY), "statistic.php?date=2012-03-02"),
    (Failures.addresses.describe(None, DAY), "failexport.php?date=2012-03-02&type=-1&out_type=json"),
    (Failures.all.describe(None, DAY), "failexportall.php?date=2012-03-02&type=-1&out_type=json"),
    (
        Statistics.batches.describe(None, DAY, ident="20120302-362-F9B1E5"),
        "stask.php?date=2012-03-02&ident=20120302-362-F9B1E5",
    ),
    (Statistics.deductions.describe(None, DAY), "deduction.php?date=2012-03-02"),
    (Tracking.overview.describe(None, 7), "track.php?do=overview&id=7"),
    (
        Tracking.opens.describe(None, ident="20180402101814-7020-53"),
        "track.php?do=open-detail&ident=20180402101814-7020-53",
    ),
    (Tracking.clicks.describe(None, 7, link_id=8), "track.php?do=click-detail&id=7&link_id=8"),
    (Tracking.export.describe(None, 7, clicked=True, email_id=9), "trackexport.php?track_id=7&is_click=1&email_id=9"),
    (Tracking.links.describe(None, 7, link_id=8), "track.php?do=link-stat&id=7&link_id=8"),
    (Contacts.lists.describe(None), "mloperate.php?do=maillist-list"),
    (Contacts.list.describe(None, 7), "mloperate.php?do=maillist-detail&id=7"),
    (Contacts.add_list.describe(None, "客户"), "mloperate.php?do=maillist-add&subject=客户&status=enabled"),
    (Contacts.edit_list.describe(None, 7, name="客户"), "mloperate.php?do=maillist-edit&id=7&subject=客户"),
    (Contacts.delete_list.describe(None, 7), "mloperate.php?do=maillist-del&id=7"),
    (Contacts.export.describe(None, 7), "mloperate.php?do=subscription-export&id=7"),
    (Contacts.unsubscribed.describe(None, 7), "mloperate.php?do=unsubscribe-export&id=7"),
    (Contacts.addresses.describe(None, 7).page(1), "mloperate.php?do=ml-addr-list&list_id=7&page=1&limit=50"),
    (Contacts.add.describe(None, 7, "a@b.cn"), "mloperate.php?do=ml-addr-add&list_id=7&address=a@b.cn"),
    (
        Contacts.add_many.describe(None, 7, [Contact("a@b.cn")]),
        "mloperate.php?do=ml-addr-add&list_id=7&addr_type=string",
    ),
    (
        Contacts.add_many.describe(None, 7, [Contact("a@b.cn")], separator="|"),
        "mloperate.php?do=ml-addr-add&list_id=7&addr_type=string&separate=|",
    ),
    (Contacts.upload.describe(None, 418804, FILE), "mloperate.php?do=ml-addr-add-file&list_id=418804"),
    (Contacts.upload.describe(None, 1, FILE), "mloperate.php?do=ml-addr-add-file&list_id=1"),
    (Contacts.upload_state.describe(None, 1), "mloperate.php?do=ml-addr-add-file-query&id=1"),
    (Contacts.edit.describe(None, 7, address="a@b.cn"), "mloperate.php?do=ml-addr-edit&id=7&address=a@b.cn"),
    (Contacts.delete.describe(None, 7), "mloperate.php?do=ml-addr-del&id=7"),
    (Contacts.empty.describe(None, 7), "mloperate.php?do=ml-addr-empty&list_id=7"),
    (Contacts.subscribe.describe(None, 7, "a@b.cn"), "mloperate.php?do=ml-sub&list_id=7"),
    (Contacts.unsubscribe.describe(None, 7, "a@b.cn"), "mloperate.php?do=ml-unsub&list_id=7&address=a@b.cn"),
    (
        Tasks.create.describe(None, 16, 5, SENDER, "linbihuan", at(2012, 7, 31, 12)),
        f"task.php?do=add-task&{TASK}&time=2012-07-31 12:00:00",
    ),
    (
        Tasks.create.describe(None, 16, 5, SENDER, "linbihuan", at(2017, 11, 24, 9, 54, 1)),
        f"task.php?do=add-task&{TASK}&time=2017-11-24+09%3A54%3A01",
    ),
    (Templates.add.describe(None, "cesshi", "subject", "test"), "template.php?do=add-tpl&name=cesshi&subject=subject"),
    (Templates.status.describe(None, 67), "template.php?do=get-tpl-status&tpl_id=67"),
    (Templates.list.describe(None, 67), "template.php?do=list-tpl&tpl_id=67"),
    (Templates.delete.describe(None, 67), "template.php?do=del-tpl&tpl_id=67"),
    (
        Templates.edit.describe(None, 11, name="linbihuan", subject="sub", content="con"),
        "template.php?do=edit-tpl&tpl_id=11&name=linbihuan&subject=sub&content=con",
    ),
    (Templates.attach.describe(None, 255288, FILE), "template.php?do=tpl-attachment-add&tpl_id=255288"),
    (
        Templates.detach.describe(None, 67, attachment_id=1),
        "template.php?do=tpl-attachment-del&tpl_id=67&attachment_id=1",
    ),
    (Tasks.list.describe(None).page(1), "task.php?do=task-list"),
    (
        Tasks.edit.describe(None, 16, sender=SENDER, sender_name="linbihuan", list_id=5, time=at(2012, 7, 31, 12)),
        f"task.php?do=edit-task&id=16&{TASK.removeprefix('tpl_id=16&')}&time=2012-07-31%2012:00:00",
    ),
    (Tasks.delete.describe(None, 19124), "task.php?do=del-task&id=19124"),
    (Domains.list.describe(None), "bs.php?do=domain-list"),
    (Domains.add.describe(None, "test.com"), "bs.php?do=customer-domain-add&domain=test.com"),
    (Domains.check.describe(None, "test.com", "we.com"), "bs.php?do=domain-check&domains=test.com,we.com"),
    (Domains.add_for.describe(None, 2, "test.com"), "bs.php?do=domain-add&customer_id=2&domain=test.com"),
    (Domains.delete_for.describe(None, 4, "test.com"), "bs.php?do=domain-del&customer_id=4&domain=test.com"),
    (Domains.delete.describe(None, "test.com"), "bs.php?do=customer-domain-del&domain=test.com"),
    (Mailboxes.list.describe(None, "test.com").page(1), "bs.php?do=mailbox-list&domain=test.com"),
    (Mailboxes.add.describe(None, "test@test.com", "pwd"), "bs.php?do=mailbox-add&mailbox=test@test.com&pwd=pwd"),
    (Mailboxes.delete.describe(None, "test@test.com"), "bs.php?do=mailbox-del&mailbox=test@test.com"),
    (
        Mailboxes.set_password.describe(None, "test@test.com", "pwd"),
        "bs.php?do=mailbox-edit&mailbox=test@test.com&pwd=pwd",
    ),
]


@pytest.mark.parametrize(("made", "printed"), REQUESTS, ids=lambda each: getattr(each, "number", ""))
def test_what_is_asked_for_is_what_is_printed(made: Call[object], printed: str) -> None:
    url = urlsplit(printed)
    assert made.path == url.path
    assert dict(parse_qsl(url.query)).items() <= {**made.query, **(made.form or {})}.items()


def test_its_lines_of_contacts_are_read() -> None:
    for many in ("....", "..."):  # 4.9.2 and 4.9.3
        lines = f"""\
Coming1@bestdem.org;coming1;M;1986-08-10;13528775968;北京;var1;var2;{many} var10;
test@bestdem.org; test;F;1986-08-10;13528775968;area;var1;var2;{many} var10;
"""
        first, second = ContactFile(io.BytesIO(lines.encode()))
        assert isinstance(first, Contact)
        assert isinstance(second, Contact)
        assert (first.address, first.fields["area"], first.fields["var2"]) == ("Coming1@bestdem.org", "北京", "var2")
        assert (second.address, second.fields["fullname"], second.fields["sex"]) == ("test@bestdem.org", "test", "F")
        form = Contacts.add_many.describe(None, 7, [first, second]).form
        assert form is not None
        assert form["ml_addr"].startswith("Coming1@bestdem.org;coming1;M;1986-08-10;13528775968;北京;var1;var2;")


def test_its_lines_of_subscribers_are_written() -> None:
    addresses = ("test1@bestedm.com", "test2@bestedm.com")
    subscribed = Contacts.subscribe.describe(None, 7, *addresses)
    assert subscribed.form == {"maillist": "test1@bestedm.com\ttest1\ntest2@bestedm.com\ttest2"}
    assert Contacts.unsubscribe.describe(None, 7, *addresses).form == {
        "address": "test1@bestedm.com\ntest2@bestedm.com"
    }

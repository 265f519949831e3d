"""MAIL and RCPT as real clients write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.gateway.commands import MailCommand, parse_mail, parse_rcpt
from smtprelay.message import Recipient
from smtprelay.reply import Reject


@pytest.mark.parametrize(
    ("argument", "command"),
    [
        ("FROM:<a@example.com>", MailCommand("a@example.com")),
        ("from: <a@EXAMPLE.com>", MailCommand("a@example.com")),
        ("FROM:a@example.com", MailCommand("a@example.com")),
        ("FROM:hello<a@example.com>", MailCommand("a@example.com")),
        ("FROM:<@relay.test,@b.test:a@example.com>", MailCommand("a@example.com")),
        ('FROM:<"a >b"@example.com> SIZE=12', MailCommand('"a >b"@example.com', 12)),
        ("FROM:<>", MailCommand("")),
        ("FROM:<a@example.com> BODY=8BITMIME SIZE=100 SMTPUTF8", MailCommand("a@example.com", 100, True)),
        ("FROM:<a@example.com> ret=hdrs ENVID=Ab+2Bc", MailCommand("a@example.com", ret="HDRS", envid="Ab+2Bc")),
        ("FROM:<a@example.com> AUTH=<>", MailCommand("a@example.com")),
        ("FROM:<用户@例子.cn> SMTPUTF8", MailCommand("用户@xn--fsqu00a.cn", smtputf8=True)),
    ],
)
def test_mail(argument: str, command: MailCommand) -> None:
    assert parse_mail(argument) == command


@pytest.mark.parametrize(
    ("argument", "recipient"),
    [
        ("TO:<b@example.org>", Recipient("b@example.org")),
        ("TO: b@example.org", Recipient("b@example.org")),
        ("TO:<b@example.org> NOTIFY=success,Delay", Recipient("b@example.org", "SUCCESS,DELAY")),
        (
            "TO:<b@example.org> NOTIFY=NEVER ORCPT=rfc822;Bob+2Bx@Example.org",
            Recipient("b@example.org", "NEVER", "rfc822;Bob+2Bx@Example.org"),
        ),
    ],
)
def test_rcpt_keeps_the_case_of_orcpt(argument: str, recipient: Recipient) -> None:
    assert parse_rcpt(argument) == recipient


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("", 501),
        ("FROM:", 501),
        ("FROM:<a@example.com", 501),
        ("FROM:a@example.com>", 501),
        ("FROM:<a@example.com>> SIZE=1", 501),
        ("FROM:<root>", 501),
        ("FROM:<a@exa\x00mple.com>", 501),
        ("FROM:<a@example.com\udc80>", 501),
        ("FROM:<=?utf-8?q?a?=@b.c> SIZE=x", 501),
        ("FROM:<a@example.com> SIZE=1 SIZE=2", 501),
        ("FROM:<a@example.com> BODY=BINARYMIME", 501),
        ("FROM:<a@example.com> RET=ALL", 501),
        ("FROM:<a@example.com> ENVID=" + "x" * 101, 501),
        ("FROM:<a@example.com> SMTPUTF8=1", 501),
        ("FROM:<a@example.com> XYZ=1", 555),
        ('FROM:<"', 501),
        ("FROM:<a@", 501),
    ],
)
def test_mail_is_refused(argument: str, code: int) -> None:
    with pytest.raises(Reject) as refusal:
        parse_mail(argument)
    assert refusal.value.reply.code == code


def test_an_encoded_word_is_not_decoded_into_another_address() -> None:
    """Stock aiosmtpd reads <=?utf-8?q?a?=@b.c> as a@b.c: a way around the rules about senders."""
    assert parse_mail("FROM:<=?utf-8?q?a?=@b.c>").reverse_path == "=?utf-8?q?a?=@b.c"


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("TO:<>", 501),
        ("TO:<b>", 501),
        ("TO:<b@example.org> NOTIFY=NEVER,SUCCESS", 501),
        ("TO:<b@example.org> NOTIFY=SOMETIMES", 501),
        ("TO:<b@example.org> ORCPT=nonsense", 501),
        ("TO:<b@example.org> ORCPT=rfc822;" + "x" * 500, 501),
        ("TO:<b@example.org> FOO", 555),
    ],
)
def test_rcpt_is_refused(argument: str, code: int) -> None:
    with pytest.raises(Reject) as refusal:
        parse_rcpt(argument)
    assert refusal.value.reply.code == code


@given(st.text())
def test_any_argument_is_a_value_or_a_refusal(argument: str) -> None:
    for parse in (parse_mail, parse_rcpt):
        for keyword in ("FROM:", "TO:", ""):
            with suppress(Reject):
                parse(keyword + argument)

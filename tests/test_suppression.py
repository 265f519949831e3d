"""Why an address is not to be sent to, what is told of it, and what enters it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from smtprelay.config import SuppressionSection
from smtprelay.gateway.refusals import REASONS, reason_of
from smtprelay.message import MAX_ADDRESS, parse_address
from smtprelay.outcome import Fact, Phase
from smtprelay.platform.failures import FailureType
from smtprelay.reply import MAX_LINE, Reply
from smtprelay.spool import Suppression
from smtprelay.suppression import (
    CAUSES,
    UNSUBSCRIBED,
    beginning_of,
    cause_of,
    day_of,
    detail_of,
    named,
    of_bounce,
    of_failure,
    of_unsubscription,
    refusal,
    why,
)
from smtprelay.words import in_language, local_time

DAY = 86_400_000
FAILED = beginning_of(date(2026, 11, 29))
NOW = FAILED + 5 * 3_600_000 + 7
LI = "li@example.org"
DEFAULTS = SuppressionSection()
ENTRY = Suppression(LI, "1", FAILED, source="platform news")


def settings(**values: Any) -> SuppressionSection:
    return SuppressionSection.model_validate(values)


def refused(code: int, detail: str, text: str = "No", **fields: Any) -> Fact:
    return Fact(**{"phase": Phase.RCPT, "reply": Reply(code, detail, text), **fields})


@pytest.mark.parametrize(
    ("cause", "begin"),
    [
        ("1", "550 5.1.1 No mail is sent to this address: no such mailbox, told by platform news on 2026-11-29"),
        ("2", "550 5.2.2 No mail is sent to this address: the mailbox is full, told by platform news"),
        ("3", "550 5.7.1 No mail is sent to this address: the recipient wants no such mail, told"),
        ("5", "550 5.7.1 No mail is sent to this address: judged as spam, told"),
        ("8", "550 5.1.1 No mail is sent to this address: the address is invalid, told"),
        ("9", "550 5.1.3 No mail is sent to this address: the address has a bad format, told"),
        ("unsubscribed", "550 5.7.1 No mail is sent to this address: unsubscribed, told"),
        ("operator", "550 5.7.1 No mail is sent to this address: entered by hand, told"),
        ("4", "550 5.0.0 No mail is sent to this address: failed (type 4), told"),
    ],
)
def test_what_an_app_is_told(cause: str, begin: str) -> None:
    told = str(refusal(Suppression(LI, cause, FAILED, source="platform news")).reply)
    assert told.startswith(begin)
    assert told.endswith(f". If that is no longer so: smtprelay suppress remove {LI}")


def test_until_when_and_what_was_noted() -> None:
    entry = Suppression(LI, "2", FAILED, FAILED + 7 * DAY, "bounce of 0hk2r5q0c1d2e3f4", "552 5.2.2 Full")
    assert why(entry) == (
        "the mailbox is full, told by bounce of 0hk2r5q0c1d2e3f4 on 2026-11-29, until 2026-12-06: 552 5.2.2 Full"
    )
    assert "552" not in str(refusal(entry).reply)


def test_the_longest_refusal_fits_one_line_with_what_to_do() -> None:
    address = "a" * (MAX_ADDRESS - 12) + "@example.org"
    entry = Suppression(address, "9", FAILED, FAILED + DAY, "platform " + "x" * 300, "words " * 100)
    line = refusal(entry).reply.encode(one_line=True)
    assert len(line) <= MAX_LINE
    assert line.endswith(f"smtprelay suppress remove {address}\r\n".encode())


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("li+news@example.org", "smtprelay suppress remove li+news@example.org"),
        ("a|reboot@example.org", "smtprelay suppress remove 'a|reboot@example.org'"),
        ("`reboot`@example.org", "smtprelay suppress remove '`reboot`@example.org'"),
        ('"a b; reboot"@example.org', """smtprelay suppress remove '"a b; reboot"@example.org'"""),
        ("o'brien@example.org", """smtprelay suppress remove 'o'"'"'brien@example.org'"""),
        ("-x@example.org", "smtprelay suppress remove -- -x@example.org"),
    ],
)
def test_the_command_that_is_told_does_what_it_says_in_a_shell(address: str, command: str) -> None:
    """The app chooses the address, and an operator pastes the command."""
    assert str(refusal(Suppression(parse_address(address), "1", FAILED)).reply).endswith(f": {command}")


def test_a_failure_is_told_in_the_same_words_wherever_it_is_told() -> None:
    say = in_language("zh")
    for failure in FailureType:
        if failure is not FailureType.ALL:
            assert (named(failure), named(failure, say)) == (failure.english, failure.chinese)


def test_it_is_counted_as_what_it_is() -> None:
    for cause in (*CAUSES, "4"):
        assert reason_of(refusal(Suppression(LI, cause, FAILED))) == "suppressed"
    assert "suppressed" in REASONS


def test_a_day_of_the_platform_is_that_day_everywhere() -> None:
    """At midnight in China it is the day before in Europe."""
    assert day_of(FAILED) == "2026-11-29"
    assert day_of(FAILED + 1) == local_time(FAILED + 1)[:10]


@pytest.mark.parametrize("cause", [*CAUSES, "4"])
@pytest.mark.parametrize("expires", [0, FAILED + DAY])
@pytest.mark.parametrize("note", ["", "550 5.1.1 No such user, until: now"])
@pytest.mark.parametrize(
    ("source", "in_chinese"),
    [
        ("platform news", "平台账户 news"),
        ("bounce of 0hk2r5q0c1d2e3f4", "邮件 0hk2r5q0c1d2e3f4 的退信"),
        ("operator li", "操作员 li"),
        ("import", "导入"),
    ],
)
def test_in_chinese(cause: str, expires: int, note: str, source: str, in_chinese: str) -> None:
    say = in_language("zh")
    told = say(why(Suppression(LI, cause, FAILED, expires, source, note)))
    assert told.startswith(f"{named(cause, say)}，{in_chinese}")
    assert ("有效期至 2026-11-30" in told) == bool(expires)
    assert told.endswith(note)


def test_failures_and_unsubscriptions() -> None:
    failed = of_failure(LI, "1", date(2026, 11, 29), "news", DEFAULTS)
    assert failed == ENTRY
    full = of_failure(LI, "2", date(2026, 11, 29), "news", DEFAULTS)
    assert full is not None
    assert full.expires == FAILED + 7 * DAY
    assert of_unsubscription(LI, NOW, "news", DEFAULTS) == Suppression(LI, UNSUBSCRIBED, NOW, source="platform news")


def test_what_is_off_is_not_entered() -> None:
    assert of_failure(LI, "4", date(2026, 11, 29), "news", DEFAULTS) is None
    assert of_failure(LI, "5", date(2026, 11, 29), "news", settings(expiry={"5": "off"})) is None
    assert of_unsubscription(LI, NOW, "news", settings(expiry={"unsubscribed": "off"})) is None
    assert of_bounce(LI, refused(550, "1.1"), "id1", NOW, settings(own_bounces=False)) is None
    assert of_bounce(LI, refused(550, "1.1"), "id1", NOW, settings(expiry={"1": "off"})) is None


@pytest.mark.parametrize(
    ("code", "detail", "text", "cause"),
    [
        (550, "1.1", "No such user", "1"),
        (550, "1.3", "Bad syntax", "9"),
        (550, "1.6", "Mailbox has moved", "1"),
        (556, "1.10", "Null MX", "1"),
        (552, "2.2", "Mailbox full", "2"),
        (550, "1.2", "No mail system there", ""),
        (550, "2.1", "The user you are trying to contact is receiving mail too quickly", ""),
        (550, "1.8", "Bad sender's domain", ""),
        (550, "7.1", "Policy", ""),
        (550, "", "User unknown", ""),
        (450, "1.1", "Not now", ""),
        (452, "2.2", "Full for now", ""),
        (550, "1.1", "Account disabled", ""),
        (552, "2.2", "Quota exceeded", ""),
    ],
)
def test_which_refusals_say_that_an_address_is_none(code: int, detail: str, text: str, cause: str) -> None:
    assert cause_of(refused(code, detail, text)) == cause
    assert detail_of(cause) == {"9": "1.3", "2": "2.2", "1": "1.1", "": "0.0"}[cause]


@pytest.mark.parametrize(
    "fact",
    [
        refused(550, "1.1", local=True),
        refused(550, "1.1", redirected_to="qa@example.com"),
        refused(550, "1.1", phase=Phase.DOT),
        refused(550, "1.1", phase=Phase.MAIL),
        Fact(Phase.RCPT, error="connection lost"),
    ],
)
def test_only_the_smarthosts_word_about_this_recipient_counts(fact: Fact) -> None:
    assert of_bounce(LI, fact, "id1", NOW, DEFAULTS) is None


def test_of_a_bounce() -> None:
    fact = refused(552, "2.2", "Mailbox full")
    assert of_bounce(LI, fact, "id1", NOW, DEFAULTS) == Suppression(
        LI, "2", NOW, NOW + 7 * DAY, "bounce of id1", "552 5.2.2 Mailbox full"
    )

"""The judgement: facts of an attempt → what becomes of a recipient."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.message import Suppressed
from smtprelay.outcome import (
    BEFORE_MAIL,
    Bounce,
    Captured,
    Delivered,
    Fact,
    Hold,
    Outcome,
    Phase,
    RetryAt,
    RetryPolicy,
    about_account,
    accepts_credential,
    judge,
    refuses_credential,
)
from smtprelay.reply import Reply

NOW = 1_763_888_520_000
MINUTE = 60_000
DAY = 86_400_000
POLICY = RetryPolicy(schedule=(MINUTE, 5 * MINUTE, 5 * MINUTE, 60 * MINUTE), give_up_after=5 * DAY, ambiguous="retry")
AFTER_AUTH = [Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT]
LATER = RetryAt(NOW + MINUTE)
AT_ONCE = RetryAt(NOW)
EXPIRED = Bounce("expired", "5.4.7")


def verdict(
    fact: Fact, policy: RetryPolicy = POLICY, *, attempts: int = 1, age: int = 0, chance: float = 0.5
) -> Outcome:
    return judge(fact, policy, now=NOW, attempts=attempts, age=age, chance=chance)


def said(phase: Phase, code: int, text: str = "") -> Fact:
    return Fact(phase, Reply.received(code, text))


def test_accepted_at_the_dot_is_delivered() -> None:
    assert verdict(said(Phase.DOT, 250, "2.0.0 Ok: queued")) == Delivered()
    assert verdict(said(Phase.DOT, 250), age=9 * DAY) == Delivered()


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.RCPT])
def test_accepted_before_the_dot_is_not_delivered(phase: Phase) -> None:
    assert verdict(said(phase, 250, "2.1.0 Ok")) == LATER


# From connect to AUTH every failure is a retry.


@pytest.mark.parametrize("phase", sorted(BEFORE_MAIL))
def test_failure_before_mail_is_retried(phase: Phase) -> None:
    assert verdict(Fact(phase, error="connection refused")) == LATER
    assert verdict(said(phase, 421, "4.3.2 Closing")) == LATER


@pytest.mark.parametrize("phase", sorted(BEFORE_MAIL - {Phase.AUTH}))
def test_refusal_before_auth_is_retried(phase: Phase) -> None:
    assert verdict(said(phase, 554, "5.7.1 No service for you")) == LATER


def test_temporary_failure_of_auth_is_retried() -> None:
    assert verdict(said(Phase.AUTH, 454, "4.7.0 Temporary authentication failure")) == LATER
    assert not refuses_credential(said(Phase.AUTH, 454, "4.7.0 Temporary authentication failure"))


# 535: that credential pauses, its mail waits.


@pytest.mark.parametrize(
    "fact",
    [
        said(Phase.AUTH, 535, "5.7.8 Authentication credentials invalid"),
        said(Phase.AUTH, 550, "Account suspended"),
        said(Phase.MAIL, 530, "5.7.0 Authentication required"),
        said(Phase.MAIL, 535, "Error: authentication failed"),
        said(Phase.RCPT, 530, "5.7.0 Authentication required"),
        said(Phase.DOT, 535, "5.7.8 Authentication failed"),
    ],
)
def test_refused_credential_makes_its_mail_wait(fact: Fact) -> None:
    assert refuses_credential(fact)
    if fact.phase is Phase.AUTH:
        assert verdict(fact) == AT_ONCE
        assert verdict(fact, age=9 * DAY) == AT_ONCE  # a wrong password of ours is no reason to bounce
    else:  # AUTH was accepted, so the pause ends with the first probe: the message must not begin it again for ever
        assert verdict(fact) == LATER
        assert verdict(fact, age=9 * DAY) == EXPIRED


@pytest.mark.parametrize("fact", [said(Phase.AUTH, 235, "2.7.0 Yes"), said(Phase.EHLO, 250, "without a log-in")])
def test_a_log_in_that_came_through(fact: Fact) -> None:
    assert accepts_credential(fact)


@pytest.mark.parametrize(
    "fact",
    [
        said(Phase.AUTH, 535, "no"),
        said(Phase.AUTH, 250, "odd"),
        said(Phase.GREETING, 250, "odd"),
        Fact(Phase.EHLO, error="timed out"),
    ],
)
def test_a_log_in_that_did_not(fact: Fact) -> None:
    assert not accepts_credential(fact)


@pytest.mark.parametrize(
    "fact",
    [
        Fact(Phase.AUTH, error="timed out"),
        said(Phase.MAIL, 550, "5.7.1 Sender refused"),
        replace(said(Phase.MAIL, 530, "local"), local=True),
    ],
)
def test_credential_is_not_refused(fact: Fact) -> None:
    assert not refuses_credential(fact)


# At MAIL, RCPT and the dot: 4xx retry; 5xx bounce.


@pytest.mark.parametrize("phase", AFTER_AUTH)
@pytest.mark.parametrize("text", ["", "4.2.0 Greylisted", "4.2.2 Mailbox full", "4.7.1 Daily quota exceeded"])
@pytest.mark.parametrize("code", [421, 450, 451, 452])
def test_temporary_refusal_is_retried(phase: Phase, code: int, text: str) -> None:
    assert verdict(said(phase, code, text)) == LATER


@pytest.mark.parametrize("phase", AFTER_AUTH)
@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (550, "5.1.1 No such user", "5.1.1"),
        (550, "No such user", "5.0.0"),
        (550, "4.1.1 The class is wrong", "5.0.0"),
        (554, "5.7.1 Message looks like spam", "5.7.1"),
        (503, "5.5.1 Bad sequence of commands", "5.5.1"),
        (550, "邮件被判定为垃圾邮件", "5.0.0"),
    ],
)
def test_permanent_refusal_bounces(phase: Phase, code: int, text: str, status: str) -> None:
    assert verdict(said(phase, code, text)) == Bounce("refused", status)


def test_what_was_kept_here_has_ended() -> None:
    assert verdict(Fact(Phase.ROUTING, error="not sent: …")) == Captured()


def test_who_is_suppressed_ends_so_however_long_the_message_has_waited() -> None:
    why = Suppressed("1", "no such mailbox")
    assert verdict(Fact(Phase.ROUTING, error=why.words, suppressed=why), age=9 * DAY) == why


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ROUTING])
def test_broken_connection_is_retried(phase: Phase) -> None:
    assert verdict(Fact(phase, error="connection lost")) == LATER


# … unless the table of account patterns (quota, rate, suspended) matches, which retries.

ABOUT_ACCOUNT = [
    "5.7.1 Daily sending quota exceeded",
    "5.7.1 Your account has reached its hourly limit",
    "Message limit reached for today",
    "Quota exceeded",
    "Sending limit reached",
    "You are over your sending limit",
    "Rate limit exceeded",
    "Rate-limited",
    "5.7.0 Too many messages, slow down",
    "5.5.3 Too many recipients today",
    "Throttled",
    "5.7.1 Your account has been suspended",
    "5.7.1 Sender is blocked",
    "Service expired, please renew",
    "Insufficient balance",
    "Insufficient credits",
    "Payment required",
    "5.7.1 发送配额已用完",
    "今日额度不足",
    "账户余额不足",
    "账号已欠费",
    "您今天的发信数量超过了系统限制",
    "超过每日发送上限",
    "发送频率过高",
    "发送过快,请稍后再试",
    "发送受限",
    "您的账号已被停用",
    "帐号已冻结",
    "账户已锁定",
    "服务已到期",
]


@pytest.mark.parametrize("text", ABOUT_ACCOUNT)
def test_words_about_our_account_are_retried(text: str) -> None:
    assert about_account(Reply.received(550, text))
    for phase in AFTER_AUTH:
        assert verdict(said(phase, 550, text)) == LATER
    assert verdict(said(Phase.MAIL, 550, text), age=POLICY.give_up_after) == Bounce("expired", "5.4.7")


# 5.2.2 is always the recipient's.

ABOUT_RECIPIENT = [
    "5.2.2 Quota exceeded",
    "5.2.2 用户配额已满",
    "5.2.1 Account disabled",
    "5.1.1 The account does not exist or is disabled",
    "Mailbox quota exceeded",
    "Mailbox full, quota exceeded",
    "User's mailbox storage limit reached",
    "The recipient is over quota",
    "User over quota",
    "The email account that you tried to reach is over quota",
    "The email account that you tried to reach is disabled",
    "5.7.1 No such user, account disabled",
    "收件人配额不足",
    "收件人邮箱空间不足",
    "对方邮箱已满,超过限制",
    "邮箱容量超过限制",
]


@pytest.mark.parametrize("text", ABOUT_RECIPIENT)
def test_words_about_the_mailbox_of_the_recipient_bounce(text: str) -> None:
    reply = Reply.received(552, text)
    assert not about_account(reply)
    assert verdict(Fact(Phase.RCPT, reply)) == Bounce("refused", reply.status)


@pytest.mark.parametrize(
    "text",
    [
        "5.3.4 Message limit exceeded",
        "Message size exceeds fixed limit",
        "Message too large, over quota",
        "邮件过大,超过限制",
    ],
)
def test_words_about_the_size_of_the_message_bounce(text: str) -> None:
    assert isinstance(verdict(said(Phase.MAIL, 552, text)), Bounce)


def test_our_own_refusal_is_no_word_about_the_account() -> None:
    fact = Fact(Phase.MAIL, Reply(552, "3.4", "The message exceeds the smarthost's message limit"), local=True)
    assert verdict(fact) == Bounce("refused", "5.3.4")
    assert verdict(Fact(Phase.RCPT, Reply(553, "6.7", "Service is disabled"), local=True)) == Bounce("refused", "5.6.7")


# 452 at RCPT after accepted ones: the rest at once, in the next transaction.


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (452, "4.5.3 Too many recipients"),
        (452, "4.3.1 Insufficient system storage"),
        (452, ""),
        (451, "4.5.3 One by one"),
        (552, "5.5.3 Enough"),
        (552, "Too many recipients"),
        (550, "收件人数量超过限制"),
    ],
)
def test_full_transaction_sends_the_rest_at_once(code: int, text: str) -> None:
    fact = replace(said(Phase.RCPT, code, text), others_accepted=True)
    assert verdict(fact) == AT_ONCE
    assert verdict(fact, age=9 * DAY) == AT_ONCE
    assert verdict(replace(fact, others_accepted=False)) != AT_ONCE  # it alone was too much: no next one would differ
    assert verdict(replace(fact, phase=Phase.DOT)) != AT_ONCE


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (452, "4.2.2 Mailbox full", LATER),
        (450, "4.2.0 Greylisted", LATER),
        (552, "5.2.2 Mailbox full", Bounce("refused", "5.2.2")),
        (550, "5.1.1 No such user", Bounce("refused", "5.1.1")),
    ],
)
def test_other_refusals_after_accepted_ones_are_the_recipients(code: int, text: str, expected: Outcome) -> None:
    assert verdict(replace(said(Phase.RCPT, code, text), others_accepted=True)) == expected


# Doubt: the configuration decides.

AMBIGUOUS = [
    Fact(Phase.DOT, error="connection lost", ambiguous=True),
    Fact(Phase.UNKNOWN, error="found open at start", ambiguous=True),
    Fact(Phase.DOT, error="shut down", ambiguous=True),
]


@pytest.mark.parametrize("fact", AMBIGUOUS)
def test_ambiguous_is_retried_or_held(fact: Fact) -> None:
    assert verdict(fact) == LATER
    assert verdict(fact, age=POLICY.give_up_after) == Bounce("expired", "5.4.7")
    holding = replace(POLICY, ambiguous="hold")
    assert verdict(fact, holding) == Hold("ambiguous")
    assert verdict(fact, holding, age=9 * DAY) == Hold("ambiguous")


def test_open_attempt_that_sent_nothing_is_no_doubt() -> None:
    assert verdict(Fact(Phase.UNKNOWN, error="found open at start"), replace(POLICY, ambiguous="hold")) == LATER


def test_corrupt_body_is_held() -> None:
    assert verdict(Fact(Phase.DATA, error="checksum", corrupt=True), age=9 * DAY) == Hold("corrupt")


# Held time does not count towards give_up_after: `age` is without it.


@pytest.mark.parametrize("fact", [said(Phase.RCPT, 450), Fact(Phase.CONNECT, error="refused"), said(Phase.AUTH, 454)])
def test_expiry(fact: Fact) -> None:
    assert verdict(fact, age=POLICY.give_up_after - 1) == LATER
    assert verdict(fact, age=POLICY.give_up_after) == Bounce("expired", "5.4.7")


def test_held_time_is_taken_off_the_age() -> None:
    received, held = NOW - 6 * DAY, 2 * DAY
    assert verdict(said(Phase.RCPT, 450), age=NOW - received - held) == LATER


def test_refusal_of_an_old_message_is_still_a_refusal() -> None:
    assert verdict(said(Phase.RCPT, 550, "5.1.1 No such user"), age=9 * DAY) == Bounce("refused", "5.1.1")


# The schedule.


@pytest.mark.parametrize(("attempts", "minutes"), [(0, 1), (1, 1), (2, 5), (3, 5), (4, 60), (5, 60), (1000, 60)])
def test_last_step_repeats(attempts: int, minutes: int) -> None:
    assert POLICY.delay(attempts, 0.5) == minutes * MINUTE
    assert verdict(said(Phase.RCPT, 450), attempts=attempts) == RetryAt(NOW + minutes * MINUTE)


@pytest.mark.parametrize(("chance", "delay"), [(0.0, 54_000), (0.5, 60_000), (1.0, 66_000)])
def test_jitter(chance: float, delay: int) -> None:
    assert verdict(said(Phase.RCPT, 450), chance=chance) == RetryAt(NOW + delay)


@given(st.integers(1, 20), st.floats(0, 1))
def test_jitter_stays_within_a_tenth(attempts: int, chance: float) -> None:
    middle = POLICY.delay(attempts, 0.5)
    assert 0.9 * middle <= POLICY.delay(attempts, chance) <= 1.1 * middle


FACTS = st.builds(
    Fact,
    phase=st.sampled_from(Phase),
    reply=st.none()
    | st.builds(Reply.received, st.integers(200, 599), st.text(max_size=40) | st.sampled_from(ABOUT_ACCOUNT)),
    error=st.text(max_size=20),
    ambiguous=st.booleans(),
    others_accepted=st.booleans(),
    local=st.booleans(),
    corrupt=st.booleans(),
)


@given(FACTS, st.sampled_from(["retry", "hold"]), st.integers(1, 100), st.integers(0, 10 * DAY), st.floats(0, 1))
def test_every_fact_is_judged(fact: Fact, ambiguous: str, attempts: int, age: int, chance: float) -> None:
    policy = replace(POLICY, ambiguous="hold" if ambiguous == "hold" else "retry")
    match judge(fact, policy, now=NOW, attempts=attempts, age=age, chance=chance):
        case Delivered():
            assert fact.phase is Phase.DOT
            assert fact.reply
            assert fact.reply.code // 100 == 2
        case RetryAt(at):
            assert NOW <= at <= NOW + 1.1 * 60 * MINUTE
        case Bounce("expired", status):
            assert age >= policy.give_up_after
            assert status == "5.4.7"
        case Bounce("refused", status):
            assert status.startswith("5.")
        case Hold(reason):
            assert reason in ("ambiguous", "corrupt")


def test_fact_as_text() -> None:
    assert str(said(Phase.RCPT, 550, "5.1.1 No such user")) == "550 5.1.1 No such user"
    assert str(Fact(Phase.CONNECT, error="timed out")) == "timed out"

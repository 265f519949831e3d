"""The story of a message, as `queue why` and the page tell it."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date
from typing import Any

import pytest

from smtprelay.control import describe
from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.outcome import Phase
from smtprelay.spool import OUTCOMES, Attempt, Fate, MessageRecord, RecipientRecord, State, Suppression, attempt_status
from smtprelay.story import tell
from smtprelay.suppression import beginning_of, why
from smtprelay.words import english, in_language, local_time

NOW = 1_760_000_000_000
MINUTE = 60_000
ADDRESS = Recipient("li@example.org")
ATTEMPT = Attempt(1, NOW, NOW + 300, "deferred", Phase.RCPT, "450 4.2.0 Later", False, "mx.example.net[192.0.2.1]:25")
WAITING = RecipientRecord(1, ADDRESS, State.QUEUED, "", NOW + 90_000, 1, NOW + 300, "", "450 4.2.0 Later", (ATTEMPT,))
FATE = Fate("li@example.org", beginning_of(date(2026, 11, 29)), "1", "platform news")
MESSAGE = Message(
    id="0hk2r5q0c1d2e3f4",
    envelope=Envelope("app@example.com", (ADDRESS,)),
    origin=Origin("192.0.2.7", "app", "ESMTPA", "billing"),
    content=b"",
    size=5300,
    received_at=NOW,
    due_at=NOW,
    credential="news",
    domain="example.com",
    selectors=("relay1", "relay1-ed"),
    subject="您的订单",
)


def shown(recipient: RecipientRecord, message: Message = MESSAGE, **more: Any) -> dict[str, Any]:
    described = describe(MessageRecord(message, (recipient,)))
    return {**described, "states": {str(recipient.state): 1}, "paused": None, "suspended": False, **more}


def lines(recipient: RecipientRecord, message: Message = MESSAGE, language: str = "", **more: Any) -> list[str]:
    say = in_language(language)
    return list(tell(shown(recipient, message, **more), say, clock=lambda: NOW).lines(say))


def ended(state: State, **fields: Any) -> RecipientRecord:
    return replace(WAITING, state=state, next_at=0, **fields)


def test_repairs_are_told_in_the_readers_language() -> None:
    """The fault: they were in English in a Chinese story, and then joined by an English semicolon."""
    message = replace(MESSAGE, repairs=("added Date", "body: 8-bit text encoded as base64"))
    assert "  已修复：已添加 Date；正文：8 位文本已编码为 base64" in lines(WAITING, message, "zh")


def test_what_is_left_out_as_the_spool_is_damaged_is_said() -> None:
    record = MessageRecord(MESSAGE, (ended(State.DELIVERED),), unreadable=("fates", "attempts"))
    message = {**describe(record), "states": {"delivered": 1}}
    assert tell(message).warnings == (
        "THE SPOOL IS DAMAGED: whether its recipients were refused later cannot be read.",
        "THE SPOOL IS DAMAGED: its attempts cannot be read.",
    )
    assert "无法读取其投递尝试" in tell(message, in_language("zh")).warnings[1]


def test_the_whole_story() -> None:
    assert lines(WAITING) == [
        f"0hk2r5q0c1d2e3f4  accepted {local_time(NOW)} from account billing, 192.0.2.7 (ESMTPA, 5.2 KiB)",
        "  from <app@example.com>, subject: 您的订单",
        "  leaves through credential news, signed for example.com (relay1, relay1-ed)",
        "",
        f"li@example.org: waiting after 1 attempt, next attempt in 1m 30s, {local_time(NOW + 90_000)}",
        f"  {local_time(NOW)}  #1 deferred at rcpt after 0.3s: mx.example.net[192.0.2.1]:25 450 4.2.0 Later",
        "  what to do: Nothing: it is tried again by itself; 'smtprelay queue retry' makes that now.",
    ]


def test_the_whole_story_in_chinese() -> None:
    assert lines(WAITING, language="zh-CN") == [
        f"0hk2r5q0c1d2e3f4  于 {local_time(NOW)} 接收，来自账户 billing，客户端 192.0.2.7（ESMTPA，5.2 KiB）",
        "  信封发件人 <app@example.com>，主题：您的订单",
        "  经凭据 news 发出，DKIM 签名域 example.com（relay1, relay1-ed）",
        "",
        f"li@example.org: 排队中，已有 1 次尝试，1 分 30 秒后再次尝试（{local_time(NOW + 90_000)}）",
        f"  {local_time(NOW)}  #1 已推迟，阶段 rcpt，历时 0.3 秒: mx.example.net[192.0.2.1]:25 450 4.2.0 Later",
        "  处理办法：无需处理：系统会自动重试；'smtprelay queue retry' 可立即重试。",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"origin": Origin("local")}, f"{MESSAGE.id}  accepted {local_time(NOW)} from local (SMTP, 5.2 KiB)"),
        ({"subject": ""}, "  from <app@example.com>, subject: -"),
        ({"domain": ""}, "  leaves through credential news, not signed"),
        ({"tags": ("invoice", "账单")}, "  tagged invoice, 账单"),
        ({"due_at": NOW + MINUTE}, f"  not to be sent before {local_time(NOW + MINUTE)}, as its app asked"),
        ({"dsn_for": "0hk2r5q0c1d2e3f3"}, "  a delivery status notification about 0hk2r5q0c1d2e3f3"),
        ({"repairs": ("added Date", "line ends made <CRLF>")}, "  repaired: added Date; line ends made <CRLF>"),
    ],
)
def test_where_it_came_from(changes: dict[str, Any], line: str) -> None:
    assert line in lines(WAITING, replace(MESSAGE, **changes))


def test_a_paused_credential_is_told_in_place_of_advice() -> None:
    told = lines(WAITING, paused={"since": NOW, "until": NOW + MINUTE, "reply": "535 5.7.8 No"})
    assert f"  CREDENTIAL PAUSED since {local_time(NOW)}: 535 5.7.8 No" in told
    assert any(line.startswith(f"  next log-in {local_time(NOW + MINUTE)}. The smarthost refuses") for line in told)
    assert not any("what to do" in line for line in told)


def test_a_suspended_sender_is_told() -> None:
    told = lines(WAITING, suspended=True)
    assert "  SENDER SUSPENDED: billing. 'smtprelay account resume' lets it send again." in told


@pytest.mark.parametrize(
    ("recipient", "standing"),
    [
        (replace(WAITING, next_at=NOW), "waiting after 1 attempt, due now"),
        (replace(WAITING, state=State.SENDING, attempts=2), "being sent now, attempt 2"),
        (ended(State.HELD, reason="rate"), f"held since {local_time(NOW + 300)}: rate"),
        (ended(State.DELIVERED, attempts=3), f"delivered {local_time(NOW + 300)} after 3 attempts"),
        (
            ended(State.SUPPRESSED, reason="1", dsn="0hk2r5q0c1d2e3f5"),
            f"suppressed {local_time(NOW + 300)}: no such mailbox; notification: 0hk2r5q0c1d2e3f5",
        ),
        (
            ended(State.SUPPRESSED, reason="unsubscribed"),
            f"suppressed {local_time(NOW + 300)}: unsubscribed; notification: none",
        ),
        (
            ended(State.DELIVERED, fate=FATE),
            (
                f"delivered to the platform {local_time(NOW + 300)} after 1 attempt, "
                "then refused: no such mailbox (told on 2026-11-29)"
            ),
        ),
        (ended(State.CANCELLED), f"cancelled {local_time(NOW + 300)} after 1 attempt"),
        (ended(State.CAPTURED, attempts=0), f"captured {local_time(NOW + 300)}: kept here, not sent"),
        (
            ended(State.BOUNCED, reason="refused", dsn="none: NOTIFY=NEVER"),
            f"bounced (refused) {local_time(NOW + 300)} after 1 attempt; notification: none: NOTIFY=NEVER",
        ),
        (
            ended(State.BOUNCED, reason="expired"),
            f"bounced (expired) {local_time(NOW + 300)} after 1 attempt; notification: none",
        ),
    ],
)
def test_how_a_recipient_stands(recipient: RecipientRecord, standing: str) -> None:
    assert f"li@example.org: {standing}" in lines(recipient)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_state_can_be_told(state: State, language: str) -> None:
    assert lines(ended(state), language=language)


@pytest.mark.parametrize("state", OUTCOMES)
@pytest.mark.parametrize("ambiguous", [False, True])
@pytest.mark.parametrize("phase", Phase)
def test_an_attempt_is_told_in_the_words_of_the_log(state: State, ambiguous: bool, phase: Phase) -> None:
    attempt = replace(ATTEMPT, outcome=OUTCOMES[state], ambiguous=ambiguous, phase=phase)
    (recipient,) = tell(shown(replace(WAITING, history=(attempt,))), clock=lambda: NOW).recipients
    status = attempt_status(OUTCOMES[state], ambiguous=ambiguous)  # as `delivery` logs it
    assert recipient.first[0].status == status
    assert recipient.first[0].told.startswith(status)
    assert (f"at {phase} " in recipient.first[0].told) == (phase is not Phase.ROUTING)


def test_what_was_captured_goes_nowhere() -> None:
    """The fault: it left through a credential, and was captured at routing after 0.0s."""
    reply = "not sent: [upstream] mode = sandbox"
    attempt = replace(ATTEMPT, outcome="captured", phase=Phase.ROUTING, reply=reply, smarthost="")
    told = lines(ended(State.CAPTURED, history=(attempt,)))
    assert told[2] == "  stays here, signed for example.com (relay1, relay1-ed)"
    assert told[-1] == f"  {local_time(NOW)}  #1 captured: {reply}"


@pytest.mark.parametrize(
    ("language", "told"),
    [
        (
            "en",
            ["#1 suppressed: no such mailbox, told by platform news on 2026-11-29", "'smtprelay suppress remove li@"],
        ),
        ("zh", ["#1 已屏蔽: 邮箱不存在，平台账户 news 于 2026-11-29 告知", "'smtprelay suppress remove li@"]),
    ],
)
def test_why_nobody_was_sent_to_and_what_ends_that(language: str, told: list[str]) -> None:
    words = why(Suppression("li@example.org", "1", FATE.at, source="platform news"))
    attempt = replace(ATTEMPT, outcome="suppressed", phase=Phase.ROUTING, reply=words, smarthost="")
    *_, how, advice = lines(ended(State.SUPPRESSED, reason="1", reply=words, history=(attempt,)), language=language)
    assert told[0] in how
    assert told[1] in advice


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_command_that_ends_it_can_be_pasted_whatever_the_address(language: str) -> None:
    hostile = ended(State.SUPPRESSED, reason="1", recipient=Recipient("a|reboot@example.org"))
    assert "smtprelay suppress remove 'a|reboot@example.org'" in lines(hostile, language=language)[-1]


def test_what_was_refused_after_it_was_delivered_is_told_in_chinese_too() -> None:
    delivered = replace(ATTEMPT, outcome="delivered", phase="dot", reply="250 2.0.0 Ok")
    *_, standing, _, advice = lines(ended(State.DELIVERED, history=(delivered,), fate=FATE), language="zh")
    assert standing.endswith("共 1 次尝试，之后被拒收：邮箱不存在（2026-11-29 告知）")
    assert "更正该地址" in advice


def test_an_attempt_under_way() -> None:
    attempt = replace(ATTEMPT, ended_at=0, outcome="open", phase="", reply="", smarthost="")
    assert f"  {local_time(NOW)}  #1 under way" in lines(replace(WAITING, history=(attempt,)))


def test_of_many_attempts_the_first_and_the_last_are_told() -> None:
    history = tuple(replace(ATTEMPT, number=number) for number in range(1, 21))
    (recipient,) = tell(shown(replace(WAITING, history=history)), clock=lambda: NOW).recipients
    assert [attempt.number for attempt in (*recipient.first, *recipient.last)] == [1, 2, 15, 16, 17, 18, 19, 20]
    assert recipient.left_out == "… 12 more attempts …"
    assert "  … 12 more attempts …" in lines(replace(WAITING, history=history))


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("ambiguous", "It may have been delivered already."),
        ("corrupt", "Check the disk"),
        ("dns", "smtprelay domain check"),
        ("quota", "Buy more there"),
        ("domain", "publish what"),
        ("rate", "over its limit"),
        ("recipients_per_day", "over its limit"),
        ("suspended", "smtprelay account resume"),
        ("the boss said so", "Somebody held it"),
    ],
)
def test_what_to_do_about_a_hold(reason: str, advice: str) -> None:
    assert advice in lines(ended(State.HELD, reason=reason))[-1]


@pytest.mark.parametrize(
    ("phase", "reply", "state", "advice"),
    [
        ("connect", "no route to host", State.QUEUED, "The smarthost could not be reached"),
        ("auth", "535 5.7.8 No", State.QUEUED, "The smarthost refuses the log-in"),
        ("policy", "550 5.7.1 No SPF", State.BOUNCED, "do what the reply says"),
        ("rcpt", "550 5.1.1 Unknown", State.BOUNCED, "The address is wrong"),
        ("rcpt", "452 4.2.2 Full", State.QUEUED, "mailbox is full"),
        ("dot", "554 5.7.1 Spam", State.BOUNCED, "by its policy"),
        # It was sent to check SPF and the content, though only the quota was spent:
        ("dot", "550 5.7.1 Sending quota exceeded", State.QUEUED, "refuses the account, not this message"),
        ("dot", "550 5.7.1 Service of this account is disabled", State.BOUNCED, "refuses the account"),
        ("dot", "554 No", State.BOUNCED, "The smarthost's words above say why"),
        ("dot", "451 4.3.0 Later", State.QUEUED, "it is tried again by itself"),
        ("unknown", "smtprelay stopped during this attempt", State.QUEUED, "it is tried again by itself"),
    ],
)
def test_what_to_do_about_an_attempt(phase: str, reply: str, state: State, advice: str) -> None:
    attempt = replace(ATTEMPT, phase=phase, reply=reply)
    assert advice in lines(replace(WAITING, state=state, history=(attempt,)))[-1]


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("1", "correct the address"),
        ("2", "send again later"),
        ("3", "wants no such mail"),
        ("5", "ask the provider"),
        ("unsubscribed", "wants no such mail"),
        ("77", "correct the address"),
    ],
)
def test_what_to_do_about_what_was_refused_later(cause: str, advice: str) -> None:
    """Whatever it was, a full mailbox or spam, the address was to be corrected."""
    assert advice in lines(ended(State.DELIVERED, fate=replace(FATE, cause=cause)))[-1]


def test_nothing_is_to_be_done_about_what_was_delivered() -> None:
    delivered = replace(ATTEMPT, outcome="delivered", phase="dot", reply="250 2.0.0 Ok")
    assert not any("what to do" in line for line in lines(ended(State.DELIVERED, history=(delivered,))))


def test_a_story_is_a_value_that_can_be_sent_as_json() -> None:
    assert asdict(tell(shown(WAITING), english))["recipients"][0]["state"] == "queued"

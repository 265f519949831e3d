"""The judgement of outcomes: facts of an attempt → what becomes of each recipient.

Rule: everything that decides over a recipient's fate lives in this file. It does no I/O and reads no clock;
`delivery` brings the facts and carries out the verdict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from smtprelay.message import Suppressed
from smtprelay.reply import Reply

JITTER = 0.2  # a delay is spread over ±10 %, so that what failed together does not come back together


class Phase(StrEnum):
    """How far an attempt got: the command that was answered last, or that was waited for."""

    CONNECT = "connect"
    GREETING = "greeting"
    STARTTLS = "starttls"
    EHLO = "ehlo"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    POLICY = "policy"  # it was held, and then refused by ourselves
    ROUTING = "routing"  # it was captured, or is not to be sent to: nobody was asked
    UNKNOWN = "unknown"  # the attempt was found open at start


BEFORE_MAIL = frozenset({Phase.CONNECT, Phase.GREETING, Phase.STARTTLS, Phase.EHLO, Phase.AUTH})


@dataclass(frozen=True, slots=True)
class Fact:
    """What happened to one recipient in one attempt.

    :param reply: the smarthost's words, or None where none came.
    :param error: our words for what broke, where there was no reply.
    :param ambiguous: the message may have been accepted: all of it was sent and no reply was read (RFC 1047).
    :param others_accepted: some recipient of the same transaction was accepted.
    :param local: the refusal is our own (the smarthost lacks an extension, or takes no message of this size).
    :param corrupt: the body on disk is not what was written; nothing was sent.
    :param redirected_to: who was told of the message in place of the recipient, or ``""``.
    :param suppressed: why the recipient is not to be sent to; None where it may be.
    """

    phase: Phase
    reply: Reply | None = None
    error: str = ""
    ambiguous: bool = False
    others_accepted: bool = False
    local: bool = False
    corrupt: bool = False
    redirected_to: str = ""
    suppressed: Suppressed | None = None

    def __str__(self) -> str:
        words = str(self.reply) if self.reply else self.error
        return f"{words} (redirected to {self.redirected_to})" if self.redirected_to else words


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`[retry]` of the configuration; times in milliseconds."""

    schedule: tuple[int, ...]
    give_up_after: int
    ambiguous: Literal["retry", "hold"]

    def delay(self, attempts: int, chance: float) -> int:
        """Milliseconds to wait after this many attempts; the last step repeats.

        :param chance: 0 to 1, from a random source.
        """
        step = self.schedule[min(max(attempts, 1), len(self.schedule)) - 1]
        return round(step * (1 + JITTER * (chance - 0.5)))


@dataclass(frozen=True, slots=True)
class Delivered:
    """The smarthost has taken the responsibility (RFC 5321 §4.2.5)."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again.

    :param at: Unix time in milliseconds.
    """

    at: int


@dataclass(frozen=True, slots=True)
class Bounce:
    """It ended without delivery.

    :param status: the enhanced status code for the DSN (RFC 3464 §2.3.4).
    """

    cause: Literal["refused", "expired"]
    status: str


@dataclass(frozen=True, slots=True)
class Hold:
    """It waits for a person, or for its reason to go away."""

    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """It was kept in place of being sent."""


Outcome = Delivered | RetryAt | Bounce | Hold | Suppressed | Captured

# 5yz replies that speak of our account at the provider, not of the recipient: they pass, so they are retried.
# English and Chinese, as providers word them.
ACCOUNT_PATTERNS: Sequence[re.Pattern[str]] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:daily|hourly|monthly|sending|message|account|plan)\b.{0,30}\b(?:quota|limit|allowance)\b",
        r"\b(?:quota|limit)\b.{0,30}\b(?:exceeded|reached|used up|exhausted)\b",
        r"\b(?:exceeded|over|out of)\b.{0,30}\b(?:quota|sending limit|rate)\b",
        r"\brate[ -]?limit|\btoo many (?:messages|mails|e-?mails|recipients|connections|requests)\b|\bthrottl",
        r"\b(?:account|sender|service)\b.{0,30}\b(?:suspended|disabled|locked|expired|frozen|blocked)\b",
        r"\binsufficient (?:balance|credits?|funds)\b|\bpayment required\b",
        r"配额|额度|余额不足|欠费|超过.{0,12}(?:限制|上限|数量)|频率|发送(?:过快|受限)|(?:账号|帐号|账户|帐户|服务).{0,8}(?:停用|禁用|冻结|暂停|过期|到期|锁定)",
    )
)
# … unless the words are about the mailbox of the recipient,
RECIPIENT_PATTERN = re.compile(
    r"\b(?:recipient|mailbox|inbox|user'?s?)\b.{0,30}\b(?:full|quota|storage|space|limit)\b"
    r"|\b(?:recipient|no such user|unknown user|user unknown|tried to reach)\b"
    r"|收件人(?!数|过多|太多)|邮箱.{0,8}(?:满|空间|容量|配额)",
    re.IGNORECASE,
)
# … or about the size of this message.
SIZE_PATTERN = re.compile(r"\bsize\b|\btoo (?:big|large)\b|邮件.{0,6}(?:过大|太大|大小)", re.IGNORECASE)
# More recipients than one transaction may have, whatever the code (RFC 5321 §4.5.3.1.10, RFC 3463 §3.6: X.5.3).
_TOO_MANY_RECIPIENTS = re.compile(r"\btoo many recipients\b|收件人(?:数|过多|太多)", re.IGNORECASE)


def refuses_credential(fact: Fact) -> bool:
    """Whether the smarthost refused the credential, not the message: it pauses, and its mail waits.

    Any 5yz to AUTH (RFC 4954 §6), and 530/535 wherever they come.
    """
    reply = fact.reply
    if reply is None or fact.local:
        return False
    return (fact.phase is Phase.AUTH and reply.permanent) or reply.code in (530, 535)


def accepts_credential(fact: Fact) -> bool:
    """Whether a log-in came through: 235 to AUTH (RFC 4954 §6), or, where there is none, 250 to EHLO."""
    reply = fact.reply
    return reply is not None and (fact.phase, reply.code) in ((Phase.AUTH, 235), (Phase.EHLO, 250))


def about_account(reply: Reply) -> bool:
    """Whether a 5yz is about our account (quota, rate, suspension), so that it passes.

    Codes of address, mailbox and content never are, nor that of a message too big (RFC 3463 §3.2, §3.3, §3.7, §3.4):
    5.2.2 is the recipient's full mailbox.
    """
    if reply.detail.startswith(("1.", "2.", "6.")) or reply.detail == "3.4":
        return False
    return may_mean_account(reply.text)


def may_mean_account(text: str) -> bool:
    """Whether a smarthost's words, whatever the code, may be about our account; not where they are about a mailbox."""
    if RECIPIENT_PATTERN.search(text) or SIZE_PATTERN.search(text):
        return False
    return any(pattern.search(text) for pattern in ACCOUNT_PATTERNS)


def fits_next_transaction(fact: Fact) -> bool:
    """Whether only this transaction was too full for the recipient (RFC 5321 §4.5.3.1.10): some were accepted before.

    A 452 counts, but for 4.2.2, and 552 and 550 where they say so.
    """
    reply = fact.reply
    if reply is None or fact.phase is not Phase.RCPT or not fact.others_accepted:
        return False
    if reply.detail == "5.3" or _TOO_MANY_RECIPIENTS.search(reply.text):
        return True
    return reply.code == 452 and reply.detail != "2.2"


def judge(fact: Fact, policy: RetryPolicy, *, now: int, attempts: int, age: int, chance: float) -> Outcome:
    """What becomes of a recipient.

    :param now: Unix time in milliseconds.
    :param attempts: made so far, this one included.
    :param age: milliseconds since acceptance, less the time it was held.
    :param chance: 0 to 1, from a random source, for the jitter.
    """
    if fact.suppressed:
        return fact.suppressed
    if fact.phase is Phase.ROUTING:
        return Captured()
    if fact.corrupt:
        return Hold("corrupt")
    if refuses_credential(fact) and fact.phase is Phase.AUTH:
        return RetryAt(now)  # the pause of the credential is what it waits for
    if fact.ambiguous:
        return Hold("ambiguous") if policy.ambiguous == "hold" else _later(fact, policy, now, attempts, age, chance)
    reply = fact.reply
    if reply is None or fact.phase in BEFORE_MAIL:
        return _later(fact, policy, now, attempts, age, chance)
    if fact.phase is Phase.DOT and reply.code // 100 == 2:
        return Delivered()
    if fits_next_transaction(fact):
        return RetryAt(now)
    if refuses_credential(fact):
        # The log-in was accepted, so the pause soon ends; this message must not begin it again for ever.
        return _later(fact, policy, now, attempts, age, chance)
    if reply.permanent and (fact.local or not about_account(reply)):
        return Bounce("refused", reply.status)
    return _later(fact, policy, now, attempts, age, chance)


def _later(fact: Fact, policy: RetryPolicy, now: int, attempts: int, age: int, chance: float) -> RetryAt | Bounce:
    if age >= policy.give_up_after:
        return Bounce("expired", "5.4.7")  # RFC 3463 §3.5: delivery time expired
    return RetryAt(now + policy.delay(attempts, chance))

"""Addresses that are not to be sent to: for which cause, what is told of it, and what enters them for how long.

The list itself is in the spool; an entry is a `smtprelay.spool.Suppression`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time

from smtprelay import outcome
from smtprelay.config import NEVER, SuppressionSection
from smtprelay.errors import NOT_SENT_TO
from smtprelay.failure_types import FAILURE_TYPES
from smtprelay.message import Suppressed
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reject
from smtprelay.spool import OPERATOR, Suppression
from smtprelay.values import SHANGHAI
from smtprelay.words import Say, Sentence, english, local_time

UNSUBSCRIBED = "unsubscribed"
MAX_NOTE = 300  # characters of a smarthost's words
MAX_SOURCE = 80  # characters of a source that a reply has room for


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an address is not to be sent to.

    :param detail: subject and detail of the enhanced status code (RFC 3463 §3).
    :param words: after "then refused:", or alone.
    """

    detail: str
    words: Sentence


# By the platform's failure types, and what it does not tell.
CAUSES: Mapping[str, Cause] = {
    "1": Cause("1.1", FAILURE_TYPES["1"][0]),
    "2": Cause("2.2", FAILURE_TYPES["2"][0]),
    "3": Cause("7.1", FAILURE_TYPES["3"][0]),
    "5": Cause("7.1", FAILURE_TYPES["5"][0]),
    "8": Cause("1.1", FAILURE_TYPES["8"][0]),
    "9": Cause("1.3", FAILURE_TYPES["9"][0]),
    UNSUBSCRIBED: Cause("7.1", Sentence("unsubscribed")),
    OPERATOR: Cause("7.1", Sentence("entered by hand")),
}
# By the detail of the smarthost's refusal of a recipient. Not 1.2: a domain without mail system may have one tomorrow.
# Not 2.1: a mailbox is closed for good by it, and by large providers also while too much mail comes for it.
_OF_BOUNCE: Mapping[str, str] = {"1.1": "1", "1.3": "9", "1.6": "1", "1.10": "1", "2.2": "2"}


class NotSentTo(Reject):
    """The recipient is not to be sent to."""


def named(cause: str, say: Say = english) -> str:
    """A cause in words."""
    return say(CAUSES[cause].words) if cause in CAUSES else say("failed (type {cause})", cause=cause)


def detail_of(cause: str) -> str:
    """Subject and detail of the enhanced status code that goes with a cause."""
    return CAUSES[cause].detail if cause in CAUSES else "0.0"


def status_of(cause: str) -> str:
    """The enhanced status code that goes with a cause."""
    return f"5.{detail_of(cause)}"


def why(entry: Suppression) -> str:
    """Cause, source, day, and until when; `smtprelay.suppression_zh` has the same sentences."""
    until = f", until {day_of(entry.expires)}" if entry.expires else ""
    note = f": {entry.note}" if entry.note else ""
    return f"{named(entry.cause)}, told by {entry.source} on {day_of(entry.since)}{until}{note}"


def mark(entry: Suppression) -> Suppressed:
    """What is recorded of a recipient that is not sent to."""
    return Suppressed(entry.cause, why(entry))


def refusal(entry: Suppression) -> NotSentTo:
    """What an app is told at RCPT. What a person noted is not for it."""
    told = why(replace(entry, source=entry.source[:MAX_SOURCE], note=""))
    return NotSentTo(
        550,
        detail_of(entry.cause),
        f"{NOT_SENT_TO}: {told}. If that is no longer so: smtprelay suppress remove {argument(entry.address)}",
    )


def argument(address: str) -> str:
    """An address as an argument of a command that people paste into a shell: who sends mail chooses it, and ``;`` and
    ``|`` may stand in one, or ``-`` at its beginning."""
    return f"{'-- ' * address.startswith('-')}{shlex.quote(address)}"


def day_of(at: int) -> str:
    """``2026-11-29``. What is known by its day alone (`beginning_of`) is told as that day wherever it is read.

    :param at: Unix time in milliseconds.
    """
    in_china = datetime.fromtimestamp(at / 1000, SHANGHAI)
    return in_china.date().isoformat() if in_china.time() == time() else local_time(at)[:10]


def beginning_of(day: date) -> int:
    """Of a day of the platform's, in Asia/Shanghai: Unix time in milliseconds."""
    return round(datetime.combine(day, time(), SHANGHAI).timestamp() * 1000)


# What enters an address. Each is None where the configuration does not have such causes entered.


def of_failure(address: str, cause: str, day: date, account: str, settings: SuppressionSection) -> Suppression | None:
    """By a failure that the platform tells of.

    :param cause: its failure type.
    :param account: the platform's account, by its name.
    """
    return _entry(address, cause, beginning_of(day), f"platform {account}", settings)


def of_unsubscription(address: str, at: int, account: str, settings: SuppressionSection) -> Suppression | None:
    """By somebody's wish, that the platform tells of.

    :param at: Unix time in milliseconds.
    :param account: the platform's account, by its name.
    """
    return _entry(address, UNSUBSCRIBED, at, f"platform {account}", settings)


def of_bounce(address: str, fact: Fact, message_id: str, now: int, settings: SuppressionSection) -> Suppression | None:
    """By the smarthost's refusal of a recipient; None also where that does not say that the next mail would fare alike.

    It is the same for every smarthost: the platform checks little at RCPT and tells of the rest later, but what it
    refuses there it will not deliver either.

    :param now: Unix time in milliseconds.
    """
    cause = cause_of(fact)
    if not (settings.own_bounces and cause):
        return None
    return _entry(address, cause, now, f"bounce of {message_id}", settings, str(fact)[:MAX_NOTE])


def cause_of(fact: Fact) -> str:
    """The cause that a smarthost's refusal is, or ``""``.

    Only a permanent reply to RCPT speaks of this recipient alone, and only an enhanced code tells what it says: a bare
    550 may be about our address or our rights. Words that may be about our own account (its quota, say) would enter
    every recipient of a batch.
    """
    reply = fact.reply
    if reply is None or fact.phase is not Phase.RCPT or fact.local or fact.redirected_to or not reply.permanent:
        return ""
    return "" if outcome.may_mean_account(reply.text) else _OF_BOUNCE.get(reply.detail, "")


def _entry(
    address: str, cause: str, since: int, source: str, settings: SuppressionSection, note: str = ""
) -> Suppression | None:
    expiry = settings.expiry.get(cause)
    if expiry is None:
        return None
    return Suppression(address, cause, since, NEVER if expiry == NEVER else since + expiry, source, note)

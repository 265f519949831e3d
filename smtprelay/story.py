"""The story of a message: what happened to it, attempt by attempt, with the smarthost's words and what to do.

`smtprelay queue why` and the page tell it in these words; `smtprelay.words` has the languages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smtprelay.clock import now_ms
from smtprelay.outcome import Phase
from smtprelay.spool import State, attempt_status
from smtprelay.story_advice import LOG_IN_REFUSED, advise
from smtprelay.suppression import day_of, named
from smtprelay.words import Say, Sentence, english, interval, local_time, octets

FIRST, LAST = 2, 6  # the attempts of one recipient that are told where there are many

_STATUS: Mapping[str, Sentence] = {  # as the log has it
    "delivered": Sentence("delivered"),
    "deferred": Sentence("deferred"),
    "held": Sentence("held"),
    "bounced": Sentence("bounced"),
    "suppressed": Sentence("suppressed"),
    "captured": Sentence("captured"),
    "ambiguous": Sentence("ambiguous (it may have been delivered)"),
}
_UNREADABLE: Mapping[str, Sentence] = {
    "fates": Sentence("THE SPOOL IS DAMAGED: whether its recipients were refused later cannot be read."),
    "attempts": Sentence("THE SPOOL IS DAMAGED: its attempts cannot be read."),
}
_ENDED: Mapping[str, Sentence] = {
    State.DELIVERED: Sentence("delivered {at} after {attempts}"),
    State.CANCELLED: Sentence("cancelled {at} after {attempts}"),
    State.CAPTURED: Sentence("captured {at}: kept here, not sent"),
}


@dataclass(frozen=True, slots=True)
class AttemptStory:
    """One attempt on one recipient.

    :param at: when it began.
    :param status: the word for it in the log (``status=``) and in the books; ``open`` while it is under way.
    :param told: what came of it, at which phase, after how long.
    :param reply: the smarthost and its words, or ours for what broke; ``""`` while it is under way.
    """

    at: str
    number: int
    status: str
    told: str
    reply: str

    def __str__(self) -> str:
        return f"{self.at}  #{self.number} {self.told}" + (f": {self.reply}" if self.reply else "")


@dataclass(frozen=True, slots=True)
class RecipientStory:
    """What became of one recipient.

    :param first: its attempts; only the first ones where there are many.
    :param left_out: says how many attempts are not told between `first` and `last`, or ``""``.
    :param advice: what to do, or ``""``.
    """

    address: str
    state: State
    standing: str
    first: tuple[AttemptStory, ...]
    left_out: str
    last: tuple[AttemptStory, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class Story:
    """What happened to a message.

    :param head: where it came from, what was done to it, how it leaves; its id and time first.
    :param warnings: what is left out of it, as it cannot be read; what keeps it back beside its own fate: its
        credential is paused, its sender suspended.
    """

    head: tuple[str, ...]
    warnings: tuple[str, ...]
    recipients: tuple[RecipientStory, ...]

    def lines(self, say: Say = english) -> Iterator[str]:
        """The story as text."""
        for i, line in enumerate((*self.head, *self.warnings)):
            yield f"  {line}" if i else line
        for recipient in self.recipients:
            yield ""
            yield f"{recipient.address}: {recipient.standing}"
            yield from (f"  {told}" for told in (*recipient.first, recipient.left_out, *recipient.last) if told)
            if recipient.advice:
                yield f"  {say('what to do: {advice}', advice=recipient.advice)}"


def tell(message: Mapping[str, Any], say: Say = english, *, clock: Callable[[], int] = now_ms) -> Story:
    """The story of a message.

    :param message: as `smtprelay.control.Operator.show` gives it.
    :param say: tells a sentence in the reader's language.
    :param clock: Unix time in milliseconds.
    """
    return Story(
        tuple(_head(message, say)),
        tuple(_warnings(message, say)),
        tuple(_recipient(message, recipient, say, clock()) for recipient in message["recipients"]),
    )


def _head(message: Mapping[str, Any], say: Say) -> Iterator[str]:
    accepted = (
        Sentence("{id}  accepted {at} from account {account}, {client} ({protocol}, {size})")
        if message["account"]
        else Sentence("{id}  accepted {at} from {client} ({protocol}, {size})")
    )
    yield say(accepted, **{**message, "at": local_time(message["received_at"]), "size": octets(message["size"])})
    yield say("from <{sender}>, subject: {subject}", sender=message["reverse_path"], subject=message["subject"] or "-")
    yield _way_out(message, say)
    if message["tags"]:
        yield say("tagged {tags}", tags=", ".join(message["tags"]))
    if message["due_at"] > message["received_at"]:
        yield say("not to be sent before {at}, as its app asked", at=local_time(message["due_at"]))
    if message["dsn_for"]:
        yield say("a delivery status notification about {id}", id=message["dsn_for"])
    if message["repairs"]:
        yield say("repaired: {repairs}", repairs=say("; ").join(map(say, message["repairs"])))


def _way_out(message: Mapping[str, Any], say: Say) -> str:
    domain = message["domain"]
    signed = (
        say("signed for {domain} ({keys})", domain=domain, keys=", ".join(message["selectors"]))
        if domain
        else say("not signed")
    )
    if message["states"].keys() == {State.CAPTURED}:
        return say("stays here, {signed}", signed=signed)
    return say("leaves through credential {credential}, {signed}", credential=message["credential"], signed=signed)


def _warnings(message: Mapping[str, Any], say: Say) -> Iterator[str]:
    yield from (say(_UNREADABLE[part]) for part in message["unreadable"])
    if pause := message.get("paused"):
        yield say("CREDENTIAL PAUSED since {at}: {reply}", at=local_time(pause["since"]), reply=pause["reply"])
        next_log_in = say("next log-in {at}.", at=local_time(pause["until"]))
        yield f"{next_log_in} {say(LOG_IN_REFUSED)}"
    if message.get("suspended"):
        sender = message["account"] or message["client"]
        yield say("SENDER SUSPENDED: {sender}. 'smtprelay account resume' lets it send again.", sender=sender)


def _recipient(message: Mapping[str, Any], recipient: Mapping[str, Any], say: Say, now: int) -> RecipientStory:
    history: Sequence[Mapping[str, Any]] = recipient["history"]
    left_out = max(len(history) - FIRST - LAST, 0)
    cut = FIRST if left_out else len(history)
    return RecipientStory(
        address=recipient["recipient"],
        state=State(recipient["state"]),
        standing=_standing(recipient, say, now),
        first=tuple(_attempt(attempt, say) for attempt in history[:cut]),
        left_out=say("… {count} more attempts …", count=left_out) if left_out else "",
        last=tuple(_attempt(attempt, say) for attempt in history[cut + left_out :]),
        advice=advise(message, recipient, say),
    )


def _standing(recipient: Mapping[str, Any], say: Say, now: int) -> str:
    count = recipient["attempts"]
    attempts = say("1 attempt") if count == 1 else say("{count} attempts", count=count)
    updated, reason = local_time(recipient["updated_at"]), recipient["reason"]
    match recipient["state"]:
        case State.QUEUED if recipient["next_at"] > now:
            wait, at = interval(recipient["next_at"] - now, say), local_time(recipient["next_at"])
            return say("waiting after {attempts}, next attempt in {wait}, {at}", attempts=attempts, wait=wait, at=at)
        case State.QUEUED:
            return say("waiting after {attempts}, due now", attempts=attempts)
        case State.SENDING:
            return say("being sent now, attempt {number}", number=count)
        case State.HELD:
            return say("held since {at}: {reason}", at=updated, reason=reason)
        case State.BOUNCED:
            return say(
                "bounced ({reason}) {at} after {attempts}; notification: {dsn}",
                reason=reason,
                at=updated,
                attempts=attempts,
                dsn=recipient["dsn"] or say("none"),
            )
        case State.SUPPRESSED:
            dsn = recipient["dsn"] or say("none")
            return say("suppressed {at}: {cause}; notification: {dsn}", at=updated, cause=named(reason, say), dsn=dsn)
        case State.DELIVERED if fate := recipient["fate"]:
            return say(
                "delivered to the platform {at} after {attempts}, {later}",
                at=updated,
                attempts=attempts,
                later=refused_later(fate["cause"], fate["at"], say),
            )
        case state:
            return say(_ENDED[state], at=updated, attempts=attempts)


def refused_later(cause: str, at: int, say: Say = english) -> str:
    """What the platform told of a recipient that it had taken.

    :param at: when, in Unix milliseconds; the day is told.
    """
    return say("then refused: {cause} (told on {day})", cause=named(cause, say), day=day_of(at))


def _attempt(attempt: Mapping[str, Any], say: Say) -> AttemptStory:
    at, number = local_time(attempt["started_at"]), attempt["number"]
    if not attempt["ended_at"]:
        return AttemptStory(at, number, attempt["outcome"], say("under way"), "")
    status = attempt_status(attempt["outcome"], ambiguous=attempt["ambiguous"])
    told = say(_STATUS[status])
    if attempt["phase"] != Phase.ROUTING:  # where nobody was asked, there is no more to tell
        seconds = f"{(attempt['ended_at'] - attempt['started_at']) / 1000:.1f}"
        told = say("{status} at {phase} after {seconds}s", status=told, phase=attempt["phase"], seconds=seconds)
    reply = told_reply(attempt["reply"], status, say)
    return AttemptStory(at, number, status, told, f"{attempt['smarthost']} {reply}".strip())


def told_reply(reply: str, status: str, say: Say) -> str:
    """Words of ours, where somebody was suppressed; else of the smarthost's, which stay as they came."""
    return say(reply) if status == "suppressed" else reply

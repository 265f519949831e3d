"""What comes of a message: facts from the wire → a receipt, or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smtprelay.contacts import Contact
from smtprelay.errors import Ambiguous, Refused, SMTPRelayError, Unreachable
from smtprelay.instructions import read_queued
from smtprelay.outcome import Fact, Phase


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message was taken: the relay has it on disk, or (`direct`) the smarthost has it.

    :param id: the relay's id of it, for ``smtprelay queue why ID``.
    :param accepted: the recipients it was taken for.
    :param refused: those it was not taken for, each with the reason.
    :param doubtful: only with `direct`, where a message to many goes in pieces: those it may have been taken for, or
        not. To send it to them again may be to send it twice.
    :param repeated: its idempotency key came before: this is what became of the first one, and nothing was sent now.
    """

    id: str
    accepted: tuple[str, ...]
    refused: Mapping[str, Refused] = field(default_factory=dict)
    repeated: bool = False
    doubtful: Mapping[str, Ambiguous] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one contact's message: a receipt, or else an error.

    :param contact: as it was given, made a `Contact`.
    """

    contact: Contact
    receipt: Receipt | None = None
    error: SMTPRelayError | None = None

    @property
    def address(self) -> str:
        """The contact's."""
        return self.contact.address


def receipt_of(recipients: Sequence[str], facts: Sequence[Fact], *, place: str = "", id: str = "") -> Receipt:  # noqa: A002
    """The receipt that the facts come to.

    :param facts: one for each recipient, in their order.
    :param place: where a relay should be, for people.
    :param id: ours, where the other side gives none.
    :raises Refused: all recipients were.
    :raises Ambiguous: it may have been taken.
    :raises Unreachable: it was not.
    """
    taken = {address: fact.reply for address, fact in zip(recipients, facts, strict=True) if _accepts(fact)}
    if not taken:
        raise _failure(recipients, facts, place)
    others = [(address, fact) for address, fact in zip(recipients, facts, strict=True) if not _accepts(fact)]
    doubtful = {address: _doubt(fact) for address, fact in others if fact.ambiguous}
    refused = {address: _refusal(fact) for address, fact in others if not fact.ambiguous}
    reply = next(iter(taken.values()))
    assert reply is not None
    queued, repeated = read_queued(reply.text)
    return Receipt(id or queued, tuple(taken), refused, repeated, doubtful)


def _accepts(fact: Fact) -> bool:
    return fact.reply is not None and fact.reply.code < 300


def _refusal(fact: Fact) -> Refused:
    """What became of one recipient. Where others have the message already, a break is one too."""
    if fact.reply is None:
        return Refused(451, "4.4.2", fact.error)  # RFC 3463 §3.5: bad connection
    return Refused(fact.reply.code, fact.reply.enhanced, fact.reply.text)


def _doubt(fact: Fact) -> Ambiguous:
    return Ambiguous(
        f"{fact.error}: the whole message was sent and no answer came, so it may have been taken. See whether "
        "it was before you send it again; a running relay sends none twice that has an idempotency_key"
    )


def _failure(recipients: Sequence[str], facts: Sequence[Fact], place: str) -> SMTPRelayError:
    """Nobody has got it, as far as is known."""
    broken = sorted((fact for fact in facts if fact.reply is None), key=lambda fact: not fact.ambiguous)
    if broken and broken[0].ambiguous:
        return _doubt(broken[0])
    if broken:
        hint = _hint(broken[0].phase, place) if place else ""
        return Unreachable(f"{broken[0].error}: the message was not sent, it can be sent again{hint}")
    # What was said of the whole message counts more than what was said of one recipient.
    whole = _refusal(next((fact for fact in facts if fact.phase is not Phase.RCPT), facts[0]))
    return Refused(whole.code, whole.enhanced, whole.text, dict(zip(recipients, map(_refusal, facts), strict=True)))


def _hint(phase: Phase, place: str) -> str:
    match phase:
        case Phase.CONNECT:
            return f". Is a relay running at {place}?"
        case Phase.GREETING:
            return ". A port for TLS alone wants smtps:// in the URL"
    return ""

"""What comes of a message: facts from the wire → a receipt, or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smtprelay.contacts import Contact
from smtprelay.errors import Ambiguous, Refused, SMTPRelayError, Unreachable
from smtprelay.instructions import read_queued
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reply


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message was taken: the relay has it on disk, or (`direct`) the smarthost has it.

    :param id: the relay's id of it, for ``smtprelay queue why ID``.
    :param accepted: the recipients it was taken for.
    :param refused: those it was not taken for, each with the reason.
    :param repeated: its idempotency key came before: this is what became of the first one, and nothing was sent now.
    """

    id: str
    accepted: tuple[str, ...]
    refused: Mapping[str, Refused] = field(default_factory=dict)
    repeated: bool = False


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


def receipt_of(recipients: Sequence[str], facts: Sequence[Fact], place: str, id: str = "") -> Receipt:  # noqa: A002
    """The receipt that the facts come to.

    :param facts: one for each recipient, in their order.
    :param place: who was spoken to, for people.
    :param id: ours, where the other side gives none.
    :raises Refused: all recipients were.
    :raises Ambiguous: it may have been taken.
    :raises Unreachable: it was not.
    """
    for fact in facts:
        if fact.reply is None:
            raise _broken(fact, place)
    replies = {address: fact.reply for address, fact in zip(recipients, facts, strict=True) if fact.reply}
    refused = {address: _refusal(reply) for address, reply in replies.items() if reply.code >= 300}
    if len(refused) == len(replies):
        # What was said of the whole message counts more than what was said of one recipient.
        whole = next((fact.reply for fact in facts if fact.phase is not Phase.RCPT), facts[0].reply)
        assert whole is not None
        raise _refusal(whole, refused)
    taken = next(reply for reply in replies.values() if reply.code < 300)
    queued, repeated = read_queued(taken.text)
    accepted = tuple(address for address in replies if address not in refused)
    return Receipt(id or queued, accepted, refused, repeated)


def _refusal(reply: Reply, recipients: Mapping[str, Refused] | None = None) -> Refused:
    return Refused(reply.code, reply.enhanced, reply.text, recipients)


def _broken(fact: Fact, place: str) -> SMTPRelayError:
    if fact.ambiguous:
        return Ambiguous(
            f"{fact.error}: the whole message was sent and no answer came, so it may have been taken. Look whether it "
            "was before you send it again; with an idempotency_key the relay itself keeps it from being sent twice"
        )
    hint = f". Is a relay running at {place}?" if fact.phase is Phase.CONNECT else ""
    return Unreachable(f"{fact.error}: the message was not sent, it can be sent again{hint}")

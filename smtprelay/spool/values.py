"""What passes through the spool: states, leases and their results, questions and answers, what can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smtprelay.message import Message, Recipient


class State(StrEnum):
    """Where a recipient stands; the last five are ends. What is captured was kept in place of being sent."""

    QUEUED = "queued"
    SENDING = "sending"
    HELD = "held"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    CAPTURED = "captured"


DNS, DOMAIN, QUOTA = "dns", "domain", "quota"
PASSING = frozenset({DNS, DOMAIN, QUOTA})  # reasons to hold that pass by themselves
OPERATOR = "operator"  # the cause of a `Suppression` that a person entered
# What an attempt that led to a state is called: in the books, in the log (``status=``) and in the story.
OUTCOMES: Mapping[State, str] = {
    State.QUEUED: "deferred",
    State.HELD: "held",
    State.DELIVERED: "delivered",
    State.BOUNCED: "bounced",
    State.SUPPRESSED: "suppressed",
    State.CAPTURED: "captured",
}
ENDED = frozenset({State.DELIVERED, State.BOUNCED, State.SUPPRESSED, State.CANCELLED, State.CAPTURED})


def attempt_status(outcome: str, *, ambiguous: bool) -> str:
    """The one word for what came of an attempt: doubt goes before what was made of it.

    :param outcome: of `OUTCOMES`.
    """
    return "ambiguous" if ambiguous else outcome


class SpoolError(Exception):
    """The spool cannot do what was asked; the text tells the operator what is wrong and what to do."""


class SpoolFull(SpoolError):
    """The disk is full: nothing was stored."""


class SpoolDamaged(SpoolError):
    """What is in the way cannot be read: another part of the spool perhaps can."""


class LeaseLost(SpoolError):
    """The lease's token is stale: it ran out and was reclaimed. Nothing was written."""


class BodyCorrupt(SpoolError):
    """What is on disk is not what was written; the message is set aside (held), never deleted."""


@dataclass(frozen=True, slots=True)
class LeasedRecipient:
    """A recipient within a lease.

    :param id: the spool's own key of it, unique within its message.
    :param attempts: made so far, the one that this lease opened included.
    :param held: milliseconds that it spent held.
    :param warned: a delayed-DSN was sent.
    """

    id: int
    recipient: Recipient
    attempts: int
    held: int = 0
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to deliver one message to some of its recipients, until `Spool.finish` or until it runs out.

    :param message: with an empty content (`Spool.body` streams it) and, in its envelope, only these recipients.
    """

    token: str
    message: Message
    recipients: tuple[LeasedRecipient, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one recipient of a lease.

    :param recipient: `LeasedRecipient.id`.
    :param state: QUEUED (to be tried again), HELD, DELIVERED, BOUNCED, SUPPRESSED or CAPTURED.
    :param next_at: when to try again; for QUEUED only.
    :param reason: for HELD the reason, for BOUNCED ``refused`` or ``expired``, for SUPPRESSED the cause.
    :param phase: `smtprelay.outcome.Phase`, as text.
    :param reply: the smarthost's words on one line, or our words for what broke.
    :param ambiguous: the message may have been delivered.
    :param smarthost: ``host[address]:port``.
    :param dsn: for BOUNCED: the DSN's id, or in words why there is none.
    :param warned: a delayed-DSN goes out with this result.
    """

    recipient: int
    state: State
    next_at: int = 0
    reason: str = ""
    phase: str = ""
    reply: str = ""
    ambiguous: bool = False
    smarthost: str = ""
    dsn: str = ""
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Selector:
    """Which recipients an operator means: those that match all that is given.

    :param ids: message ids.
    :param account: an account's name, or a trusted client's address.
    :param to: a recipient's address, or ``*@domain``.
    :param bulk: `Message.bulk`; None: whether it is or not.
    :param credentials: names of those that they wait for; none: all.
    :param other_credentials: names of those that they do not wait for.
    :param due_by: not what is due later; Unix time in milliseconds, None for whenever.
    """

    ids: tuple[str, ...] = ()
    account: str = ""
    to: str = ""
    state: State | None = None
    reason: str = ""
    tag: str = ""
    bulk: bool | None = None
    credentials: tuple[str, ...] = ()
    other_credentials: tuple[str, ...] = ()
    due_by: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody looks for in the history: all that is given has to match.

    Case, accents and full width make no difference.

    :param text: words of the addresses, the subject, the tags, the id and the Message-ID, all of which must be there.
        The beginning of a word will do, and of what is not in ASCII (Chinese, say) any part.
    :param address: of a recipient or the reverse-path: whole, ``*@domain``, or its beginning.
    :param account: an account's name, or a trusted client's address.
    :param since: accepted then or later; Unix time in milliseconds.
    :param until: accepted before then; 0: until now.
    :param subject: the same as `text`, of the subject alone.
    :param to: a recipient's address as a whole, or ``*@domain``.
    :param reason: held, or ended, for this reason.
    """

    text: str = ""
    address: str = ""
    tag: str = ""
    account: str = ""
    state: State | None = None
    since: int = 0
    until: int = 0
    subject: str = ""
    to: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt on one recipient, as the history keeps it.

    :param ended_at: 0 while it is open.
    :param outcome: of `OUTCOMES`, or ``open``.
    """

    number: int
    started_at: int
    ended_at: int
    outcome: str
    phase: str
    reply: str
    ambiguous: bool
    smarthost: str


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that is not to be sent to.

    :param address: in its normal form (`parse_address`). It is looked up whatever the case of its ASCII letters.
    :param cause: the platform's type of failure (``1``, ``2``, ``3``, ``5``, ``8``, ``9``, or one that is not known),
        ``unsubscribed``, or ``operator``.
    :param since: when it failed or unsubscribed; Unix time in milliseconds. Of a failure that is known by its day, the
        beginning of that day in Asia/Shanghai.
    :param expires: Unix time in milliseconds; 0: never.
    :param source: who says so: ``platform ACCOUNT``, ``bounce of ID``, ``operator NAME`` or ``import``.
    :param note: words of a person or of a smarthost.
    """

    address: str
    cause: str
    since: int
    expires: int = 0
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What was told later of an address to which mail was delivered, by handing it to the platform, on that day or up
    to five days before.

    :param address: as in `Suppression`.
    :param at: the beginning of the day in Asia/Shanghai; Unix time in milliseconds.
    :param cause: the platform's type of failure.
    :param source: who says so.
    """

    address: str
    at: int
    cause: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class RecipientRecord:
    """A recipient in the books.

    :param id: the spool's own key of it, unique within its message.
    :param reply: what its last attempt was told, or what broke in it.
    :param fate: of a delivered one, the first that was told of its address for that day or later.
    """

    id: int
    recipient: Recipient
    state: State
    reason: str
    next_at: int
    attempts: int
    updated_at: int
    dsn: str
    reply: str
    history: tuple[Attempt, ...] = ()
    fate: Fate | None = None


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message in the books; its `content` is empty, its envelope has the recipients of the record.

    :param body_kept: false once all its recipients have ended, and none of them was captured.
    :param unreadable: what of it is left out, as it stands where the spool is damaged: ``fates``, ``attempts`` (with
        what they were told).
    """

    message: Message
    recipients: tuple[RecipientRecord, ...]
    body_kept: bool = True
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What `Spool.find` found, newest first.

    :param records: with all their recipients.
    :param before: the id to go on from; ``""`` where nothing older is left to look through.
    """

    records: tuple[MessageRecord, ...]
    before: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a message, or to one of its recipients: ``accepted``, ``delivered``, ``deferred``, ``bounced``,
    ``held``, ``suppressed`` or ``captured``.

    :param seq: numbers the events of this spool, in their order.
    :param at: Unix time in milliseconds.
    :param message: the message's id.
    :param recipients: whom it is about: all of an accepted message, else one.
    :param reason: of ``held`` the reason, of ``bounced`` ``refused`` or ``expired``, of ``suppressed`` the cause.
    :param attempt: the number of the attempt that led to it, which `phase` to `smarthost` are about (see `Attempt`);
        0 for none.
    :param dsn: of ``bounced``: the notification's id, or in words why there is none.
    """

    seq: int
    at: int
    event: str
    message: str
    account: str
    reverse_path: str
    message_id: str
    tags: tuple[str, ...]
    dsn_for: str
    recipients: tuple[str, ...]
    reason: str
    attempt: int
    phase: str
    reply: str
    ambiguous: bool
    smarthost: str
    dsn: str


@dataclass(frozen=True, slots=True)
class Events:
    """What `Spool.events` found, in order.

    :param last: up to this number nothing more is to be found.
    :param more: there are more to be read.
    """

    found: tuple[Event, ...]
    last: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class Stats:
    """The queue in figures.

    :param recipients: how many are in each state.
    :param oldest: when the oldest waiting message was accepted; 0 for none.
    :param credentials: how many recipients wait for each credential.
    :param bytes: size of the spool on disk.
    :param free: bytes free on its disk.
    :param held: how many recipients are held for each reason.
    """

    recipients: Mapping[State, int]
    oldest: int
    credentials: Mapping[str, int]
    bytes: int
    free: int
    held: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What went out by a credential in a span of time.

    :param recipients: that the smarthost took.
    :param ambiguous: attempts on recipients, of which nobody knows whether it did.
    """

    recipients: int
    ambiguous: int


@dataclass(frozen=True, slots=True)
class Due:
    """A recipient that is due, and what decides whether it is mailed.

    :param message: the id of its message.
    :param account: `Origin.key`.
    """

    message: str
    account: str
    reverse_path: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits, in figures: what costs no look at the history.

    :param recipients: how many are queued, being sent and held.
    :param oldest: since when the oldest message of each of these states could have gone: when it was accepted, or when
        its app wanted it to be sent. Unix time in milliseconds; a state that has none is left out.
    :param credentials: how many queued recipients wait for each credential.
    :param held: how many recipients are held for each reason.
    :param bytes: size of the spool on disk.
    :param damaged: how many messages are passed over until the next start, as they stand where the spool is damaged.
    """

    recipients: Mapping[State, int]
    oldest: Mapping[State, int] = field(default_factory=dict)
    credentials: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """The spool cannot be written, or a part of it cannot be read.

    :param since: when that failed first, without a success since; Unix time in milliseconds.
    :param words: why, and what to do.
    """

    since: int
    words: str

"""The spool's interface. No SQL, row or cursor crosses it; times are arguments, integer Unix milliseconds in UTC.

The SQLite implementation is `smtprelay.spool.sqlite`; everything above knows only this file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

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


DNS, DOMAIN = "dns", "domain"  # reasons to hold that pass by themselves
# What an attempt that led to a state is called: in the books, in the log (``status=``) and in the story.
OUTCOMES: Mapping[State, str] = {
    State.QUEUED: "deferred",
    State.HELD: "held",
    State.DELIVERED: "delivered",
    State.BOUNCED: "bounced",
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
    :param state: QUEUED (to be tried again), HELD, DELIVERED, BOUNCED or CAPTURED.
    :param next_at: when to try again; for QUEUED only.
    :param reason: for HELD the reason, for BOUNCED ``refused`` or ``expired``.
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
    """

    ids: tuple[str, ...] = ()
    account: str = ""
    to: str = ""
    state: State | None = None
    reason: str = ""
    tag: str = ""


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
class RecipientRecord:
    """A recipient in the books.

    :param id: the spool's own key of it, unique within its message.
    :param reply: what its last attempt was told, or what broke in it.
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


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message in the books; its `content` is empty, its envelope has the recipients of the record.

    :param body_kept: false once all its recipients have ended, and none of them was captured.
    """

    message: Message
    recipients: tuple[RecipientRecord, ...]
    body_kept: bool = True


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
    ``held`` or ``captured``.

    :param seq: numbers the events of this spool, in their order.
    :param at: Unix time in milliseconds.
    :param message: the message's id.
    :param recipients: whom it is about: all of an accepted message, else one.
    :param reason: of ``held`` the reason, of ``bounced`` ``refused`` or ``expired``.
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
    """

    recipients: Mapping[State, int]
    oldest: Mapping[State, int] = field(default_factory=dict)
    credentials: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """The spool cannot be written.

    :param since: when the first change failed of those without a success between them; Unix time in milliseconds.
    :param words: why, and what to do.
    """

    since: int
    words: str


class Spool(Protocol):
    """The durable queue."""

    async def put(self, messages: Sequence[Message]) -> list[str]:
        """Keep messages, all or none; durable on return. One whose idempotency key its sender (`Origin.key`) has used
        within the history is not stored again: the id of the first stands in its place.

        :raises SpoolFull: nothing was stored.
        :returns: their ids, in order.
        """

    async def with_key(self, sender: str, idempotency_key: str) -> list[str]:
        """The ids of the messages that a sender (`Origin.key`) has given this key within the history."""

    async def lease(
        self, owner: str, now: int, ttl: int, limit: int, credentials: Collection[str], max_recipients: int
    ) -> list[Lease]:
        """Take what is due, oldest first, by one commit with each recipient's state, attempts + 1 and the open attempt.

        :param ttl: milliseconds until the lease runs out.
        :param limit: leases at most.
        :param credentials: names of those that may send now.
        :param max_recipients: recipients of one lease at most.
        """

    async def extend(self, lease: Lease, until: int) -> None:
        """Let a lease run out later. :raises LeaseLost: it ran out already."""

    async def finish(self, lease: Lease, now: int, results: Sequence[Result], new: Sequence[Message] = ()) -> None:
        """End a lease: all its results and the DSNs about them in one transaction.

        A hold that came meanwhile takes effect on the results that say QUEUED, a cancel also on those that say HELD.
        The body of a message whose recipients have all ended goes, unless one of them was captured; its history stays
        until `prune`.

        :param results: one for each recipient of the lease.
        :raises LeaseLost: nothing was written.
        """

    async def end_held(self, message_id: str, now: int, results: Sequence[Result], new: Sequence[Message] = ()) -> None:
        """End recipients that are held for a reason that passes by itself (`DNS`, `DOMAIN`), and the DSNs about them,
        in one transaction; recorded as an attempt of each.

        :raises LeaseLost: one of them is not held any more, or for another reason; nothing was written.
        """

    def capture(self, now: int, since: int, kept: Callable[[Due], str]) -> AsyncIterator[Due]:
        """End as captured what is due and stays here, whatever credential it waits for; recorded as an attempt of each.

        :param since: what has been due for longer was looked at before.
        :param kept: why a recipient is not mailed, or ``""`` where it is.
        :returns: what was captured, once that is durable.
        """

    async def reclaim(self, now: int, ttl: int, limit: int) -> list[Lease]:
        """Take over leases that ran out (at start: all that the last process left), each under a new token.
        Their open attempts are of unknown result; the caller judges and finishes them."""

    async def next_due(self, credentials: Collection[str]) -> int | None:
        """When the next recipient of these credentials is due; None where nothing waits."""

    async def clamp(self, latest: int) -> int:
        """Make due by `latest` what would be due later (the clock was set back), but for first attempts that were
        asked for later (`Message.due_at`). :returns: how many."""

    def body(self, message_id: str) -> AsyncIterator[bytes]:
        """The content, in chunks of at most 256 KiB. :raises BodyCorrupt: before the chunk that is."""

    async def hold(self, selector: Selector, now: int, reason: str) -> int:
        """Hold what waits; what is being sent, if it comes back (`finish`). What is held for a reason that passes by
        itself (`DNS`, `DOMAIN`) is held for this one. :returns: how many recipients."""

    async def release(self, selector: Selector, now: int) -> int:
        """Queue what is held: due now, or when its app asked for it (`Message.due_at`) where it was never tried.
        What is being sent is no longer to be held or cancelled. :returns: how many recipients."""

    async def cancel(self, selector: Selector, now: int) -> int:
        """End what waits or is held; what is being sent, if it comes back (`finish`). :returns: how many recipients."""

    async def retry(self, selector: Selector, now: int) -> int:
        """Make what waits due now. :returns: how many recipients."""

    async def search(self, selector: Selector, limit: int, before: str = "") -> list[MessageRecord]:
        """Messages with a matching recipient, newest first, with those recipients.

        :param before: an id: only older ones.
        """

    async def find(self, query: Query, limit: int, before: str = "") -> Found:
        """Look for messages, newest first, for about 200 ms at most.

        :param before: an id: only older ones.
        """

    async def show(self, message_id: str) -> MessageRecord | None:
        """One message with all its recipients and their attempts."""

    async def stats(self) -> Stats:
        """The queue in figures."""

    async def waiting(self, now: int) -> Waiting:
        """What waits, in figures. It takes as long as that is much: 0.4 s for a million recipients."""

    @property
    def fault(self) -> Fault | None:
        """Why nothing can be written; None where it can, as far as is known."""

    async def accepted_since(self, since: int) -> dict[str, int]:
        """Recipients accepted since then, by `Origin.key`."""

    async def signed_with(self, domain: str, selector: str) -> int:
        """How many messages that have not ended carry the signature of this key. One that was stored before selectors
        were noted counts for every key of its domain.

        :param domain: ``d=`` of the signature.
        :param selector: ``s=``.
        """

    async def record(self, events: Collection[str]) -> None:
        """From now on keep these `Event`s, each in the transaction that makes it true; until then none is kept."""

    async def last_event(self) -> int:
        """The number of the last event that was kept; 0 for none."""

    async def events(self, after: int, events: Collection[str], limit: int) -> Events:
        """Events of these kinds, in order.

        :param after: only those with higher numbers.
        """

    async def count_events(self, after: int, events: Collection[str]) -> int:
        """How many there are of these kinds with higher numbers."""

    async def drop_events(self, upto: int, before: int) -> list[tuple[int, str]]:
        """Drop events that are numbered up to `upto` or happened before then, in one slice of a few milliseconds.
        :returns: number and kind of those that went; none when there is no more to do."""

    def free(self) -> int:
        """Bytes free on the spool's disk, now or a moment ago."""

    async def remember(self, key: str, value: str | None) -> None:
        """Keep a small fact over restarts; None forgets it."""

    async def recall(self, prefix: str) -> dict[str, str]:
        """The facts whose key begins so."""

    async def prune(self, before: int) -> int:
        """Drop messages whose recipients all ended before then, with the bodies of what was captured, in one slice of
        about 20 ms.
        :returns: how many messages went; 0 when there is no more to do."""

    async def answer(self) -> None:
        """Return when whatever writes has come to this, be it with an error; nothing is stored. Where it hangs, this
        hangs."""

    async def close(self) -> None:
        """Finish what was begun and let go of the file."""

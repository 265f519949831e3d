"""The spool's interface. No SQL, row or cursor crosses it; times are arguments, integer Unix milliseconds in UTC.

The SQLite implementation is `smtprelay.spool.sqlite`; everything above knows only this file and the values that
pass through it, `smtprelay.spool.values`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from typing import Protocol

from smtprelay.message import Message
from smtprelay.spool.values import (
    Due,
    Events,
    Fate,
    Fault,
    Found,
    HandedOver,
    Lease,
    MessageRecord,
    Query,
    Result,
    Selector,
    State,
    Stats,
    Suppression,
    Waiting,
)


class Spool(Protocol):
    """The durable queue."""

    async def put(self, messages: Sequence[Message]) -> list[str]:
        """Keep messages, all or none; durable on return. One whose idempotency key its sender (`Origin.key`) has used
        within the history is not stored again: the id of the first stands in its place. Recipients that are suppressed
        have ended, which is recorded as an attempt of each; a message of such ones alone is kept without its body.

        :raises SpoolFull: nothing was stored.
        :returns: their ids, in order.
        """

    async def with_key(self, sender: str, idempotency_key: str) -> list[str]:
        """The ids of the messages that a sender (`Origin.key`) has given this key within the history."""

    async def lease(
        self, owner: str, now: int, ttl: int, limit: int, credentials: Collection[str], max_recipients: int
    ) -> list[Lease]:
        """Take what is due, oldest first, by one commit with each recipient's state, attempts + 1 and the open attempt.
        A message that is damaged is held as ``corrupt``; where that cannot be written, it is passed over until the next
        start (`Waiting.damaged`).

        :param ttl: milliseconds until the lease runs out.
        :param limit: leases at most.
        :param credentials: names of those that may send now.
        :param max_recipients: recipients of one lease at most.
        """

    async def extend(self, lease: Lease, until: int) -> None:
        """Let a lease run out later. :raises LeaseLost: it ran out already."""

    async def finish(
        self,
        lease: Lease,
        now: int,
        results: Sequence[Result],
        new: Sequence[Message] = (),
        suppress: Sequence[Suppression] = (),
    ) -> None:
        """End a lease: all its results, the DSNs about them and the addresses that they suppress in one transaction.

        A hold that came meanwhile takes effect on the results that say QUEUED, a cancel also on those that say HELD.
        The body of a message whose recipients have all ended goes, unless one of them was captured; its history stays
        until `prune`.

        :param results: one for each recipient of the lease.
        :raises LeaseLost: nothing was written.
        :raises SpoolDamaged: nor can it be; the recipients are being sent until the next start.
        """

    async def end_held(self, message_id: str, now: int, results: Sequence[Result], new: Sequence[Message] = ()) -> None:
        """End recipients that are held for a reason that passes by itself (`PASSING`), and the DSNs about them, in one
        transaction; recorded as an attempt of each.

        :raises LeaseLost: one of them is not held any more, or for another reason; nothing was written.
        """

    def capture(self, now: int, since: int, kept: Callable[[Due], str]) -> AsyncIterator[Due]:
        """End as captured what is due and stays here, whatever credential it waits for; recorded as an attempt of each.

        :param since: what has been due for longer was looked at before.
        :param kept: why a recipient is not mailed, or ``""`` where it is.
        :returns: what was captured, once that is durable.
        :raises SpoolError: where some of it is damaged, only after all the rest was captured.
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
        itself (`PASSING`) is held for this one, unless this one does so too. :returns: how many recipients."""

    async def release(self, selector: Selector, now: int, limit: int | None = None) -> int:
        """Queue what is held, oldest first: due now, or in its old turn where it was never tried. What is being sent is
        no longer to be held or cancelled.

        :param limit: recipients at most; None: all.
        :returns: how many recipients.
        """

    async def cancel(self, selector: Selector, now: int) -> int:
        """End what waits or is held; what is being sent, if it comes back (`finish`). :returns: how many recipients."""

    async def retry(self, selector: Selector, now: int) -> int:
        """Make what waits due now. :returns: how many recipients."""

    async def states(self, ids: Sequence[str]) -> dict[str, Counter[State]]:
        """How many recipients of these messages are in each state. What is not known is left out."""

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

    async def going(self, by: int) -> dict[str, int]:
        """How many recipients are being sent, or queued and due by then, by credential."""

    @property
    def fault(self) -> Fault | None:
        """Why nothing can be written; None where it can, as far as is known."""

    async def accepted_since(self, since: int) -> dict[str, int]:
        """Recipients accepted since then, by `Origin.key`."""

    async def handed_over(self, since: int, until: int) -> dict[str, HandedOver]:
        """What smarthosts took from `since` on and before `until`, by credential, as far as the history goes back."""

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

    async def suppress(self, entries: Iterable[Suppression]) -> int:
        """Enter addresses that are not to be sent to, a hundred in one transaction, so that mail goes on meanwhile.

        An entry is replaced by one that lasts longer, or lasts as long and is about something later; that of a person
        (`OPERATOR`) by one that lasts longer, and by another person's. What a person removed is entered again by what
        happened later, or by a person.

        :returns: how many were new or changed.
        """

    async def unsuppress(self, addresses: Iterable[str], now: int) -> int:
        """Let addresses be sent to again; that a person wanted so is kept. :returns: how many were suppressed."""

    async def suppression(self, address: str, now: int) -> Suppression | None:
        """Why an address is not to be sent to; None where it may be, or where that cannot be read: mail goes on.
        Asked for at every RCPT and every attempt."""

    async def suppressions(self, after: str, limit: int, *, cause: str = "", text: str = "") -> list[Suppression]:
        """A page of those that are not to be sent to, by address. What has expired is among them until `prune`.

        :param after: the last address of the page before.
        :param cause: only those.
        :param text: only those with it in address, source or note.
        """

    async def count_suppressions(self) -> dict[str, int]:
        """How many `suppressions` there are, by cause. It takes some 200 ms for a million."""

    @property
    def suppression_fault(self) -> Fault | None:
        """Why an address could not be looked up in the list; None where each could since the start."""

    async def report(self, fates: Iterable[Fate]) -> int:
        """Keep what was told of addresses after mail was delivered to them, as long as the history.
        :returns: how many were new."""

    async def prune(self, before: int, now: int) -> int:
        """Drop messages whose recipients all ended before then, with the bodies of what was captured, in one slice of
        about 20 ms; where there are none, also fates from before then, and suppressions that have expired.
        :returns: how many messages went; 0 when there is no more to do."""

    async def answer(self) -> None:
        """Return when whatever writes has come to this, be it with an error; nothing is stored. Where it hangs, this
        hangs."""

    async def close(self) -> None:
        """Finish what was begun and let go of the file."""

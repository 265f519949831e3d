"""Mail that is held for its domain: let go when DNS says that the domain is set up, returned when it says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from smtprelay.domains.verdict import Verdict
from smtprelay.message import Message
from smtprelay.policy import Gate, Policy
from smtprelay.reply import Reject, Reply
from smtprelay.spool import DNS, DOMAIN, MessageRecord, Selector, Spool, SpoolError, State
from smtprelay.watch import Watch

log = structlog.get_logger("holding")

PAGE = 500  # messages that are looked up at one time
AGAIN = 10.0  # seconds until a spool that failed is tried again


class Holding:
    """Goes through what is held whenever a domain's verdict is there.

    :param refuse: ends a held message by a reply, with the notification that is due (`Delivery.refuse`).
    :param let_go: called with messages that go on, before `wake` (`PlatformAccounts.let_go`).
    :param wake: called when mail or notifications may have become due.
    :param clock: Unix time in milliseconds.
    """

    def __init__(
        self,
        spool: Spool,
        watch: Watch,
        gate: Gate,
        policy: Policy,
        *,
        refuse: Callable[[MessageRecord, Reply], Awaitable[None]],
        let_go: Callable[[Sequence[Message]], Awaitable[None]],
        wake: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._watch = watch
        self._refuse = refuse
        self._let_go = let_go
        self._wake = wake
        self._clock = clock
        self._answered = asyncio.Event()
        watch.answered = self.answered
        self.use(gate, policy)

    def use(self, gate: Gate, policy: Policy) -> None:
        """Judge by other rules from now on, also what is held already."""
        self._gate = gate
        self._policy = policy
        self._answered.set()

    def accepted(self, message: Message) -> None:
        """A message was stored."""
        if message.hold in (DNS, DOMAIN) and not self._wait_for(message):
            self._answered.set()  # DNS has answered while it was stored

    def answered(self, verdict: Verdict) -> None:
        """A domain was looked up."""
        if verdict.domain in self._watch.waiting and self._judge(verdict.domain) not in (DNS, DOMAIN):
            self._answered.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._answered.wait()
            self._answered.clear()
            try:
                await self._go_through()
            except SpoolError as error:
                log.error("held mail could not be looked through", reason=str(error))
                self._answered.set()
                await asyncio.sleep(AGAIN)

    async def _go_through(self) -> None:
        self._watch.waiting.clear()
        for reason in (DNS, DOMAIN):
            before, full = "", True
            while full:
                page = await self._spool.search(Selector(state=State.HELD, reason=reason), PAGE, before)
                await self._decide(page, reason)
                full = len(page) == PAGE
                before = page[-1].message.id if page else ""

    async def _decide(self, page: Sequence[MessageRecord], reason: str) -> None:
        free, refused = [], 0
        for record in page:
            judged = [self._judge(domain) for domain in self._policy.domains_of(record.message)]
            if refusal := next((result for result in judged if isinstance(result, Reject)), None):
                await self._refuse(record, refusal.reply)
                refused += 1
            elif not self._wait_for(record.message):
                free.append(record.message)
        if free:
            held = Selector(tuple(message.id for message in free), state=State.HELD, reason=reason)
            count = await self._spool.release(held, self._clock())
            log.warning("held mail goes on: its domains are set up", recipients=count)
            await self._let_go(free)
        if refused:
            self._answered.set()  # an operator may have moved some of a message's recipients meanwhile
        if free or refused:
            self._wake()

    def _wait_for(self, message: Message) -> set[str]:
        """The domains that keep a message; they are looked up until they do not."""
        domains = {domain for domain in self._policy.domains_of(message) if self._judge(domain) in (DNS, DOMAIN)}
        self._watch.waiting |= domains
        return domains

    def _judge(self, domain: str) -> str | Reject:
        if not self._gate.lists(domain):
            return DOMAIN  # it was when the mail was taken: that may be a mistake, and what is returned is gone
        verdict = self._watch.known(domain)
        try:
            return self._gate.judge(domain, verdict)
        except Reject as refusal:
            # For the same reason DNS itself has to say so, and now.
            return refusal if verdict and self._watch.is_news(verdict) else DNS

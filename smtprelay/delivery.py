"""One attempt: record it, make it, record what came of it.

The spool has committed the attempt before `Delivery.deliver` begins; `outcome` judges; this module carries the facts
from the one to the other and the verdict back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from smtprelay import metrics, outcome, suppression
from smtprelay.config import Config, Credential
from smtprelay.message import Message, Recipient, Suppressed, domain_of
from smtprelay.notifications import Notifications, Notify
from smtprelay.outcome import Bounce, Captured, Delivered, Fact, Hold, Outcome, Phase, RetryAt, RetryPolicy
from smtprelay.reply import Reply
from smtprelay.routing import NOBODY, Parted, Routing
from smtprelay.spool import (
    OUTCOMES,
    BodyCorrupt,
    Lease,
    LeasedRecipient,
    LeaseLost,
    MessageRecord,
    Result,
    Spool,
    SpoolDamaged,
    SpoolError,
    State,
    Suppression,
    attempt_status,
)
from smtprelay.suppression import of_bounce
from smtprelay.upstream import Progress, Report, Upstream

log = structlog.get_logger("delivery")

FINISH_AGAIN = 5.0  # seconds


class Delivery:
    """Makes attempts.

    :param routing: who is really mailed.
    :param notify: makes the DSN about a message, or says why there is none.
    :param refused: told the name of a credential that the smarthost refused, and its words.
    :param clock: Unix time in milliseconds.
    """

    def __init__(
        self,
        config: Config,
        spool: Spool,
        upstream: Upstream,
        *,
        routing: Routing,
        notify: Notify,
        refused: Callable[[str, str], None],
        clock: Callable[[], int],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._upstream = upstream
        self._routing = routing
        self._notifications = Notifications(config, spool, notify)
        self._refused = refused
        self._clock = clock
        self._chance = chance
        self.use(config)

    def use(self, config: Config) -> None:
        """Judge by another configuration from now on."""
        self._credentials = {credential.key: credential for credential in config.upstream.credentials}
        self._notifications.use(config)
        self._suppression = config.suppression
        self._policy = RetryPolicy(config.retry.schedule, config.retry.give_up_after, config.retry.ambiguous)

    async def deliver(self, lease: Lease, sent: Callable[[], None] = lambda: None) -> None:
        """Make the attempt that a lease opened. A shutdown may cancel it; what came of it is recorded all the same.

        :param sent: called when the attempt is over, before it is recorded.
        """
        message = self._as_sent(lease.message)
        suppressed = NOBODY
        parted, rules = self._parted(lease, suppressed), self._routing.changes
        progress = Progress()
        body = _Body(
            self._spool,
            message.id,
            may_leave=lambda: rules == self._routing.changes or self._parted(lease, suppressed).sent == parted.sent,
        )
        began = time.monotonic()
        try:
            report = Report(())
            if suppressed := await self._suppressed(lease):
                parted = self._parted(lease, suppressed)
            if parted.sent:
                report = await self._upstream.send(message.credential, message, parted.sent, body.chunks, progress)
        except asyncio.CancelledError:
            fact = Fact(Phase.DOT if progress.dot_sent else Phase.CONNECT, error="cut by a shutdown")
            fact = replace(fact, ambiguous=progress.dot_sent)
            facts = parted.facts((fact,) * len(parted.sent))
            await self._record(lease, Report(facts), stopped=not progress.dot_sent)
            raise
        except Exception as error:  # a fault of ours must not keep the message out of the queue
            log.exception("the attempt failed within smtprelay", id=message.id)
            fact = Fact(progress.phase, error=f"smtprelay failed: {error!r}", ambiguous=progress.dot_sent)
            report = Report((fact,) * len(parted.sent), progress.smarthost)
        if (facts := parted.facts(report.facts)) != report.facts:
            report = replace(report, facts=facts)
        if body.unreadable:  # for now; the message itself may be sound
            report = replace(report, facts=tuple(replace(fact, corrupt=False) for fact in report.facts))
        self._tell_of_refusals(message.credential, report)
        if parted.sent:
            metrics.ATTEMPT_SECONDS.observe(time.monotonic() - began)
        sent()
        recording = asyncio.create_task(self._record(lease, report))
        try:
            await asyncio.shield(recording)
        except asyncio.CancelledError:
            await recording  # what is known must not become doubt; cancelled once more, it ends
            raise

    def leaving(self, lease: Lease) -> int:
        """How many recipients the smarthost will be told of, at most."""
        return len(self._parted(lease, NOBODY).sent)

    async def judge_abandoned(self, lease: Lease) -> None:
        """End a lease that the last process left open: nobody knows what came of its attempt."""
        fact = Fact(Phase.UNKNOWN, error="smtprelay stopped during this attempt", ambiguous=True)
        await self._record(lease, Report((fact,) * len(lease.recipients)))

    async def refuse(self, record: MessageRecord, reply: Reply) -> None:
        """End held recipients by a refusal of ours, as it is known now that their message cannot be sent.

        :param record: with those recipients.
        """
        now = self._clock()
        leased = tuple(LeasedRecipient(held.id, held.recipient, held.attempts + 1) for held in record.recipients)
        lease = Lease("", record.message, leased)
        report = Report((Fact(Phase.POLICY, reply, local=True),) * len(leased))
        results, notifications = await self._judged(lease, report, now)
        try:
            await self._spool.end_held(record.message.id, now, results, notifications)
        except LeaseLost:  # an operator was there first
            return
        self._log(lease, report, results, now)

    def _parted(self, lease: Lease, suppressed: Mapping[str, Suppressed]) -> Parted:
        return self._routing.parted(lease.message, [leased.recipient for leased in lease.recipients], suppressed)

    async def _suppressed(self, lease: Lease) -> dict[str, Suppressed]:
        """Who is not to be sent to by now: a message may have waited for days since it was accepted."""
        now, found = self._clock(), {}
        for leased in lease.recipients:
            if entry := await self._spool.suppression(leased.recipient.address, now):
                found[leased.recipient.address] = suppression.mark(entry)
        return found

    def _as_sent(self, message: Message) -> Message:
        """The envelope as the credential asks for it; the null reverse-path stays null."""
        credential: Credential | None = self._credentials.get(message.credential)
        if not credential or credential.rewrite_sender == "never" or not message.envelope.reverse_path:
            return message
        return replace(message, envelope=replace(message.envelope, reverse_path=credential.username))

    def _tell_of_refusals(self, credential: str, report: Report) -> None:
        """Before the connection is free: the next message must not log in with it."""
        for fact in report.facts:
            if outcome.refuses_credential(fact):
                self._refused(credential, str(fact))
                return

    async def _record(self, lease: Lease, report: Report, *, stopped: bool = False) -> None:
        now = self._clock()
        results, notifications = await self._judged(lease, report, now, stopped=stopped)
        await self._finish(lease, now, results, notifications, self._entered(lease, report, now))
        self._log(lease, report, results, now)

    async def _judged(
        self, lease: Lease, report: Report, now: int, *, stopped: bool = False
    ) -> tuple[list[Result], list[Message]]:
        """What becomes of each recipient, and the DSNs about it."""
        verdicts = [
            RetryAt(now)
            if stopped and fact.phase is not Phase.ROUTING
            else self._judge(leased, fact, lease.message, now)
            for leased, fact in zip(lease.recipients, report.facts, strict=True)
        ]
        results = [
            self._result(leased, fact, verdict, report)
            for leased, fact, verdict in zip(lease.recipients, report.facts, verdicts, strict=True)
        ]
        return await self._notifications.due(lease, report, verdicts, results, now)

    def _entered(self, lease: Lease, report: Report, now: int) -> list[Suppression]:
        """Whom the next mail need not try any more, by what the smarthost refused."""
        entries = (
            of_bounce(leased.recipient.address, fact, lease.message.id, now, self._suppression)
            for leased, fact in zip(lease.recipients, report.facts, strict=True)
        )
        return [entry for entry in entries if entry]

    def _log(self, lease: Lease, report: Report, results: Sequence[Result], now: int) -> None:
        for leased, result, fact in zip(lease.recipients, results, report.facts, strict=True):
            _log_attempt(lease.message, leased, result, fact, now)
            _count(lease.message, leased.recipient, result, now)

    async def _finish(
        self,
        lease: Lease,
        now: int,
        results: Sequence[Result],
        new: Sequence[Message],
        suppress: Sequence[Suppression],
    ) -> None:
        """What happened must be known: while the disk is full, it is written again and again; not where the file is
        damaged, for the others wait for this one's place."""
        while True:
            try:
                await self._spool.finish(lease, now, results, new, suppress)
                return
            except LeaseLost:
                log.critical("lease lost: the attempt's result is not recorded", id=lease.message.id)
                return
            except SpoolDamaged as error:
                log.critical("the attempt's result cannot be recorded", id=lease.message.id, reason=str(error))
                return
            except SpoolError as error:
                log.critical("the attempt's result cannot be recorded yet", id=lease.message.id, reason=str(error))
                await asyncio.sleep(FINISH_AGAIN)

    def _judge(self, leased: LeasedRecipient, fact: Fact, message: Message, now: int) -> Outcome:
        age = now - message.due_at - leased.held
        verdict = outcome.judge(fact, self._policy, now=now, attempts=leased.attempts, age=age, chance=self._chance())
        if isinstance(verdict, Bounce) and message.dsn_for:
            log.warning("a notification could not be delivered", id=message.id, about=message.dsn_for, reply=str(fact))
        return verdict

    def _result(self, leased: LeasedRecipient, fact: Fact, verdict: Outcome, report: Report) -> Result:
        result = Result(
            leased.id,
            State.DELIVERED,
            phase=fact.phase,
            reply=str(fact),
            ambiguous=fact.ambiguous,
            smarthost=report.smarthost,
            warned=leased.warned,
        )
        match verdict:
            case Delivered():
                return result
            case RetryAt(at):
                return replace(result, state=State.QUEUED, next_at=at)
            case Hold(reason):
                return replace(result, state=State.HELD, reason=reason)
            case Bounce(cause, _):
                return replace(result, state=State.BOUNCED, reason=cause)
            case Suppressed(cause, _):
                return replace(result, state=State.SUPPRESSED, reason=cause, smarthost="")
            case Captured():
                return replace(result, state=State.CAPTURED, smarthost="")


class _Body:
    """The content of a message, read once.

    :param may_leave: asked when the smarthost waits for it: a reload may have changed who is mailed.
    :ivar unreadable: it could not be read, though it is not known to be corrupt.
    """

    def __init__(self, spool: Spool, message_id: str, may_leave: Callable[[], bool]) -> None:
        self.unreadable = False
        self._spool = spool
        self._message_id = message_id
        self._may_leave = may_leave

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            if not self._may_leave():
                raise SpoolError("not sent: a reload has changed who is mailed; it is tried again by the new rules")
            async for chunk in self._spool.body(self._message_id):
                yield chunk
        except BodyCorrupt:
            raise
        except SpoolError:
            self.unreadable = True
            raise


_COUNTED = {
    State.DELIVERED: metrics.DELIVERED,
    State.QUEUED: metrics.DEFERRED,
    State.BOUNCED: metrics.BOUNCED,
}


def _count(message: Message, recipient: Recipient, result: Result, now: int) -> None:
    host, _, rest = result.smarthost.partition("[")
    where = domain_of(recipient.address), host + rest.rpartition("]")[2] if host else metrics.NONE
    if counter := _COUNTED.get(result.state):
        counter.add(*where)
    if result.state is State.CAPTURED:
        metrics.CAPTURED.add(where[0])
    if result.state is State.SUPPRESSED:
        metrics.SUPPRESSED.add(result.reason)
    if result.ambiguous:
        metrics.AMBIGUOUS.add(*where)
    if result.state is State.DELIVERED:
        metrics.DELIVERY_SECONDS.observe(max(now - message.due_at, 0) / 1000)


def _log_attempt(message: Message, leased: LeasedRecipient, result: Result, fact: Fact, now: int) -> None:
    recipient: Recipient = leased.recipient
    log.log(
        20 if result.state in (State.DELIVERED, State.CAPTURED) else 30,
        "attempt",
        id=message.id,
        reverse_path=message.envelope.reverse_path,
        recipient=recipient.address,
        smarthost=result.smarthost,
        delay=round((now - message.due_at) / 1000, 2),
        attempt=leased.attempts,
        dsn=_status(fact),
        status=attempt_status(OUTCOMES[result.state], ambiguous=fact.ambiguous),
        phase=fact.phase,
        reply=str(fact),
        **({"reason": result.reason} if result.reason else {}),
        **({"notification": result.dsn} if result.dsn else {}),
    )


def _status(fact: Fact) -> str:
    if fact.reply:
        return fact.reply.status
    if fact.suppressed:
        return suppression.status_of(fact.suppressed.cause)
    return "2.0.0" if fact.phase is Phase.ROUTING else "4.0.0"

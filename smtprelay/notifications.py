"""Which DSNs the verdicts on an attempt ask for (RFC 3461), and what they tell; `bounce` writes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from smtprelay import bounce
from smtprelay.config import Config
from smtprelay.message import Message, Suppressed
from smtprelay.outcome import Bounce, Delivered, Fact, Outcome, RetryAt
from smtprelay.spool import Lease, LeasedRecipient, Result, Spool, SpoolError
from smtprelay.suppression import status_of
from smtprelay.upstream import Report

log = structlog.get_logger("delivery")

RETURN_WHOLE = 2**20  # octets: larger messages are returned by their header alone, whatever RET says

Notify = Callable[[Message, Sequence[bounce.Status], bytes, bytes | None], Awaitable[Message | str]]


class Notifications:
    """Has the DSNs made that are due.

    :param notify: makes the DSN about a message, or says why there is none.
    """

    def __init__(self, config: Config, spool: Spool, notify: Notify) -> None:
        self._spool = spool
        self._notify = notify
        self.use(config)

    def use(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self._discards = config.suppression.action == "discard"
        self._delay_warning = config.bounces.delay_warning
        self._give_up_after = config.retry.give_up_after

    async def due(
        self, lease: Lease, report: Report, verdicts: Sequence[Outcome], results: Sequence[Result], now: int
    ) -> tuple[list[Result], list[Message]]:
        """The DSNs that these verdicts ask for, and the results with their ids."""
        results = list(results)
        statuses: dict[bounce.Action, dict[int, bounce.Status]] = {}
        for i, (leased, fact, verdict) in enumerate(zip(lease.recipients, report.facts, verdicts, strict=True)):
            action = self._action(lease.message, leased, fact, verdict, report, now)
            if isinstance(verdict, Suppressed) and self._discards:
                results[i] = replace(results[i], dsn='none: [suppression] action is "discard"')
            elif action and lease.message.dsn_for:
                results[i] = replace(results[i], dsn="none: this was a notification itself")
            elif action and not bounce.wants(leased.recipient, action):
                results[i] = replace(results[i], dsn=f"none: NOTIFY={leased.recipient.notify}")
            elif action:
                statuses.setdefault(action, {})[i] = self._status(leased, fact, verdict, report, lease.message, now)
        notifications = []
        for action, about in statuses.items():
            try:
                header, body = await self._original(lease.message)
                made = await self._notify(lease.message, list(about.values()), header, body)
            except Exception:
                log.exception("no notification could be made", id=lease.message.id)
                made = "none: it could not be made; the log says why"
            if isinstance(made, Message):
                notifications.append(made)
            for i in about:
                dsn = made.id if isinstance(made, Message) else made
                results[i] = replace(results[i], dsn=dsn, warned=results[i].warned or action == "delayed")
        return results, notifications

    def _action(
        self, message: Message, leased: LeasedRecipient, fact: Fact, verdict: Outcome, report: Report, now: int
    ) -> bounce.Action | None:
        match verdict:
            case Bounce() | Suppressed():  # what was accepted, its sender counts on
                return "failed"
            case Delivered() if fact.redirected_to:
                return None  # it was not relayed to whom its sender asked about
            case Delivered() if "SUCCESS" in leased.recipient.notify and not report.dsn_offered:
                return "relayed"  # RFC 3461 §5.2.2: the next hop will not report, so we do
            case RetryAt() if self._delay_warning and not leased.warned and not message.dsn_for:
                waited = now - message.due_at - leased.held
                return "delayed" if waited >= self._delay_warning else None
        return None

    def _status(
        self, leased: LeasedRecipient, fact: Fact, verdict: Outcome, report: Report, message: Message, now: int
    ) -> bounce.Status:
        match verdict:
            case Bounce(_, status):
                action: bounce.Action = "failed"
            case Suppressed(cause, _):
                action, status = "failed", status_of(cause)
            case Delivered():
                action, status = "relayed", "2.0.0"
            case _:
                action, status = "delayed", fact.reply.status if fact.reply and fact.reply.temporary else "4.4.7"
        from_smarthost = fact.reply is not None and not fact.local
        return bounce.Status(
            leased.recipient,
            action,
            status,
            diagnostic=str(fact) if from_smarthost else "",
            remote_mta=report.smarthost.partition("[")[0] if from_smarthost else "",
            explanation="" if from_smarthost else str(fact),
            last_attempt=now,
            will_retry_until=message.due_at + leased.held + self._give_up_after,
        )

    async def _original(self, message: Message) -> tuple[bytes, bytes | None]:
        """Header, and body where the whole is to be returned (RFC 3461 §4.3), of the message that a DSN is about."""
        whole = message.envelope.ret == "FULL" and message.size <= RETURN_WHOLE
        octets = b""
        try:
            async for chunk in self._spool.body(message.id):
                octets += chunk
                if not whole and b"\r\n\r\n" in octets:
                    break
        except SpoolError:  # corrupt, or not to be read now: the bounce cannot wait for it
            whole = False
        header, _, body = octets.partition(b"\r\n\r\n")
        return header + b"\r\n", body if whole else None

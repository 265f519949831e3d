"""submit(): what a message goes through between the last dot and 250."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from smtprelay import bounce, metrics, suppression
from smtprelay.clock import now_ms
from smtprelay.config import Config
from smtprelay.message import Envelope, Message, Origin, Recipient, domain_of, new_id
from smtprelay.offload import Offload
from smtprelay.outcome import Phase
from smtprelay.policy import Gate, Limits, Policy, leaving_domain
from smtprelay.preparation import Submission
from smtprelay.reply import Defer, Reject
from smtprelay.signing import Signer
from smtprelay.spool import QUOTA, Spool, SpoolError, SpoolFull
from smtprelay.steps import Steps

log = structlog.get_logger("pipeline")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that is on disk.

    :param ids: of the messages that were made of it, one in most cases.
    :param before: its idempotency key came before, and these are the ids of then.
    """

    ids: tuple[str, ...]
    before: bool = False


class Pipeline:
    """The steps, then the spool. It never changes: other settings make another one, and whoever has begun a message
    with this one ends it with this one.

    :param signer: signs notifications.
    :param quota: why a message has to wait for want of quota, or ``""`` (`PlatformAccounts.reason_to_hold`).
    :param accepted: called with each message that was stored.
    :param smtputf8: whether the smarthost of a credential takes non-ASCII local parts; None where that is not known.
    """

    def __init__(
        self,
        config: Config,
        policy: Policy,
        gate: Gate,
        limits: Limits,
        offload: Offload,
        steps: Steps,
        signer: Signer,
        spool: Spool,
        *,
        quota: Callable[[Message], str],
        accepted: Callable[[Message], None],
        smtputf8: Callable[[str], bool | None],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._config = config
        self._policy = policy
        self._gate = gate
        self._limits = limits
        self._offload = offload
        self._steps = steps
        self._signer = signer
        self._spool = spool
        self._quota = quota
        self._accepted = accepted
        self._smtputf8 = smtputf8
        self._clock = clock

    async def check_sender(self, origin: Origin, reverse_path: str, size: int) -> None:
        """At MAIL. :raises Reject: not allowed. :raises Defer: 452 4.3.1, the disk is nearly full (RFC 5321 §4.2.2)."""
        if reverse_path:
            self._policy.check_sender(origin, reverse_path)
            credential = self._policy.credential_for(reverse_path)
            await self._gate.admit(leaving_domain(credential, reverse_path))  # to be held is decided after the dot
        if self._spool.free() - size < self._config.spool.min_free:
            log.error("disk floor reached", free=self._spool.free(), min_free=self._config.spool.min_free)
            raise Defer(452, "3.1", "The relay's disk is nearly full; free some space, or lower [spool] min_free")

    async def check_recipient(self, reverse_path: str, recipient: Recipient) -> Recipient:
        """At RCPT.

        :returns: the recipient, marked where it is taken and not to be sent to.
        :raises Reject: 553 5.6.7 (RFC 6531 §3.5): the smarthost cannot take the address; or it is not to be sent to.
        """
        if not (recipient.address.isascii() or self._may_take_utf8(reverse_path)):
            raise Reject(553, "6.7", "The provider takes no address with non-ASCII characters before the @")
        entry = await self._spool.suppression(recipient.address, self._clock())
        if entry is None:
            return recipient
        if self._config.suppression.action == "reject":
            metrics.SUPPRESSED.add(entry.cause)
            raise suppression.refusal(entry)
        return replace(recipient, suppressed=suppression.mark(entry))

    def _may_take_utf8(self, reverse_path: str) -> bool:
        return not reverse_path or self._smtputf8(self._policy.credential_for(reverse_path).key) is not False

    async def submit(self, submission: Submission) -> Accepted:
        """Take a message: on return it is on disk.

        :raises Reject: it cannot be sent; the sentence says what to mend.
        :raises Defer: it could not be stored.
        """
        asked = await self._steps.instructions(submission)
        if asked.idempotency_key:
            key = submission.origin.key, asked.idempotency_key
            if ids := await self._spooled(self._spool.with_key(*key)):
                log.info(
                    "accepted before", id=ids[0], client=submission.origin.client, account=submission.origin.account
                )
                return Accepted(tuple(ids), before=True)
        async with self._steps.messages(submission, asked) as messages:
            return await self._keep(messages)

    async def _keep(self, made: Sequence[Message]) -> Accepted:
        messages = [self._limited(message) for message in made]
        ids = await self._spooled(self._spool.put(messages))
        for message, id_ in zip(messages, ids, strict=True):
            if id_ == message.id:  # otherwise its key came in meanwhile
                self._tell(message)
        return Accepted(tuple(ids), before=ids[0] != messages[0].id)

    def _limited(self, message: Message) -> Message:
        """Held where its sender is over a limit: what waits for a person must not be let go by DNS. Only what nothing
        else holds takes of the quota. What goes to nobody does not wait."""
        limit = self._limits.reason_to_hold(message.origin, len(message.envelope.recipients), message.received_at)
        reason = limit or message.hold or self._quota(message)
        if reason and message.for_nobody:
            reason = ""
        return replace(message, hold=reason) if reason != message.hold else message

    def _tell(self, message: Message) -> None:
        _count(message)
        log.info(
            "accepted",
            id=message.id,
            client=message.origin.client,
            account=message.origin.account,
            reverse_path=message.envelope.reverse_path,
            recipients=len(message.envelope.recipients),
            size=message.size,
            credential=message.credential,
            message_id=message.message_id,
            repairs=len(message.repairs),
            **({"tags": list(message.tags)} if message.tags else {}),
        )
        if message.hold:
            tell = log.info if message.hold == QUOTA else log.error  # that is told of once, not for each of a campaign
            tell("held", id=message.id, account=message.origin.key, reason=message.hold)
        _tell_of_suppressed(message)
        self._accepted(message)

    async def _spooled(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except SpoolFull as error:
            log.error("spool full", reason=str(error))
            raise Defer(452, "3.1", "The relay's disk is full") from error
        except SpoolError as error:
            log.critical("spool failed", reason=str(error))
            raise Defer(451, "3.0", "The relay could not store the message; its log says why") from error

    async def notification(
        self, message: Message, statuses: Sequence[bounce.Status], header: bytes, body: bytes | None
    ) -> Message | str:
        """The DSN about a message, ready for the spool, or why there is none.

        It inherits the credential and the signing domain, and never has a notification of its own.
        """
        settings = self._config.bounces
        to = message.envelope.reverse_path if settings.send_to == "reverse-path" else settings.send_to
        if to == "none":
            return "none: [bounces] send_to is none"
        if not to:
            return "none: the reverse-path is null"
        entry = await self._spool.suppression(to, self._clock())
        recipient = Recipient(to, notify="NEVER", suppressed=suppression.mark(entry) if entry else None)
        size = len(header) + len(body or b"")
        made = await self._offload.run(self._compose, message, statuses, header, body, recipient, size=size)
        _tell_of_suppressed(made)
        return made

    def _compose(
        self,
        message: Message,
        statuses: Sequence[bounce.Status],
        header: bytes,
        body: bytes | None,
        recipient: Recipient,
    ) -> Message:
        now = self._clock()
        message_id = new_id(now)
        hostname = self._config.gateway.hostname
        domain = message.domain or domain_of(message.envelope.reverse_path) or hostname
        content = bounce.notification(
            message=message,
            statuses=statuses,
            header=header,
            body=body,
            sender=f"postmaster@{domain}",
            to=recipient.address,
            hostname=hostname,
            id=message_id,
            now=now,
        )
        signer = self._signer
        signing_domain = signer.domain_for(message.domain)
        if signing_domain:
            content = signer.sign(content, signing_domain, now) + content
        credential = next((c for c in self._config.upstream.credentials if c.key == message.credential), None)
        from_credential = self._config.bounces.envelope == "credential" and credential is not None
        return Message(
            id=message_id,
            envelope=Envelope(
                reverse_path=credential.username if from_credential and credential else "",
                recipients=(recipient,),
                smtputf8=not recipient.address.isascii(),
            ),
            origin=Origin("local", hostname),
            content=content,
            size=len(content),
            received_at=now,
            due_at=now,
            credential=message.credential,
            domain=signing_domain or "",
            selectors=signer.selectors(signing_domain) if signing_domain else (),
            author_domain=domain,
            subject=f"Delivery status of {message.id}",
            message_id=f"<{message_id}@{domain}>",
            dsn_for=message.id,
        )


def _count(message: Message) -> None:
    metrics.ACCEPTED.add()
    metrics.ACCEPTED_RECIPIENTS.add(n=len(message.envelope.recipients))
    metrics.ACCEPTED_BYTES.add(n=message.size)
    for tag in message.tags:
        metrics.TAGGED.add(tag)


def _tell_of_suppressed(message: Message) -> None:
    """In the words of an attempt: that is how it stands in the books."""
    for recipient in message.envelope.recipients:
        if why := recipient.suppressed:
            metrics.SUPPRESSED.add(why.cause)
            log.info(
                "attempt",
                id=message.id,
                reverse_path=message.envelope.reverse_path,
                recipient=recipient.address,
                status="suppressed",
                phase=Phase.ROUTING,
                reply=why.words,
                reason=why.cause,
            )

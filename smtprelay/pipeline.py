"""submit(): the steps that a message takes between the last dot and 250, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from smtprelay import bounce
from smtprelay.clock import now_ms
from smtprelay.config import Config
from smtprelay.message import Envelope, Message, Origin, Recipient, domain_of, new_id
from smtprelay.offload import Offload
from smtprelay.policy import Gate, Limits, Policy, leaving_domain
from smtprelay.preparation import Submission
from smtprelay.reply import Defer, Reject
from smtprelay.spool import Spool, SpoolError, SpoolFull

log = structlog.get_logger("pipeline")


class Pipeline:
    """policy ▸ repair ▸ signing ▸ spool.

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
        spool: Spool,
        *,
        accepted: Callable[[Message], None],
        smtputf8: Callable[[str], bool | None],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._config = config
        self._policy = policy
        self._gate = gate
        self._limits = limits
        self._offload = offload
        self._spool = spool
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

    def check_recipient(self, reverse_path: str, recipient: Recipient) -> None:
        """At RCPT. :raises Reject: 553 5.6.7 (RFC 6531 §3.5): the smarthost cannot take the address."""
        if recipient.address.isascii() or not reverse_path:
            return
        if self._smtputf8(self._policy.credential_for(reverse_path).key) is False:
            raise Reject(553, "6.7", "The provider takes no address with non-ASCII characters before the @")

    async def submit(
        self,
        origin: Origin,
        envelope: Envelope,
        content: bytes,
        *,
        charsets: Sequence[str] = (),
        unstuffed: bool = False,
    ) -> str:
        """Take a message: on return it is on disk.

        :param charsets: the account's own character sets for raw 8-bit text, tried before the configured ones.
        :param unstuffed: the client left the dots at the start of lines single.
        :returns: the message's id.
        :raises Reject: the message cannot be sent; the sentence says what to mend.
        :raises Defer: it could not be stored.
        """
        now = self._clock()
        message = await self._offload.prepare(Submission(origin, envelope, content, now, charsets, unstuffed))
        reasons = [await self._gate.admit(domain) for domain in self._policy.domains_of(message)]
        # What waits for a person must not be let go by DNS.
        limit = self._limits.reason_to_hold(origin, len(envelope.recipients), now)
        message = replace(message, hold=limit or next(filter(None, reasons), ""))
        await self._store(message)
        log.info(
            "accepted",
            id=message.id,
            client=origin.client,
            account=origin.account,
            reverse_path=envelope.reverse_path,
            recipients=len(envelope.recipients),
            size=message.size,
            credential=message.credential,
            message_id=message.message_id,
            repairs=len(message.repairs),
        )
        if message.hold:
            log.error("held", id=message.id, account=origin.key, reason=message.hold)
        self._accepted(message)
        return message.id

    async def _store(self, message: Message) -> None:
        try:
            await self._spool.put([message])
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
        size = len(header) + len(body or b"")
        return await self._offload.run(self._compose, message, statuses, header, body, to, size=size)

    def _compose(
        self, message: Message, statuses: Sequence[bounce.Status], header: bytes, body: bytes | None, to: str
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
            to=to,
            hostname=hostname,
            id=message_id,
            now=now,
        )
        signer = self._offload.signer
        signing_domain = signer.domain_for(message.domain)
        if signing_domain:
            content = signer.sign(content, signing_domain, now) + content
        credential = next((c for c in self._config.upstream.credentials if c.key == message.credential), None)
        from_credential = self._config.bounces.envelope == "credential" and credential is not None
        return Message(
            id=message_id,
            envelope=Envelope(
                reverse_path=credential.username if from_credential and credential else "",
                recipients=(Recipient(to, notify="NEVER"),),
                smtputf8=not to.isascii(),
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

    async def close(self) -> None:
        """Let threads and processes go."""
        await self._offload.close()

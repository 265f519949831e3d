"""submit(): the steps that a message takes between the last dot and 250, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import structlog

from smtprelay import bounce
from smtprelay.clock import now_ms
from smtprelay.config import Config
from smtprelay.message import Envelope, Message, Origin, Recipient, domain_of, new_id
from smtprelay.policy import Limits, Policy
from smtprelay.repair import repair
from smtprelay.reply import Defer, Reject
from smtprelay.signing import Signer
from smtprelay.spool import Spool, SpoolError, SpoolFull

log = structlog.get_logger("pipeline")

LARGE = 256 * 2**10  # octets of a message that takes so long to prepare that others should not wait for it


class Pipeline:
    """policy ▸ repair ▸ signing ▸ spool.

    :param accepted: called after each message that was stored.
    :param smtputf8: whether the smarthost of a credential takes non-ASCII local parts; None where that is not known.
    """

    def __init__(
        self,
        config: Config,
        policy: Policy,
        limits: Limits,
        signer: Signer,
        spool: Spool,
        *,
        accepted: Callable[[], None],
        smtputf8: Callable[[str], bool | None],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._config = config
        self._policy = policy
        self._limits = limits
        self._signer = signer
        self._spool = spool
        self._accepted = accepted
        self._smtputf8 = smtputf8
        self._clock = clock
        # Repair and signing leave the loop; OpenSSL lets the GIL go while it computes a signature. One thread for the
        # many small messages, as more would only wait for the GIL; one for large ones: nobody waits behind them.
        self._small = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="prepare-large")

    def check_sender(self, origin: Origin, reverse_path: str, size: int) -> None:
        """At MAIL. :raises Reject: not allowed. :raises Defer: 452 4.3.1, the disk is nearly full (RFC 5321 §4.2.2)."""
        if reverse_path:
            self._policy.check_sender(origin, reverse_path)
            self._policy.credential_for(reverse_path)
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
        loop = asyncio.get_running_loop()
        message = await loop.run_in_executor(
            self._executor(len(content)), self._prepare, origin, envelope, content, now, charsets, unstuffed
        )
        message = replace(message, hold=self._limits.reason_to_hold(origin, len(envelope.recipients), now))
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
        self._accepted()
        return message.id

    def _executor(self, size: int) -> ThreadPoolExecutor:
        return self._large if size > LARGE else self._small

    def _prepare(
        self, origin: Origin, envelope: Envelope, content: bytes, now: int, charsets: Sequence[str], unstuffed: bool
    ) -> Message:
        """The CPU's part of `submit`: values in, a value out."""
        message_id = new_id(now)
        # An app's own mail from <> is judged by its From: field, which repair finds.
        credential = self._policy.credential_for(envelope.reverse_path) if envelope.reverse_path else None
        repaired = repair(
            content,
            envelope=envelope,
            origin=origin,
            id=message_id,
            now=now,
            hostname=self._config.gateway.hostname,
            charsets=(*charsets, *self._config.repair.charsets),
            rewrite=credential.rewrite_sender if credential else "never",
            username=credential.username if credential else "",
        )
        credential = credential or self._policy.credential_for(repaired.authors[0])
        # Where the credential makes its username the author of everything, nobody needs leave to be it.
        anyones = credential.username if credential.rewrite_sender == "from" else None
        for author in repaired.authors:
            if author != anyones:
                self._policy.check_sender(origin, author)
        domain = self._signing_domain(repaired.from_domain)
        signature = self._signer.sign(repaired.content, domain, now) if domain else b""
        needs_utf8 = repaired.needs_smtputf8 or not all(
            address.isascii() for address in (envelope.reverse_path, *(r.address for r in envelope.recipients))
        )
        unstuffed_note = ("lines that begin with a single dot kept as they came",) if unstuffed else ()
        return Message(
            id=message_id,
            envelope=replace(envelope, smtputf8=needs_utf8),
            origin=origin,
            content=signature + repaired.content,
            size=len(signature) + len(repaired.content),
            received_at=now,
            due_at=now,
            credential=credential.key,
            domain=domain,
            subject=repaired.subject,
            message_id=repaired.message_id,
            repairs=unstuffed_note + repaired.repairs,
        )

    def _signing_domain(self, from_domain: str) -> str:
        domain = self._signer.domain_for(from_domain)
        if domain is None and self._config.signing.on_missing_key == "reject":
            raise Reject(
                550,
                "7.1",
                f"There is no DKIM key for {from_domain}: run 'smtprelay dkim keygen {from_domain}', publish the "
                "record that it prints, and name the key in [[domains.keys]]",
            )
        return domain or ""

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
        loop = asyncio.get_running_loop()
        executor = self._executor(len(body or b""))
        return await loop.run_in_executor(executor, self._compose, message, statuses, header, body, to)

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
        if message.domain and self._signer.domain_for(message.domain):
            content = self._signer.sign(content, message.domain, now) + content
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
            domain=message.domain,
            subject=f"Delivery status of {message.id}",
            message_id=f"<{message_id}@{domain}>",
            dsn_for=message.id,
        )

    def close(self) -> None:
        """Let the threads go."""
        for executor in (self._small, self._large):
            executor.shutdown(wait=True, cancel_futures=True)

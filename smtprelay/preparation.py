"""What the CPU does for a message between the last dot and the spool: repair, the author's leave, the signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from smtprelay.config import Config
from smtprelay.message import Envelope, Message, Origin, new_id
from smtprelay.policy import Policy
from smtprelay.repair import repair
from smtprelay.reply import Reject
from smtprelay.signing import Signer


@dataclass(frozen=True, slots=True)
class Submission:
    """A message as the gateway has it.

    :param content: without transparency dots.
    :param now: Unix time in milliseconds.
    :param charsets: the account's own character sets for raw 8-bit text, tried before the configured ones.
    :param unstuffed: the client left the dots at the start of lines single.
    """

    origin: Origin
    envelope: Envelope
    content: bytes
    now: int
    charsets: Sequence[str] = ()
    unstuffed: bool = False


class Preparer:
    """Values in, a value out. Safe to call from several threads at once."""

    def __init__(self, config: Config, signer: Signer) -> None:
        self.config = config
        self.signer = signer
        self._policy = Policy(config)

    def prepare(self, submission: Submission) -> Message:
        """The message as the spool takes it.

        :raises Reject: it cannot be sent; the sentence says what to mend.
        """
        origin, envelope, now = submission.origin, submission.envelope, submission.now
        message_id = new_id(now)
        # An app's own mail from <> is judged by its From: field, which repair finds.
        credential = self._policy.credential_for(envelope.reverse_path) if envelope.reverse_path else None
        repaired = repair(
            submission.content,
            envelope=envelope,
            origin=origin,
            id=message_id,
            now=now,
            hostname=self.config.gateway.hostname,
            charsets=(*submission.charsets, *self.config.repair.charsets),
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
        signature = self.signer.sign(repaired.content, domain, now) if domain else b""
        needs_utf8 = repaired.needs_smtputf8 or not all(
            address.isascii() for address in (envelope.reverse_path, *(r.address for r in envelope.recipients))
        )
        unstuffed = ("lines that begin with a single dot kept as they came",) if submission.unstuffed else ()
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
            selectors=self.signer.selectors(domain) if domain else (),
            author_domain=repaired.from_domain,
            subject=repaired.subject,
            message_id=repaired.message_id,
            repairs=unstuffed + repaired.repairs,
            changes=repaired.changes,
            bulk=repaired.bulk,
        )

    def _signing_domain(self, from_domain: str) -> str:
        domain = self.signer.domain_for(from_domain)
        if domain is None and self.config.signing.on_missing_key == "reject":
            raise Reject(
                550,
                "7.1",
                f"There is no DKIM key for {from_domain}: run 'smtprelay dkim keygen {from_domain}', publish the "
                "record that it prints, and name the key in [[domains.keys]]",
            )
        return domain or ""

"""A message on its way in: from MAIL to the last dot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from smtprelay.clock import now_ms
from smtprelay.config import Gateway
from smtprelay.gateway.commands import MailCommand, parse_rcpt
from smtprelay.gateway.data import DataDecoder
from smtprelay.message import Envelope, Origin, Recipient
from smtprelay.pipeline import Accepted, Pipeline
from smtprelay.preparation import Submission
from smtprelay.reply import Defer, Reject

INLINE = 256 * 2**10  # octets of a message that are joined on the loop; more goes to a thread


@dataclass(slots=True)
class Transaction:
    """What is known of it. Whatever is configured meanwhile, it ends by the configuration that it began with.

    :param charsets: of its account.
    """

    config: Gateway
    pipeline: Pipeline
    origin: Origin
    charsets: Sequence[str]
    mail: MailCommand
    recipients: list[Recipient] = field(default_factory=list)

    async def check(self) -> None:
        """At MAIL. :raises Reject: :raises Defer:"""
        limit = self.config.max_message_size
        if self.mail.size > limit:
            raise Reject(552, "3.4", f"{self.mail.size} octets are more than this relay takes ({limit})")
        await self.pipeline.check_sender(self.origin, self.mail.reverse_path, self.mail.size)

    async def add(self, argument: str) -> None:
        """At RCPT. :raises Reject: :raises Defer:"""
        limit = self.config.max_recipients
        if len(self.recipients) >= limit:
            raise Defer(452, "5.3", f"More than {limit} recipients: send the rest in another message")
        recipient = await self.pipeline.check_recipient(self.mail.reverse_path, parse_rcpt(argument))
        if recipient.address not in (known.address for known in self.recipients):  # or it would get two copies
            self.recipients.append(recipient)

    def decoder(self) -> DataDecoder:
        """What reads the message."""
        return DataDecoder(self.config.max_message_size)

    async def submit(self, decoder: DataDecoder, held: AsyncExitStack) -> Accepted:
        """After the dot: on return it is on disk.

        :param decoder: has read all of it.
        :param held: its share of the memory, given back once it is stored.
        :raises Reject: :raises Defer:
        """
        mail = self.mail
        envelope = Envelope(mail.reverse_path, tuple(self.recipients), mail.ret, mail.envid, mail.smtputf8)
        async with held:
            content = decoder.content() if decoder.size <= INLINE else await asyncio.to_thread(decoder.content)
            submission = Submission(self.origin, envelope, content, now_ms(), self.charsets, decoder.unstuffed)
            return await self.pipeline.submit(submission)

"""policy ▸ templating ▸ repair ▸ signing: what an app handed over → messages that can be kept, or sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from smtprelay.errors import TemplateError
from smtprelay.instructions import NONE, Instructions, is_instruction, may_instruct, read_header, read_instructions
from smtprelay.message import Message, Recipient, share_of_key
from smtprelay.offload import Offload
from smtprelay.policy import Gate, Policy
from smtprelay.preparation import Preparer, Submission
from smtprelay.repair.addresses import read_addresses
from smtprelay.repair.charsets import decode
from smtprelay.repair.fields import Field, Header
from smtprelay.repair.mending import charsets_of
from smtprelay.reply import Reject
from smtprelay.templating.job import Job, Part

INLINE = 32 * 2**10  # octets of a message whose header is read on the loop
AT_ONCE = 16  # messages that are being rendered, or that were and are not stored yet
MAX_SPLIT = 64 * 2**20  # octets of all the messages that one may become

T = TypeVar("T")
Render = Callable[[Job, int], Awaitable[Sequence[bytes]]]

_BY_TEMPLATE = ("subject", "mime-version", "content-", "dkim-signature")  # an app's signature is of its own body
_FOR_ALL = frozenset({"to", "cc", "message-id"})  # wrong in a message for one of several


class Places:
    """How many messages are made of templates at one time: a template can make much of little."""

    def __init__(self) -> None:
        self.rendered = asyncio.Semaphore(AT_ONCE)
        self.split = asyncio.Semaphore(1)


class Steps:
    """The way from the last dot to the spool, by one configuration and with one set of keys.

    :param render: carries out a job, whose messages may have so many octets together (`Rendering.render`).
    :param places: shared by all `Steps` of one process.
    """

    def __init__(
        self, policy: Policy, gate: Gate, preparer: Preparer, offload: Offload, render: Render, places: Places
    ) -> None:
        self._config = preparer.config
        self._policy = policy
        self._gate = gate
        self._preparer = preparer
        self._offload = offload
        self._render = render
        self._places = places

    async def instructions(self, submission: Submission) -> Instructions:
        """What the app asks for. :raises Reject: it cannot be understood, or its account may not."""
        if not may_instruct(submission.content):
            return NONE
        asked = await self._at_hand(submission, self._read, submission)
        if asked.template:
            self._policy.check_template(submission.origin, asked.template)
        return asked

    @asynccontextmanager
    async def messages(self, submission: Submission, asked: Instructions) -> AsyncIterator[list[Message]]:
        """The messages that become of it: one, or one for each recipient. While they are in use others wait to be
        rendered, as a template can make much of little.

        :raises Reject: one of them cannot be sent; the sentence says what to mend.
        """
        if not asked.template:
            yield [await self._prepared(submission, asked)]
            return
        several = _is_split(submission, asked)
        limit = MAX_SPLIT if several else self._config.gateway.max_message_size
        async with self._places.split if several else self._places.rendered:
            yield [message async for message in self._from_template(submission, asked, limit)]

    async def _at_hand(self, submission: Submission, work: Callable[..., T], *arguments: Any) -> T:
        """Work on a header: a thread takes longer to be asked than most of them to be read."""
        if (size := len(submission.content)) <= INLINE:
            return work(*arguments)
        return await self._offload.run(work, *arguments, size=size)

    def _read(self, submission: Submission) -> Instructions:
        return read_instructions(read_header(submission.content), self._charsets(submission), submission.now)

    def _charsets(self, submission: Submission) -> Sequence[str]:
        return (*submission.charsets, *self._config.repair.charsets)

    async def _from_template(self, submission: Submission, asked: Instructions, limit: int) -> AsyncIterator[Message]:
        job = await self._at_hand(submission, self._job, submission, asked)
        try:
            contents = await self._render(job, limit)
        except TemplateError as error:
            raise Reject(550, "6.0", str(error)) from None
        # All that says who writes was left to the template.
        authorless = not submission.envelope.reverse_path and not read_header(submission.content).first("from")
        for recipients, content in zip(_shares(submission, asked), contents, strict=True):
            envelope = replace(submission.envelope, recipients=recipients)
            if authorless:
                envelope = replace(envelope, reverse_path=_author(content))
            message = await self._prepared(
                replace(submission, envelope=envelope, content=content, unstuffed=False), asked
            )
            key = asked.idempotency_key
            if key and _is_split(submission, asked):
                key = share_of_key(key, recipients[0].address)
            repairs = (f"rendered from template {asked.template}", *message.repairs)
            yield replace(message, repairs=repairs, idempotency_key=key)

    def _job(self, submission: Submission, asked: Instructions) -> Job:
        header = read_header(submission.content)
        charsets = charsets_of(header, self._charsets(submission))
        header.remove(lambda field: is_instruction(field) or field.name.startswith(_BY_TEMPLATE))
        alone = _is_split(submission, asked)
        names = _written_addresses(header, charsets) if alone else {}
        if alone:
            header.remove(lambda field: field.name in _FOR_ALL)
        parts = []
        for recipients in _shares(submission, asked):
            address = recipients[0].address if len(recipients) == 1 else ""
            own = Field.compose("To", names.get(address.lower(), address)).raw if alone else b""
            parts.append(Part(own, address, asked.own.get(address.lower(), {})))
        fields = b"".join(field.raw for field in header.fields)
        return Job(asked.template, tuple(parts), submission.content, submission.now, fields, asked.variables)

    async def _prepared(self, submission: Submission, asked: Instructions) -> Message:
        """Repaired, signed, and admitted by its domains."""
        message = await self._offload.prepare(self._preparer, submission)
        reasons = [await self._gate.admit(domain) for domain in self._policy.domains_of(message)]
        return replace(
            message,
            hold=next(filter(None, reasons), ""),
            due_at=max(message.received_at, asked.send_at),
            tags=tuple(asked.tags),
            idempotency_key=asked.idempotency_key,
        )


def _is_split(submission: Submission, asked: Instructions) -> bool:
    return bool(asked.own) and len(submission.envelope.recipients) > 1


def _shares(submission: Submission, asked: Instructions) -> Iterator[tuple[Recipient, ...]]:
    """The recipients of each message."""
    recipients = submission.envelope.recipients
    return ((recipient,) for recipient in recipients) if _is_split(submission, asked) else iter((recipients,))


def _author(content: bytes) -> str:
    """The address of a rendered message's From:, or ``""``."""
    mailboxes = read_addresses(read_header(content).value("from").decode("ascii", "replace")).mailboxes
    return next((mailbox.address for mailbox in mailboxes if mailbox.address), "")


def _written_addresses(header: Header, charsets: Sequence[str]) -> Mapping[str, str]:
    """How To: and Cc: write each address, by the address in lower case."""
    fields = (*header.all("to"), *header.all("cc"))
    lists = (read_addresses(decode(field.value, charsets)[0]) for field in fields)
    return {mailbox.address.lower(): mailbox.text for found in lists for mailbox in found.mailboxes if mailbox.address}

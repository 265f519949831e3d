"""The send API for callers with an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from email.message import Message as EmailMessage
from os import PathLike
from types import TracebackType
from typing import Self, Unpack

from smtprelay.client.handover import Handover, Transport
from smtprelay.client.many import AnyContact, Batch
from smtprelay.client.message import Common, Fields, Message
from smtprelay.client.parcel import Addresses, pack, read
from smtprelay.client.receipt import Receipt, Result
from smtprelay.client.url import parse_url
from smtprelay.errors import InvalidMessage


class AsyncRelay:
    """A relay to send through. It belongs to the event loop in which it is used first.

    ::

        async with AsyncRelay("smtp://127.0.0.1:2525", from_="shop@example.com") as relay:
            receipt = await relay.send(to="wang@example.org", subject="你好", text="Hello")

    :param url: ``smtp://[USER:PASSWORD@]HOST[:PORT]``; TLS is used where the relay offers it, and demanded
        and verified with ``smtp+starttls://`` and ``smtps://``. ``?tls=…&tls_ca_file=…`` mean what they mean in
        `[upstream]` of the relay's configuration.
    :param from_: who writes, where a message does not say.
    :param connections: kept to the relay at one time, at most.
    :param timeout: seconds that the relay has for each answer.
    :raises ConfigError: the URL is none of a relay.
    :raises InvalidMessage: `from_` is no address.
    """

    def __init__(self, url: str, *, from_: str = "", connections: int = 4, timeout: float = 60.0) -> None:
        self._begin(Handover(parse_url(url, connections=connections, timeout=timeout)), from_)

    @classmethod
    def direct(cls, config: str | PathLike[str], *, from_: str = "") -> Self:
        """Send from this process, by the relay's configuration: messages are rendered, checked and signed, and handed
        to the smarthost. There is no spool, so that nothing is sent later or tried again, and no idempotency key is
        known: what fails, fails now.

        :param config: the relay's configuration file.
        :param from_: as above.
        :raises ConfigError: it, or what it names, cannot be used.
        """
        from smtprelay.client.direct import Direct  # DNS and keys cost memory that others need not spend

        relay = cls.__new__(cls)
        relay._begin(Direct.from_file(config), from_)
        return relay

    def _begin(self, transport: Transport, from_: str) -> None:
        read("from_", from_)
        self._transport = transport
        self._from = from_

    async def send(self, message: Message | None = None, **fields: Unpack[Fields]) -> Receipt:
        """Send a message: a `Message`, or the fields of one.

        :raises InvalidMessage: it cannot be sent like this; nobody was asked.
        :raises Refused: nobody gets it; the error has the relay's words.
        :raises Unreachable: there is no relay; it was not sent.
        :raises Ambiguous: the answer was lost; it may have been sent.
        """
        if message is not None and fields:
            raise InvalidMessage("send() takes a Message or its fields, not both")
        return await self._transport.deliver((message or Message(**fields)).pack(self._from))

    async def send_message(
        self, message: EmailMessage | bytes, *, from_: str = "", to: Addresses | None = None
    ) -> Receipt:
        """Send a message that is made already. Octets go to the relay as they are, but for the ends of lines.

        :param from_: the reverse-path; by default what ``Sender`` or ``From`` says.
        :param to: the recipients; by default all of ``To``, ``Cc`` and ``Bcc``. The relay removes ``Bcc``.
        :raises SMTPRelayError: as `send`.
        """
        return await self._transport.deliver(pack(message, from_=from_, to=to, default=self._from))

    def send_many(
        self, *, contacts: Iterable[AnyContact], idempotency_key: str = "", **fields: Unpack[Common]
    ) -> AsyncGenerator[Result]:
        """Send each contact a message of its own, over all connections at once.

        Contacts are taken as fast as they are sent to, and results come as they are known. What goes wrong with a
        contact is its result, and the others go on. To close the generator cuts off what is under way; to stop with
        everything accounted for, let `contacts` end.

        :param contacts: addresses, mappings with an ``address``, or `Contact` values. What they hold are variables of
            the template, and goes before `vars`.
        :param idempotency_key: a name for the whole. With it the same call can be made again after a break, and nobody
            gets the message twice: each message has the key ``KEY:ADDRESS``.
        :param fields: as for `send`, but without recipients.
        :raises InvalidMessage: no message could be sent like this.
        """
        return self.batch(idempotency_key, fields).send_each(contacts)

    def batch(self, idempotency_key: str, fields: Common) -> Batch:
        """What `send_many` sends, for those that go through the contacts by themselves.

        :raises InvalidMessage: no message could be sent like this.
        """
        return Batch(self._transport, self._from, idempotency_key, fields)

    async def close(self) -> None:
        """Let connections go; nothing is sent after this."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

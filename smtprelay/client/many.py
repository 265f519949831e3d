"""A message for each of many contacts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from smtprelay.client.handover import Transport
from smtprelay.client.message import Common, Message
from smtprelay.client.receipt import Result
from smtprelay.contacts import Contact
from smtprelay.errors import InvalidMessage, SMTPRelayError

AnyContact = Contact | Mapping[str, Any] | str


class Batch:
    """What all contacts are sent.

    :param from_: who writes, where the fields do not say.
    :param key: the batch's idempotency key, or ``""``.
    :ivar width: contacts that are sent to at one time.
    :raises InvalidMessage: nobody could be sent this.
    """

    def __init__(self, transport: Transport, from_: str, key: str, fields: Common) -> None:
        if recipients := fields.keys() & {"to", "cc", "bcc"}:
            raise InvalidMessage(f"send_many() sends to contacts: leave {', '.join(sorted(recipients))} out")
        self.width = 2 * transport.connections
        self._transport = transport
        self._from = from_
        self._key = key
        self._message = Message(**fields)
        replace(self._message, to="nobody@localhost").pack(from_)

    async def send(self, contact: AnyContact) -> Result:
        """Send one contact its message."""
        somebody = contact if isinstance(contact, Contact) else Contact("")
        try:
            somebody = _contact(contact)
            return Result(somebody, receipt=await self._transport.deliver(self._for(somebody).pack(self._from)))
        except SMTPRelayError as error:
            return Result(somebody, error=error)

    def _for(self, contact: Contact) -> Message:
        message = self._message
        return replace(
            message,
            to=contact.address,
            vars=contact.variables_over(message.vars) if message.template else {},
            idempotency_key=f"{self._key}:{contact.address}" if self._key else "",
        )

    async def send_all(self, contacts: Iterable[AnyContact]) -> list[Result]:
        """Send to a few contacts at one time."""
        return await asyncio.gather(*map(self.send, contacts))

    async def send_each(self, contacts: Iterable[AnyContact]) -> AsyncGenerator[Result]:
        """Send to all of them, so many at a time that every connection always has a next one."""
        sending: set[asyncio.Task[Result]] = set()
        try:
            for contact in contacts:
                sending.add(asyncio.create_task(self.send(contact)))
                if len(sending) >= self.width:
                    done, sending = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield task.result()
            for ended in asyncio.as_completed(sending):
                yield await ended
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)


def _contact(given: AnyContact) -> Contact:
    """:raises InvalidMessage: it has no address."""
    if isinstance(given, Contact):
        return given
    if isinstance(given, str):
        return Contact(given)
    values = dict(given)
    address = values.pop("address", None)
    if not isinstance(address, str):
        raise InvalidMessage(f"a contact has no address: {sorted(given)} are its keys")
    return Contact(address, values)

"""A message for each of many contacts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from smtprelay.client.handover import Transport
from smtprelay.client.message import Common, Message
from smtprelay.client.parcel import read
from smtprelay.client.receipt import Result
from smtprelay.contacts import Contact
from smtprelay.errors import InvalidMessage, SMTPRelayError
from smtprelay.instructions import MAX_KEY

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
        replace(self._message, to="nobody@localhost", idempotency_key=key).pack(from_)

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
        addresses, _ = read("address", contact.address)
        if len(addresses) != 1:
            raise InvalidMessage(f"a contact has one address, and not {len(addresses)}: {contact.address!r}")
        return replace(
            message,
            to=contact.address,
            vars=contact.variables_over(message.vars) if message.template else {},
            idempotency_key=self._key_for(addresses[0]) if self._key else "",
        )

    def _key_for(self, address: str) -> str:
        key = f"{self._key}:{address}"
        return key if len(key) <= MAX_KEY else hashlib.sha256(key.encode()).hexdigest()

    async def send_all(self, contacts: Iterable[AnyContact]) -> list[Result]:
        """Send to a few contacts at one time."""
        return await asyncio.gather(*map(self.send, contacts))

    async def send_each(self, contacts: Iterable[AnyContact]) -> AsyncGenerator[Result]:
        """Send to all of them, so many at a time that every connection always has a next one. Where the contacts break
        off, what is under way comes to its end first."""
        sending: set[asyncio.Task[Result]] = set()
        broken: list[Exception] = []
        try:
            for contact in until_broken(contacts, broken):
                sending.add(asyncio.create_task(self.send(contact)))
                if len(sending) >= self.width:
                    done, sending = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        yield task.result()
            for ended in asyncio.as_completed(sending):
                yield await ended
            for error in broken:
                raise error
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)


def until_broken(contacts: Iterable[AnyContact], broken: list[Exception]) -> Iterator[AnyContact]:
    """The contacts that there are, and then what has broken them off, for whoever has their results."""
    try:
        for contact in contacts:  # noqa: UP028 - yield from would close what is not ours
            yield contact
    except Exception as error:
        broken.append(error)


def _contact(given: object) -> Contact:
    """:raises InvalidMessage: it is none, or has no address."""
    if isinstance(given, Contact):
        return given
    if isinstance(given, str):
        return Contact(given)
    if not isinstance(given, Mapping):
        raise InvalidMessage(
            f"a contact is an address, a mapping with an 'address' or a Contact, and not {given!r:.80}"
        )
    values = dict(given)
    address = values.pop("address", None)
    if not isinstance(address, str):
        raise InvalidMessage(f"a contact has no 'address': its keys are {', '.join(map(repr, given))}")
    return Contact(address, values)

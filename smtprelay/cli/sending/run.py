"""The run: messages go, results come, Ctrl-C ends it cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager

from smtprelay.cli.configuration import fail
from smtprelay.cli.sending.show import Show
from smtprelay.cli.sending.tally import Noted, Tally
from smtprelay.client.handover import Transport
from smtprelay.client.many import Batch
from smtprelay.client.message import Common, Message
from smtprelay.client.receipt import Receipt, Result
from smtprelay.config import ConfigError
from smtprelay.contacts import BadLine, Contact, ContactFile, Duplicate
from smtprelay.errors import Ambiguous, InvalidMessage, Refused, SMTPRelayError, Unreachable

Sender = Callable[[Iterator[Contact]], AsyncIterator[Result]]


async def send_one(way: Transport, message: Message) -> Receipt:
    """Send one message, or end the program."""
    try:
        return await way.deliver(message.pack())
    except SMTPRelayError as error:
        fail(_status(error), str(error))
    finally:
        await way.close()


async def send_to_contacts(way: Transport, fields: Common, key: str, file: ContactFile, show: Show) -> Tally:
    """Send all contacts their messages.

    :param key: the batch's idempotency key, or ``""``.
    """
    try:
        return await run(Batch(way, "", key, fields).send_each, file, show)
    except InvalidMessage as error:
        fail(_status(error), str(error))
    finally:
        await way.close()


async def run(sender: Sender, items: Iterable[Contact | BadLine | Duplicate], show: Show) -> Tally:
    """Send to all contacts, until there are no more, the relay cannot be reached, nobody hears the results any more, or
    Ctrl-C or SIGTERM comes. What is under way then comes to its end.

    :param sender: makes a result of each contact.
    """
    tally = Tally()

    def note(item: Noted) -> None:
        tally.count(item)
        if tally.unheard:
            return
        try:
            show.item(item, tally)
        except OSError as error:  # its reader has gone (`| head`), or its disk is full
            tally.unheard = error.strerror or str(error)

    def contacts() -> Iterator[Contact]:
        for item in items:
            if tally.interrupted or tally.unreachable or tally.unheard:
                return
            if isinstance(item, Contact):
                yield item
            else:
                note(item)

    with _interrupts(tally):
        async for result in sender(contacts()):
            note(result)
    return tally


@contextmanager
def _interrupts(tally: Tally) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM is noted; the second one kills."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def note() -> None:
        tally.interrupted = True
        restore()

    def restore() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, note)
    try:
        yield
    finally:
        restore()


def _status(error: SMTPRelayError) -> int:
    """One of sysexits' codes."""
    match error:
        case InvalidMessage():
            return os.EX_USAGE
        case ConfigError():
            return os.EX_CONFIG
        case Unreachable():
            return os.EX_UNAVAILABLE
        case Ambiguous() | Refused(temporary=True):
            return os.EX_TEMPFAIL
        case _:
            return os.EX_DATAERR

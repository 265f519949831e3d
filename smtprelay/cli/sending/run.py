"""The run: messages go, results come, Ctrl-C ends it cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from smtprelay.cli.configuration import fail
from smtprelay.cli.sending.show import Show, show_receipt, showing
from smtprelay.cli.sending.tally import Noted, Tally
from smtprelay.client.aio import AsyncRelay
from smtprelay.client.message import Common, Message
from smtprelay.client.receipt import Result
from smtprelay.config import ConfigError
from smtprelay.contacts import BadLine, Contact, ContactFile, Duplicate
from smtprelay.errors import Ambiguous, InvalidMessage, Refused, SMTPRelayError, Unreachable

Sender = Callable[[Iterator[Contact]], AsyncIterator[Result]]


async def send_one(relay: AsyncRelay, message: Message, *, lines: bool) -> int:
    """Send one message, and show what came of it. :returns: one of sysexits' codes."""
    async with relay:
        try:
            receipt = await relay.send(message)
        except SMTPRelayError as error:
            _fail(error)
    show_receipt(receipt, lines=lines)
    if not receipt.refused:
        return os.EX_OK
    later = all(refusal.temporary for refusal in receipt.refused.values())
    return os.EX_TEMPFAIL if later else os.EX_DATAERR


async def send_to_contacts(relay: AsyncRelay, fields: Common, file: ContactFile, key: str, *, lines: bool) -> int:
    """Send all contacts their messages, and show what comes of them. :returns: one of sysexits' codes."""
    async with relay:
        with showing(file.lines, lines=lines) as show:
            try:
                tally = await run(lambda c: relay.send_many(contacts=c, idempotency_key=key, **fields), file, show)
            except SMTPRelayError as error:
                _fail(error)
            show.summary(tally, key)
    if tally.unreachable:
        print(tally.unreachable, file=sys.stderr)
    return tally.status


async def run(sender: Sender, items: Iterable[Contact | BadLine | Duplicate], show: Show) -> Tally:
    """Send to all contacts, until there are no more, the relay cannot be reached, or Ctrl-C or SIGTERM comes. What is
    under way then comes to its end.

    :param sender: makes a result of each contact.
    """
    tally = Tally()

    def note(item: Noted) -> None:
        tally.count(item)
        show.item(item, tally)

    def contacts() -> Iterator[Contact]:
        for item in items:
            if tally.interrupted or tally.unreachable:
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


def _fail(error: SMTPRelayError) -> NoReturn:
    match error:
        case InvalidMessage():
            code = os.EX_USAGE
        case ConfigError():
            code = os.EX_CONFIG
        case Unreachable():
            code = os.EX_UNAVAILABLE
        case Ambiguous() | Refused(temporary=True):
            code = os.EX_TEMPFAIL
        case _:
            code = os.EX_DATAERR
    fail(code, str(error))

"""Handing messages over to a running relay, by SMTP."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol

from smtprelay.certificates import why_unusable
from smtprelay.client.parcel import Parcel, whole
from smtprelay.client.receipt import Receipt, receipt_of
from smtprelay.client.url import LANE, Target
from smtprelay.config import ConfigError
from smtprelay.errors import Ambiguous, Refused, Unreachable
from smtprelay.message import AddressError, Envelope, Message, Origin, Recipient, normalise_domain
from smtprelay.upstream import Upstream, lanes

# Seconds before a message whose answer was lost is asked for again: a relay that restarts takes as long.
ASK_AGAIN = (0.5, 3.0)


class Transport(Protocol):
    """A way for messages to go.

    :ivar connections: used at one time, at most.
    """

    @property
    def connections(self) -> int: ...

    async def deliver(self, parcel: Parcel) -> Receipt:
        """:raises SMTPRelayError: what `AsyncRelay.send` raises."""

    async def close(self) -> None:
        """Let connections go."""


class Handover:
    """To a relay: it has a spool, and knows by its idempotency key what was sent before.

    :raises ConfigError: the file of certificates cannot be used.
    """

    def __init__(self, target: Target) -> None:
        self.connections = target.settings.connections
        self._place = target.place
        try:
            ways = lanes(target.settings, {LANE: target.password})
        except OSError as error:  # ssl.SSLError is one too
            problem = f"tls_ca_file: {target.settings.tls_ca_file} cannot be used: {why_unusable(error)}"
            raise ConfigError([problem]) from error
        self._upstream = Upstream(target.settings, hostname=_hostname(), lanes=ways)

    async def deliver(self, parcel: Parcel) -> Receipt:
        """Hand a message over. Where it has an idempotency key, an answer that was lost is asked for again.

        :raises SMTPRelayError: what `AsyncRelay.send` raises.
        """
        try:
            return await self._deliver(parcel)
        except Ambiguous as error:
            if not parcel.key:
                raise
            doubt = error
        for pause in ASK_AGAIN:
            await asyncio.sleep(pause)
            try:
                return await self._deliver(parcel)
            except (Ambiguous, Unreachable):
                continue
            except Refused as refusal:  # what is refused now for good was not taken before
                if not refusal.temporary:
                    raise
        raise doubt

    async def _deliver(self, parcel: Parcel) -> Receipt:
        recipients = tuple(map(Recipient, parcel.recipients))
        message = Message(
            id="",
            envelope=Envelope(parcel.reverse_path, recipients),
            origin=Origin("local"),
            content=b"",
            size=len(parcel.content),
            received_at=0,
            due_at=0,
            credential=LANE,
        )
        report = await self._upstream.send(LANE, message, recipients, lambda: whole(parcel.content))
        return receipt_of(parcel.recipients, report.facts, place=self._place)

    async def close(self) -> None:
        """Take leave of the relay."""
        await self._upstream.close()


def _hostname() -> str:
    """What we call ourselves; it stands in the message's Received field."""
    try:
        return normalise_domain(socket.gethostname())
    except AddressError:
        return "localhost"

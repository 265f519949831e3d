"""The status server: the page, metrics and probes, on `[status] listen`."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from smtprelay import config
from smtprelay.control import Operator
from smtprelay.health import Health
from smtprelay.keyring import Keyring
from smtprelay.on_demand import OnDemand
from smtprelay.pulse import Pulse
from smtprelay.resolver import Lookup
from smtprelay.sockets import Place, ServerTLS, address_of, new_sockets
from smtprelay.spool import Spool
from smtprelay.suppression_list import SuppressionList
from smtprelay.watch import Watch


@dataclass(slots=True)
class Backstage:
    """What the page can see and do."""

    config: config.Config
    spool: Spool
    operator: Operator
    keyring: Keyring
    watch: Watch
    resolver: Lookup
    health: Health
    pulse: Pulse
    suppressions: SuppressionList


class Status:
    """Opens the addresses; `smtprelay.web.server` answers on them.

    :param tls: None where there is no certificate.
    """

    def __init__(self, backstage: Backstage, tls: ssl.SSLContext | None) -> None:
        self._backstage = backstage
        self._tls = ServerTLS(tls)
        self._sockets: dict[Place, list[socket.socket]] = {}
        self._door = self._new_door()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as they came out (port 0 is replaced)."""
        return [address_of(sock) for socks in self._sockets.values() for sock in socks]

    def start(self) -> list[str]:
        """Listen. :returns: `addresses`. :raises ListenError: it cannot."""
        self._listen(self.open(self._backstage.config.status))
        return self.addresses

    def open(self, settings: config.Status) -> dict[Place, list[socket.socket]]:
        """The sockets that these settings need and that are not open yet, for `use`.

        :raises ListenError: one of them cannot be had.
        """
        return new_sockets(_places(settings), self._sockets)

    def use(
        self, config: config.Config, tls: ssl.SSLContext | None, opened: Mapping[Place, list[socket.socket]]
    ) -> None:
        """Have other settings from now on. Where the addresses are others, connections are closed; they come back.

        :param opened: see `open`.
        """
        self._backstage.config = config
        self._tls.use(tls)
        places = _places(config.status)
        if self._sockets.keys() == set(places):
            return
        leaving = asyncio.create_task(self._door.close())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        self._door = self._new_door()
        kept = {place: [sock.dup() for sock in socks] for place, socks in self._sockets.items() if place in places}
        self._listen({**kept, **opened})

    async def close(self) -> None:
        """Let go of them."""
        await self._door.close()
        await asyncio.gather(*self._leaving)

    def _new_door(self) -> OnDemand:
        return OnDemand(
            "smtprelay.web.server",
            lambda web, socks, until: web.serve(socks, self._backstage, tls=self._tls.context, until=until),
        )

    def _listen(self, sockets: dict[Place, list[socket.socket]]) -> None:
        self._sockets = sockets
        self._door.open([sock for socks in sockets.values() for sock in socks])


def _places(settings: config.Status) -> list[Place]:
    return [Place(listen, bool(settings.tls_certificate)) for listen in settings.listen]

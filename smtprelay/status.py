"""The status server: the page, metrics and probes, on `[status] listen`."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from smtprelay import config
from smtprelay.control import Operator
from smtprelay.keyring import Keyring
from smtprelay.on_demand import OnDemand
from smtprelay.sockets import address_of, listening, tls_context
from smtprelay.spool import Spool
from smtprelay.watch import Watch


@dataclass(slots=True)
class Backstage:
    """What the page can see and do."""

    config: config.Config
    spool: Spool
    operator: Operator
    keyring: Keyring
    watch: Watch


class Status:
    """Opens the addresses; `smtprelay.web.server` answers on them."""

    def __init__(self, settings: config.Status, backstage: Backstage) -> None:
        self._settings = settings
        self._tls: ssl.SSLContext | None = tls_context(settings.tls_certificate, settings.tls_key)
        self._door = OnDemand(
            "smtprelay.web.server",
            lambda web, socks, until: web.serve(socks, backstage, tls=self._tls, until=until),
        )

    def start(self) -> list[str]:
        """Listen. :returns: the addresses, as they came out. :raises ListenError: it cannot."""
        socks = [sock for listen in self._settings.listen for sock in listening(listen)]
        self._door.open(socks)
        return [address_of(sock) for sock in socks]

    async def close(self) -> None:
        """Let go of them."""
        await self._door.close()

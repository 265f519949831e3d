"""The way out: from the spool through the scheduler and a delivery to the smarthost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypedDict

from smtprelay.capturing import Capturing
from smtprelay.clock import now_ms
from smtprelay.config import Config
from smtprelay.delivery import Delivery
from smtprelay.notifications import Notify
from smtprelay.routing import Routing
from smtprelay.scheduler import Credentials, Scheduler
from smtprelay.settings import Settings
from smtprelay.spool import Spool
from smtprelay.upstream import Rates, Upstream

TLS_SEEN = "tls/"  # prefix of the facts in the spool that name hosts which once offered STARTTLS


class _Numbers(TypedDict):
    connections: int
    max_recipients: int
    longest_delay: int


class WayOut:
    """What a message goes through when it is due, the last first.

    :param facts: what the spool remembers.
    :param notify: makes the DSN about a message.
    """

    def __init__(self, settings: Settings, spool: Spool, facts: Mapping[str, str], *, notify: Notify) -> None:
        config = settings.config
        self._spool = spool
        self._remembering: set[asyncio.Task[None]] = set()
        self.upstream = Upstream(
            config.upstream,
            hostname=config.gateway.hostname,
            lanes=settings.lanes,
            tls_seen={key.removeprefix(TLS_SEEN) for key in facts if key.startswith(TLS_SEEN)},
            on_tls=self._remember_tls,
        )
        self.routing = Routing(config.upstream)
        self.credentials = Credentials(_names(config), now_ms)
        self.delivery = Delivery(
            config,
            spool,
            self.upstream,
            routing=self.routing,
            notify=notify,
            refused=self.credentials.refused,
            clock=now_ms,
        )
        self.rates = Rates(config.upstream)
        self.scheduler = Scheduler(
            spool,
            self.delivery,
            self.credentials,
            self.rates,
            probe=self.upstream.probe,
            **_numbers(config),
            clock=now_ms,
        )
        self.capturing = Capturing(spool, self.routing, now_ms)

    def use(self, settings: Settings) -> None:
        """Go by other settings. What is under way goes on."""
        config = settings.config
        changed = self.upstream.use(config.upstream, hostname=config.gateway.hostname, lanes=settings.lanes)
        self.routing.use(config.upstream)
        self.credentials.use(_names(config), changed)
        self.delivery.use(config)
        self.rates.use(config.upstream)
        self.scheduler.use(**_numbers(config))
        self.capturing.look_at_all()

    def wake(self) -> None:
        """Something may have become due."""
        self.capturing.wake()
        self.scheduler.wake()

    def _remember_tls(self, host: str) -> None:
        task = asyncio.create_task(self._spool.remember(TLS_SEEN + host, "1"))
        self._remembering.add(task)
        task.add_done_callback(self._remembering.discard)


def _names(config: Config) -> list[str]:
    return [credential.key for credential in config.upstream.log_ins]


def _numbers(config: Config) -> _Numbers:
    """What `Scheduler` goes by."""
    return {
        "connections": config.upstream.connections,
        "max_recipients": config.upstream.recipients_per_transaction,
        "longest_delay": max(config.retry.schedule) * 2,
    }

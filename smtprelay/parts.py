"""All parts of the running relay: made in the order that they need each other, and made to follow a configuration.

A message comes by the way in, lies in the spool, and leaves by the way out; `Watch` and `Holding` see to its domain;
the rest lets people see and steer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TypedDict

import structlog

from smtprelay import problems
from smtprelay.clock import now_ms
from smtprelay.config import Config
from smtprelay.control import Control, Facilities, Operator
from smtprelay.domains.checker import Checker
from smtprelay.domains.verdict import Verdict
from smtprelay.health import Health
from smtprelay.holding import Holding
from smtprelay.keyfiles import kept_folder, require_keys
from smtprelay.keyring import Keyring, Keys
from smtprelay.log import configure
from smtprelay.message import Message
from smtprelay.platform_accounts import PlatformAccounts
from smtprelay.policy import DAY
from smtprelay.problems import Problem
from smtprelay.pulse import Pulse
from smtprelay.resolver import Resolver
from smtprelay.settings import Settings
from smtprelay.signing import SigningKey
from smtprelay.sockets import ListenError, close_all
from smtprelay.spool import Spool
from smtprelay.status import Backstage, Status
from smtprelay.suppression_list import SuppressionList
from smtprelay.watch import Watch
from smtprelay.way_in import WayIn
from smtprelay.way_out import WayOut
from smtprelay.webhooks import Webhooks
from smtprelay.words import local_time

log = structlog.get_logger("daemon")

# What stays as it is while the daemon runs.
AT_THE_NEXT_START = (("spool", "url"), ("status", "control"))


class _Rules(TypedDict):
    required: Collection[str]
    configured: Collection[str]
    refusing: bool


class Parts:
    """What runs, from the way in to the way out, and what stands around.

    :param facts: what the spool remembers.
    :param today: recipients accepted since midnight UTC, by `Origin.key`.
    :param reload: what the control socket asks for (`Reload.now`).
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        resolver: Resolver,
        keyring: Keyring,
        facts: Mapping[str, str],
        today: Mapping[str, int],
        reload: Callable[[], Awaitable[Sequence[str]]],
    ) -> None:
        self.config = settings.config
        self.spool = spool
        self.resolver = resolver
        self.keyring = keyring
        self._reload = reload
        self._checker = self._new_checker()
        self.watch = Watch(self._check, spool.remember, **_rules(self.config), clock=now_ms)
        self.watch.recall(facts)
        self.platform = PlatformAccounts(settings, spool, wake=lambda: self.way_out.wake(), clock=now_ms)
        self.way_in = WayIn(
            settings,
            spool,
            keyring,
            facts,
            today,
            verdict=self.watch.verdict,
            smtputf8=lambda credential: self.way_out.upstream.smtputf8(credential),
            quota=self.platform.reason_to_hold,
            accepted=self._accepted,
        )
        self.way_out = WayOut(settings, spool, facts, notify=self.way_in.notification)
        self.holding = Holding(
            spool,
            self.watch,
            self.way_in.gate,
            self.way_in.policy,
            refuse=self.way_out.delivery.refuse,
            let_go=self.platform.let_go,
            wake=self.way_out.wake,
            clock=now_ms,
        )
        self.webhooks = Webhooks(settings.webhooks, spool, now_ms)
        self._add_oversight(settings)

    def _add_oversight(self, settings: Settings) -> None:
        """What sees how everything stands, and the control socket and the page, by which people see it."""
        config, spool, way_in, way_out = settings.config, self.spool, self.way_in, self.way_out
        self.health = Health(
            config,
            spool,
            way_out.upstream,
            way_out.credentials,
            self.watch,
            waiting=lambda: self.pulse.waiting(),
            stalled=lambda: self.pulse.stalled(),
            clock=now_ms,
        )
        self.health.sources += (self._webhooks_in_trouble, self.platform.problems)
        self.pulse = Pulse(
            spool,
            self.health,
            workers=way_in.workers,
            open_connections=lambda: way_out.upstream.open_connections,
            clock=now_ms,
        )
        operator = Operator(spool, way_in.limits, way_out.credentials, way_out.wake, now_ms, self._about)
        suppressions = SuppressionList(
            spool, lambda: self.config.suppression.expiry, lambda: self.config.spool.min_free, now_ms
        )
        facilities = Facilities(
            operator, self.keyring, self.watch.look_again, suppressions, self.platform, self._reload
        )
        self.control = Control(config.status.control, facilities)
        backstage = Backstage(
            config, spool, operator, self.keyring, self.watch, self.resolver, self.health, self.pulse, suppressions
        )
        self.status = Status(backstage, settings.status_tls)

    @classmethod
    async def build(cls, settings: Settings, spool: Spool, reload: Callable[[], Awaitable[Sequence[str]]]) -> Self:
        """:raises ConfigError: a domain has no key."""
        config = settings.config
        resolver = Resolver(config.domain_rules.nameservers, clock=now_ms)
        keyring = Keyring(kept_folder(config), spool, resolver.fresh)
        keys = await keyring.read(config, settings.keys)
        require_keys(config, keys.all())
        keyring.use(config, keys)
        today = await spool.accepted_since(now_ms() // DAY * DAY)
        return cls(settings, spool, resolver, keyring, await spool.recall(""), today, reload)

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What is done all the time."""
        keys = self.keyring.watch(self._sign_with, now_ms)
        ways_out = (self.way_out.scheduler, self.way_out.capturing)
        parts = (*ways_out, self.holding, self.watch, self.webhooks, self.platform, self.pulse)
        return [*(part.run() for part in parts), keys]

    async def follow(self, settings: Settings) -> None:
        """Go by other settings from now on. First all that can fail; then the change, at one moment.

        :raises ConfigError: a domain has no key. :raises ListenError: an address cannot be listened on. :raises
            SpoolError: it cannot say what it knows of the keys. Nothing has changed then.
        """
        settings = replace(settings, config=_with_what_cannot_change(settings.config, self.config))
        config = settings.config
        keys = await self.keyring.read(config, settings.keys)
        require_keys(config, keys.all())
        gateway = self.way_in.listeners.open(config.gateway)
        try:
            status = self.status.open(config.status)
        except ListenError:
            close_all(gateway.values())
            raise
        self._use(settings, keys)
        self.status.use(config, settings.status_tls, status)
        await self.way_in.listeners.serve(gateway)

    def _use(self, settings: Settings, keys: Keys) -> None:
        """The change: nothing here waits, and nothing can fail, so that nobody sees half of it. What has a state keeps
        it."""
        before, self.config = self.config, settings.config
        config = self.config
        configure(config.log)
        self.keyring.use(config, keys)
        self.resolver.use(config.domain_rules.nameservers)
        if (config.domain_rules, config.domains) != (before.domain_rules, before.domains):
            self._checker = self._new_checker()
            self.watch.use(**_rules(config))
        self.way_in.use(settings)
        self.way_out.use(settings)
        self.holding.use(self.way_in.gate, self.way_in.policy)
        self.webhooks.use(settings.webhooks)
        self.platform.use(settings)
        self.health.use(config)

    def _sign_with(self, _keys: Sequence[SigningKey]) -> None:
        self.way_in.renew()
        self.holding.use(self.way_in.gate, self.way_in.policy)

    def _accepted(self, message: Message) -> None:
        self.holding.accepted(message)
        self.platform.stored(message)
        self.way_out.wake()

    def _about(self) -> dict[str, Any]:
        return {"mode": self.way_out.routing.told(), "listen": self.way_in.listeners.addresses}

    def _new_checker(self) -> Checker:
        names = [domain.name for domain in self.config.domains]
        return Checker(self.config.domain_rules, names, lambda domain: self.way_in.preparer.signer.keys_for(domain))

    async def _check(self, domain: str, fresh: bool) -> Verdict:
        return await self._checker.check(domain, self.resolver.fresh() if fresh else self.resolver, now_ms())

    def _webhooks_in_trouble(self) -> list[Problem]:
        return [
            (problems.WEBHOOK_GONE if trouble.gone else problems.WEBHOOK).of(
                name, name=name, since=local_time(trouble.since), words=trouble.words
            )
            for name, trouble in self.webhooks.troubles.items()
        ]


def _rules(config: Config) -> _Rules:
    """What `Watch` goes by."""
    rules = config.domain_rules
    configured = () if rules.on_failure == "off" else tuple(domain.name for domain in config.domains)
    return {"required": rules.require, "configured": configured, "refusing": rules.on_failure == "reject"}


def _with_what_cannot_change(config: Config, running: Config) -> Config:
    """The configuration, but for what is settled as long as the daemon runs."""
    for section, key in AT_THE_NEXT_START:
        is_now, will_be = (getattr(getattr(of, section), key) for of in (running, config))
        if is_now != will_be:
            log.warning("this counts from the next start", key=f"[{section}] {key}")
            kept = getattr(config, section).model_copy(update={key: is_now})
            config = config.model_copy(update={section: kept})
    return config

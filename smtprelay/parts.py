"""All parts of the running relay: made in the order that they need each other, and made to follow a configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypedDict

import structlog

from smtprelay import bounce, problems
from smtprelay.capturing import Capturing
from smtprelay.clock import now_ms
from smtprelay.config import Config
from smtprelay.control import SUSPENDED, Control, Operator
from smtprelay.delivery import Delivery
from smtprelay.domains.checker import Checker
from smtprelay.domains.verdict import Verdict
from smtprelay.gateway.listeners import Listeners
from smtprelay.health import Health
from smtprelay.holding import Holding
from smtprelay.keyfiles import kept_folder, require_keys
from smtprelay.keyring import Keyring, Keys
from smtprelay.log import configure
from smtprelay.message import Message
from smtprelay.offload import Offload
from smtprelay.pipeline import Pipeline
from smtprelay.policy import DAY, Gate, Limits, Policy
from smtprelay.preparation import Preparer
from smtprelay.problems import Problem
from smtprelay.pulse import Pulse
from smtprelay.rendering import Rendering
from smtprelay.resolver import Resolver
from smtprelay.routing import Routing
from smtprelay.scheduler import Credentials, Scheduler
from smtprelay.settings import Settings
from smtprelay.signing import Signer, SigningKey
from smtprelay.sockets import ListenError, close_all
from smtprelay.spool import Spool
from smtprelay.status import Backstage, Status
from smtprelay.steps import Places, Steps
from smtprelay.upstream import Rates, Upstream
from smtprelay.watch import Watch
from smtprelay.webhooks import Webhooks
from smtprelay.words import local_time

log = structlog.get_logger("daemon")

# What stays as it is while the daemon runs.
AT_THE_NEXT_START = (("spool", "url"), ("status", "control"))
TLS_SEEN = "tls/"  # prefix of the facts in the spool that name hosts which once offered STARTTLS


class _Rules(TypedDict):
    required: Collection[str]
    configured: Collection[str]
    refusing: bool


class _Numbers(TypedDict):
    connections: int
    max_recipients: int
    longest_delay: int


@dataclass(frozen=True, slots=True)
class _WayIn:
    """What a new message goes through. None of it ever changes: other settings make another one, and so do other keys,
    and a message keeps to the one that it began with."""

    policy: Policy
    gate: Gate
    preparer: Preparer
    pipeline: Pipeline


class Parts:
    """What runs, from the way in to the way out, and what stands around.

    :param facts: what the spool remembers.
    :param today: recipients accepted since midnight UTC, by `Origin.key`.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        resolver: Resolver,
        keyring: Keyring,
        facts: Mapping[str, str],
        today: Mapping[str, int],
    ) -> None:
        config = self.config = settings.config
        self.spool = spool
        self.resolver = resolver
        self.keyring = keyring
        self._checker = self._new_checker()
        self.watch = Watch(self._check, spool.remember, **_rules(config), clock=now_ms)
        self.watch.recall(facts)
        suspended = {key.removeprefix(SUSPENDED) for key in facts if key.startswith(SUSPENDED)}
        self.limits = Limits(config.gateway, today, suspended, now_ms())
        self.rendering = Rendering(config.templates.directory)
        self._places = Places()
        self._remembering: set[asyncio.Task[None]] = set()
        self.upstream = Upstream(
            config.upstream,
            hostname=config.gateway.hostname,
            lanes=settings.lanes,
            tls_seen={key.removeprefix(TLS_SEEN) for key in facts if key.startswith(TLS_SEEN)},
            on_tls=self._remember_tls,
        )
        preparer = self._new_preparer()
        self.offload = Offload(preparer)
        self.way_in = self._new_way_in(preparer)
        self.listeners = Listeners(config.gateway, self.way_in.pipeline, settings.gateway_tls)
        self.credentials = Credentials(_names(config), now_ms)
        self.routing = Routing(config.upstream)
        self.capturing = Capturing(spool, self.routing, now_ms)
        self.delivery = Delivery(
            config,
            spool,
            self.upstream,
            routing=self.routing,
            notify=self._notify,
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
        self.holding = Holding(
            spool,
            self.watch,
            self.way_in.gate,
            self.way_in.policy,
            refuse=self.delivery.refuse,
            wake=self._wake,
            clock=now_ms,
        )
        self.health = Health(
            config,
            spool,
            self.upstream,
            self.credentials,
            self.watch,
            waiting=lambda: self.pulse.waiting(),
            stalled=lambda: self.pulse.stalled(),
            clock=now_ms,
        )
        self.pulse = Pulse(
            spool,
            self.health,
            workers=lambda: {"preparation": self.offload.pid, "rendering": self.rendering.pid},
            open_connections=lambda: self.upstream.open_connections,
            clock=now_ms,
        )
        self.health.sources.append(self._webhooks_in_trouble)
        operator = Operator(spool, self.limits, self.credentials, self._wake, now_ms, self._about)
        self.control = Control(config.status.control, operator, keyring, self.watch.look_again)
        self.webhooks = Webhooks(settings.webhooks, spool, now_ms)
        backstage = Backstage(config, spool, operator, keyring, self.watch, resolver, self.health, self.pulse)
        self.status = Status(backstage, settings.status_tls)

    @classmethod
    async def build(cls, settings: Settings, spool: Spool) -> Self:
        """:raises ConfigError: a domain has no key."""
        config = settings.config
        resolver = Resolver(config.domain_rules.nameservers, clock=now_ms)
        keyring = Keyring(kept_folder(config), spool, resolver.fresh)
        keys = await keyring.read(config, settings.keys)
        require_keys(config, keys.all())
        keyring.use(config, keys)
        today = await spool.accepted_since(now_ms() // DAY * DAY)
        return cls(settings, spool, resolver, keyring, await spool.recall(""), today)

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What is done all the time."""
        keys = self.keyring.watch(self._sign_with, now_ms)
        parts = (self.scheduler, self.capturing, self.holding, self.watch, self.webhooks, self.pulse)
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
        gateway = self.listeners.open(config.gateway)
        try:
            status = self.status.open(config.status)
        except ListenError:
            close_all(gateway.values())
            raise
        self._use(settings, keys)
        self.status.use(config, settings.status_tls, status)
        await self.listeners.serve(gateway)

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
        self.limits.use(config.gateway)
        self.rendering.use(config.templates.directory)
        changed = self.upstream.use(config.upstream, hostname=config.gateway.hostname, lanes=settings.lanes)
        self._renew_way_in()
        self.listeners.use(config.gateway, settings.gateway_tls)
        self.credentials.use(_names(config), changed)
        self.delivery.use(config)
        self.routing.use(config.upstream)
        self.capturing.look_at_all()
        self.rates.use(config.upstream)
        self.scheduler.use(**_numbers(config))
        self.webhooks.use(settings.webhooks)
        self.health.use(config)

    def _sign_with(self, _keys: Sequence[SigningKey]) -> None:
        self._renew_way_in()

    def _renew_way_in(self) -> None:
        """Have new messages go by the configuration and the keys of now."""
        preparer = self._new_preparer()
        self.offload.use(preparer)
        self.way_in = self._new_way_in(preparer)
        self.listeners.hand_to(self.way_in.pipeline)
        self.holding.use(self.way_in.gate, self.way_in.policy)

    def _new_preparer(self) -> Preparer:
        return Preparer(self.config, Signer(self.keyring.signing()))

    def _new_way_in(self, preparer: Preparer) -> _WayIn:
        policy, gate = Policy(self.config), Gate(self.config, self.watch.verdict)
        steps = Steps(policy, gate, preparer, self.offload, self.rendering.render, self._places)
        pipeline = Pipeline(
            self.config,
            policy,
            gate,
            self.limits,
            self.offload,
            steps,
            preparer.signer,
            self.spool,
            accepted=self._accepted,
            smtputf8=self.upstream.smtputf8,
        )
        return _WayIn(policy, gate, preparer, pipeline)

    def _accepted(self, message: Message) -> None:
        self.holding.accepted(message)
        self._wake()

    def _wake(self) -> None:
        """Something may have become due."""
        self.capturing.wake()
        self.scheduler.wake()

    def _about(self) -> dict[str, Any]:
        return {"mode": self.routing.told(), "listen": self.listeners.addresses}

    async def _notify(
        self, message: Message, statuses: Sequence[bounce.Status], header: bytes, body: bytes | None
    ) -> Message | str:
        return await self.way_in.pipeline.notification(message, statuses, header, body)

    def _new_checker(self) -> Checker:
        names = [domain.name for domain in self.config.domains]
        return Checker(self.config.domain_rules, names, lambda domain: self.way_in.preparer.signer.keys_for(domain))

    async def _check(self, domain: str, fresh: bool) -> Verdict:
        return await self._checker.check(domain, self.resolver.fresh() if fresh else self.resolver, now_ms())

    def _webhooks_in_trouble(self) -> list[Problem]:
        return [
            problems.WEBHOOK.of(name, name=name, since=local_time(trouble.since), words=trouble.words)
            for name, trouble in self.webhooks.troubles.items()
        ]

    def _remember_tls(self, host: str) -> None:
        task = asyncio.create_task(self.spool.remember(TLS_SEEN + host, "1"))
        self._remembering.add(task)
        task.add_done_callback(self._remembering.discard)


def _names(config: Config) -> list[str]:
    return [credential.key for credential in config.upstream.log_ins]


def _rules(config: Config) -> _Rules:
    """What `Watch` goes by."""
    rules = config.domain_rules
    configured = () if rules.on_failure == "off" else tuple(domain.name for domain in config.domains)
    return {"required": rules.require, "configured": configured, "refusing": rules.on_failure == "reject"}


def _numbers(config: Config) -> _Numbers:
    """What `Scheduler` goes by."""
    return {
        "connections": config.upstream.connections,
        "max_recipients": config.upstream.recipients_per_transaction,
        "longest_delay": max(config.retry.schedule) * 2,
    }


def _with_what_cannot_change(config: Config, running: Config) -> Config:
    """The configuration, but for what is settled as long as the daemon runs."""
    for section, key in AT_THE_NEXT_START:
        is_now, will_be = (getattr(getattr(of, section), key) for of in (running, config))
        if is_now != will_be:
            log.warning("this counts from the next start", key=f"[{section}] {key}")
            kept = getattr(config, section).model_copy(update={key: is_now})
            config = config.model_copy(update={section: kept})
    return config

"""Wires it all: the order of start-up and shut-down, and signals."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from smtprelay import __version__, service
from smtprelay.clock import now_ms
from smtprelay.config import Config
from smtprelay.control import SUSPENDED, Control, Operator
from smtprelay.credentials import make_upstream, read_passwords
from smtprelay.delivery import Delivery
from smtprelay.domains.checker import Checker
from smtprelay.gateway.listeners import Listeners
from smtprelay.holding import Holding
from smtprelay.keyfiles import configured_keys
from smtprelay.keyring import Keyring
from smtprelay.message import Message
from smtprelay.offload import Offload
from smtprelay.pipeline import Pipeline
from smtprelay.policy import DAY, Gate, Limits, Policy
from smtprelay.rendering import Rendering
from smtprelay.resolver import Resolver
from smtprelay.scheduler import Credentials, Scheduler
from smtprelay.spool import SpoolError
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.status import Backstage, Status
from smtprelay.steps import Steps
from smtprelay.upstream import Rates, Upstream
from smtprelay.watch import Watch

log = structlog.get_logger("daemon")

SESSION_GRACE = 10.0  # seconds that a message under way in the gateway gets at shut-down
DELIVERY_GRACE = 30.0  # seconds that deliveries in flight get
PRUNE_EVERY = 60.0  # seconds
COLLECT_EVERY = 10_000  # objects made and not freed since the last collection

TLS_SEEN = "tls/"  # prefix of the facts in the spool that name hosts which once offered STARTTLS


@dataclass(frozen=True, slots=True)
class _Parts:
    """What runs, from the way in to the way out, and what stands around."""

    listeners: Listeners
    pipeline: Pipeline
    rendering: Rendering
    offload: Offload
    scheduler: Scheduler
    upstream: Upstream
    resolver: Resolver
    watch: Watch
    holding: Holding
    keyring: Keyring
    control: Control
    status: Status

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What is done all the time."""
        keys = self.keyring.watch(self.offload.sign_with, now_ms)
        return [self.scheduler.run(), self.watch.run(), self.holding.run(), keys]


class Daemon:
    """The running relay."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._passwords = read_passwords(config)
        self._keys = configured_keys(config)
        self._stop = asyncio.Event()
        self.addresses: list[str] = []

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with service.takes_long("Opening the spool; one of an older version is copied and brought up to date"):
            spool = await SQLiteSpool.open(self._config.spool.path, now=now_ms())
        try:
            await self._serve(spool)
        finally:
            await spool.close()
            log.info("stopped")

    def stop(self) -> None:
        """Begin the shut-down."""
        service.stopping()
        self._stop.set()

    async def _serve(self, spool: SQLiteSpool) -> None:
        parts = await self._parts(spool)
        background: list[asyncio.Task[None]] = []
        try:
            async with service.takes_long("Ending the attempts that the last run left open"):
                recovered = await parts.scheduler.recover()
            await self._warn_of_orphans(spool)
            await parts.control.start()
            status = parts.status.start()
            self.addresses = await parts.listeners.start()
            self._warn_of_deaf_sockets()
            reporting = service.report(self._status, spool.answer)
            background = [asyncio.create_task(work) for work in (*parts.work(), self._prune(spool), reporting)]
            _spare_the_collector()
            log.info("ready", version=__version__, listen=self.addresses, status=status, recovered=recovered)
            service.ready(self._status())
            await self._until_stopped(background)
        finally:
            # Mail in first, so that what is accepted last is still delivered or kept; then mail out; then the books.
            await parts.listeners.stop(SESSION_GRACE)
            await parts.scheduler.stop(DELIVERY_GRACE)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await parts.status.close()
            for part in (parts.control, parts.watch, parts.resolver, parts.upstream, parts.rendering, parts.pipeline):
                await part.close()

    def _status(self) -> str:
        """A line for `systemctl status`."""
        return "Stopping" if self._stop.is_set() else f"Listening on {' '.join(self.addresses)}"

    async def _parts(self, spool: SQLiteSpool) -> _Parts:
        facts = await spool.recall("")
        upstream = self._upstream(spool, facts)
        resolver = Resolver(self._config.domain_rules.nameservers, clock=now_ms)
        keyring = await self._keyring(spool, resolver)
        offload = Offload(self._config, keyring.signing())
        watch = self._watch(spool, facts, resolver, offload)
        policy, gate = Policy(self._config), Gate(self._config, watch.verdict)
        limits = Limits(
            self._config.gateway,
            await spool.accepted_since(now_ms() // DAY * DAY),
            {key.removeprefix(SUSPENDED) for key in facts if key.startswith(SUSPENDED)},
            now_ms(),
        )

        def accepted(message: Message) -> None:
            holding.accepted(message)
            scheduler.wake()

        rendering = Rendering(self._config.templates.directory)
        steps = Steps(self._config, policy, gate, offload, rendering.render)
        pipeline = Pipeline(
            self._config, policy, gate, limits, offload, steps, spool, accepted=accepted, smtputf8=upstream.smtputf8
        )
        credentials = Credentials([c.key for c in self._config.upstream.credentials], now_ms)
        delivery = Delivery(
            self._config, spool, upstream, notify=pipeline.notification, refused=credentials.refused, clock=now_ms
        )
        scheduler = Scheduler(
            spool,
            delivery,
            credentials,
            Rates(self._config.upstream),
            probe=upstream.probe,
            connections=self._config.upstream.connections,
            max_recipients=self._config.upstream.recipients_per_transaction,
            longest_delay=max(self._config.retry.schedule) * 2,
            clock=now_ms,
        )
        holding = Holding(spool, watch, gate, policy, refuse=delivery.refuse, wake=scheduler.wake, clock=now_ms)
        operator = Operator(spool, limits, credentials, scheduler.wake, now_ms)
        control = Control(self._config.status.control, operator, keyring, watch.look_again)
        status = Status(self._config.status, Backstage(self._config, spool, operator, keyring, watch))
        listeners = Listeners(self._config.gateway, pipeline)
        ways = listeners, pipeline, rendering, offload, scheduler, upstream
        return _Parts(*ways, resolver, watch, holding, keyring, control, status)

    async def _keyring(self, spool: SQLiteSpool, resolver: Resolver) -> Keyring:
        keyring = await Keyring.open(self._config, spool, self._keys, resolver.fresh)
        keyring.require_keys()
        for problem in filter(None, (key.warning for key in keyring.signing())):
            log.warning("weak key", problem=problem)
        return keyring

    def _watch(self, spool: SQLiteSpool, facts: Mapping[str, str], resolver: Resolver, offload: Offload) -> Watch:
        rules = self._config.domain_rules
        names = [domain.name for domain in self._config.domains]
        checker = Checker(rules, names, lambda domain: offload.signer.keys_for(domain))
        watch = Watch(
            lambda domain, fresh: checker.check(domain, resolver.fresh() if fresh else resolver, now_ms()),
            spool.remember,
            required=rules.require,
            configured=() if rules.on_failure == "off" else names,
            refusing=rules.on_failure == "reject",
            clock=now_ms,
        )
        watch.recall(facts)
        return watch

    def _upstream(self, spool: SQLiteSpool, facts: Mapping[str, str]) -> Upstream:
        remembering: set[asyncio.Task[None]] = set()

        def remember(host: str) -> None:
            task = asyncio.create_task(spool.remember(TLS_SEEN + host, "1"))
            remembering.add(task)
            task.add_done_callback(remembering.discard)

        return make_upstream(
            self._config,
            self._passwords,
            tls_seen={key.removeprefix(TLS_SEEN) for key in facts if key.startswith(TLS_SEEN)},
            on_tls=remember,
        )

    async def _until_stopped(self, background: list[asyncio.Task[None]]) -> None:
        """Wait for the signal. A part that ends by itself is a failure of the whole."""
        stop = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([stop, *background], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done:
            task.result()

    async def _warn_of_orphans(self, spool: SQLiteSpool) -> None:
        configured = {credential.key for credential in self._config.upstream.credentials}
        for name, waiting in (await spool.stats()).credentials.items():
            if name not in configured:
                log.error(
                    "mail waits for a credential that is not configured any more", credential=name, waiting=waiting
                )

    def _warn_of_deaf_sockets(self) -> None:
        """Who connects to a socket that nobody accepts from waits for ever."""
        gateway = self._config.gateway
        heard = {listen.fd_name for listen in (*gateway.listen, *gateway.listen_tls, *self._config.status.listen)}
        for name in sorted(set(service.passed_names()) - heard):
            remedy = f'add "fd:{name}" to [gateway] listen or listen_tls, or disable its socket unit'
            log.error("nobody answers on a socket of the service manager", socket=name, remedy=remedy)

    async def _prune(self, spool: SQLiteSpool) -> None:
        while True:
            try:
                while await spool.prune(now_ms() - self._config.spool.history):
                    await asyncio.sleep(0.1)
            except SpoolError as error:  # a full disk, say: it passes, and mail must not stand still with it
                log.error("the history could not be pruned", reason=str(error))
            await asyncio.sleep(PRUNE_EVERY)


def _spare_the_collector() -> None:
    """What was made until now stays: a collection need not look through it, for 20 ms, several times a second. And few
    objects form cycles here."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)

"""Wires it all: the order of start-up and shut-down, and signals."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable

import structlog

from smtprelay import __version__, service
from smtprelay.advice import insecurities
from smtprelay.clock import now_ms
from smtprelay.parts import Parts
from smtprelay.problems import RELOAD, Problem
from smtprelay.reload import Reload
from smtprelay.settings import Settings
from smtprelay.spool import SpoolError
from smtprelay.spool.sqlite import SQLiteSpool

log = structlog.get_logger("daemon")

SESSION_GRACE = 10.0  # seconds that a message under way in the gateway gets at shut-down
DELIVERY_GRACE = 30.0  # seconds that deliveries in flight get
PRUNE_EVERY = 60.0  # seconds
MAX_SENTENCE = 1000  # characters in `systemctl status`: what waits is told however much is wrong with a configuration
COLLECT_EVERY = 10_000  # objects made and not freed since the last collection


class Daemon:
    """The running relay.

    :param settings: to begin with.
    :param read: reads them anew, for a reload.
    """

    def __init__(self, settings: Settings, read: Callable[[], Settings]) -> None:
        self._settings = settings
        self._reload = Reload(read, self._follow, self._status)
        self._stop = asyncio.Event()
        self._parts: Parts | None = None

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop. SIGHUP is a reload."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # what waits is heard now: see `cli.run`
        async with service.takes_long("Opening the spool; one of an older version is copied and brought up to date"):
            spool = await SQLiteSpool.open(self._settings.config.spool.path, now=now_ms())
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
        parts = self._parts = await Parts.build(self._settings, spool, self._reload.now)
        parts.health.sources.append(self._refused)
        background: list[asyncio.Task[None]] = []
        try:
            await parts.webhooks.start()  # before anything happens that they want to be told
            await parts.platform.start()  # before anything comes that would go before what is held
            async with service.takes_long("Ending the attempts that the last run left open"):
                recovered = await parts.way_out.scheduler.recover()
            self._warn(parts)
            await parts.control.start()
            status = parts.status.start()
            listen = await parts.way_in.listeners.start()
            ongoing = (*parts.work(), self._prune(parts), service.report(self._status, spool.answer))
            background = [asyncio.create_task(work) for work in (self._reload.run(), *ongoing)]
            _spare_the_collector()
            log.info("ready", version=__version__, listen=listen, status=status, recovered=recovered)
            parts.health.accepting = True
            service.ready(self._status())
            await self._until_stopped(background)
        finally:
            parts.health.accepting = False
            await self._reload.stop()  # or it would open anew what is closed here
            # Mail in first, so that what is accepted last is still delivered or kept; then mail out; then the books.
            await parts.way_in.listeners.stop(SESSION_GRACE)
            await parts.way_out.scheduler.stop(DELIVERY_GRACE)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await parts.status.close()
            for part in (parts.control, parts.watch, parts.resolver, parts.way_out.upstream):
                await part.close()
            for worker in (parts.way_in.rendering, parts.way_in.offload):
                await worker.close()

    async def _follow(self, settings: Settings) -> None:
        """See `Parts.follow`."""
        assert self._parts
        await self._parts.follow(settings)
        self._warn(self._parts)

    def _status(self) -> str:
        """A line for `systemctl status`: the worst that is wrong, or where it listens; and what waits."""
        if self._stop.is_set() or not self._parts:
            return "Stopping"
        # What the pulse has seen is a second old, and a reload is told of at once.
        problems = [*self._refused(), *(p for p in self._parts.pulse.problems if p.key != RELOAD.key)]
        listening = f"Listening on {' '.join(self._parts.way_in.listeners.addresses)}"
        worst = (problems[0].sentence if problems else listening)[:MAX_SENTENCE]
        asides = [f"{len(problems) - 1} more"] if len(problems) > 1 else []
        if queue := ", ".join(f"{count} {state}" for state, count in self._parts.pulse.queue().items() if count):
            asides.append(f"recipients: {queue}")
        return f"{worst} ({'; '.join(asides)})" if asides else worst

    def _refused(self) -> list[Problem]:
        problems = self._reload.problems
        return [RELOAD.of(words="; ".join(problems))] if problems else []

    def _warn(self, parts: Parts) -> None:
        """What an operator should know of the configuration."""
        config = parts.config
        for problem in insecurities(config):
            log.warning("insecure configuration", problem=problem)
        for problem in filter(None, (key.warning for key in parts.keyring.signing())):
            log.warning("weak key", problem=problem)
        if mode := parts.way_out.routing.told():
            log.warning("not live", mode=mode)
        # Who connects to a socket that nobody accepts from waits for ever.
        heard = (*config.gateway.listen, *config.gateway.listen_tls, *config.status.listen)
        for name in sorted(set(service.passed_names()) - {listen.fd_name for listen in heard}):
            remedy = f'add "fd:{name}" to [gateway] listen or listen_tls, or disable its socket unit'
            log.error("nobody answers on a socket of the service manager", socket=name, remedy=remedy)

    async def _until_stopped(self, background: list[asyncio.Task[None]]) -> None:
        """Wait for the signal. A part that ends by itself is a failure of the whole."""
        stop = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([stop, *background], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done:
            task.result()

    async def _prune(self, parts: Parts) -> None:
        while True:
            try:
                while await parts.spool.prune((now := now_ms()) - parts.config.spool.history, now):
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

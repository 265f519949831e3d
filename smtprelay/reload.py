"""SIGHUP: another configuration, while the daemon runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from smtprelay import metrics, service
from smtprelay.config import ConfigError
from smtprelay.settings import Settings
from smtprelay.sockets import ListenError
from smtprelay.spool import SpoolError

log = structlog.get_logger("reload")

PAUSE = 0.2  # seconds between two reloads: whoever asks without end gets them one after the other, and harms nobody


class Reload:
    """Has the daemon follow its configuration whenever that is asked for. A configuration with which something is wrong
    is refused as a whole, and the one before it stays.

    :param read: the settings as they are on the disk.
    :param follow: begins to use them, or raises and has changed nothing.
    :param status: a line for the service manager.
    :ivar problems: why the last one was refused, as long as no other one was taken.
    """

    def __init__(
        self, read: Callable[[], Settings], follow: Callable[[Settings], Awaitable[None]], status: Callable[[], str]
    ) -> None:
        self.problems: tuple[str, ...] = ()
        self._read = read
        self._follow = follow
        self._status = status
        self._asked = asyncio.Event()
        self._going_on = asyncio.Lock()
        self._stopped = False
        metrics.RELOAD_SUCCESSFUL.set(1)

    def ask(self) -> None:
        """Another one is wanted. All that are asked for while one goes on are one."""
        self._asked.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if not await self._once():
                return
            await asyncio.sleep(PAUSE)

    async def now(self) -> Sequence[str]:
        """Reload, and return when that is done. :returns: why it was refused; nothing where it was taken."""
        return self.problems if await self._once() else ("The daemon stops.",)

    async def stop(self) -> None:
        """Let the one that goes on end; none follows."""
        self._stopped = True
        async with self._going_on:
            pass

    async def _once(self) -> bool:
        """:returns: False where the daemon stops."""
        async with self._going_on:
            if not self._stopped:
                service.reloading("Reloading the configuration")
                await self._reload()
                service.ready(self._status())
            return not self._stopped

    async def _reload(self) -> None:
        try:
            settings = await asyncio.to_thread(self._read)
            await self._follow(settings)
        except ConfigError as error:
            self._refuse(error.problems)
        except (ListenError, SpoolError) as error:
            self._refuse([str(error)])
        except Exception as error:  # a fault of ours must not end the relay
            log.exception("reloading failed within smtprelay")
            self._refuse([f"smtprelay failed: {error!r}"])
        else:
            self.problems = ()
            metrics.RELOADS.add("done")
            metrics.RELOAD_SUCCESSFUL.set(1)
            log.info("reloaded")

    def _refuse(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        metrics.RELOADS.add("refused")
        metrics.RELOAD_SUCCESSFUL.set(0)
        for problem in problems:
            log.error("the new configuration is refused, and the old one stays", problem=problem)

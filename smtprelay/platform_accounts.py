"""The accounts of `[[platform.accounts]]`, and what the relay does with them: nothing where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog

from smtprelay import metrics
from smtprelay.config import PlatformAccount, SuppressionSection
from smtprelay.message import Message
from smtprelay.problems import Problem
from smtprelay.settings import Settings
from smtprelay.spool import QUOTA, Selector, Spool, SpoolError, State

if TYPE_CHECKING:
    from smtprelay.platform_desk import Desk

log = structlog.get_logger("platform")

FACTS = "platform/"  # prefix of the facts in the spool
AGAIN = 10.0  # seconds until a spool that failed is tried again
_GAUGES = (metrics.PLATFORM_QUOTA, metrics.PLATFORM_END, metrics.PLATFORM_SUCCESS, metrics.PLATFORM_DIFFERENCE)


@dataclass(frozen=True, slots=True)
class _Given:
    """What the configuration says of them.

    :param passwords: by account.
    :param credentials: the names of those that something may leave with: what stays here spends no quota.
    :param history: how far that of the spool goes back, in milliseconds.
    """

    accounts: tuple[PlatformAccount, ...]
    passwords: Mapping[str, str] = field(repr=False)
    credentials: tuple[str, ...]
    suppression: SuppressionSection
    history: int

    @classmethod
    def by(cls, settings: Settings) -> _Given:
        config = settings.config
        names = tuple(credential.key for credential in config.upstream.log_ins)
        passwords, history = settings.platform_passwords, config.spool.history
        return cls(config.platform.accounts, passwords, names, config.suppression, history)

    def spent_by(self) -> dict[str, str]:
        """The account whose quota a credential spends: the first that names it, or else the first that names none."""
        named = {name: account.key for account in reversed(self.accounts) for name in account.credentials}
        of_the_rest = next((account.key for account in self.accounts if not account.credentials), "")
        accounts = {name: named.get(name, of_the_rest) for name in self.credentials}
        return {name: account for name, account in accounts.items() if account}


class PlatformAccounts:
    """All of them.

    :param wake: called when mail has become due.
    :param clock: Unix time in milliseconds.
    """

    def __init__(self, settings: Settings, spool: Spool, *, wake: Callable[[], None], clock: Callable[[], int]) -> None:
        self._given = _Given.by(settings)
        self._spool = spool
        self._wake = wake
        self._clock = clock
        self._changed = asyncio.Event()
        self._desks: list[Desk] = []
        self._by_credential: dict[str, Desk] = {}

    def use(self, settings: Settings) -> None:
        """Have other accounts from now on, or the same ones in another way."""
        if (given := _Given.by(settings)) != self._given:
            self._given = given
            self._changed.set()

    def reason_to_hold(self, message: Message) -> str:
        """Count a message that is about to be stored. :returns: `QUOTA`, or ``""`` where it may go."""
        desk = self._by_credential.get(message.credential)
        return desk.quota.reason_to_hold(message) if desk else ""

    def stored(self, message: Message) -> None:
        """A message was stored."""
        if message.hold == QUOTA and (desk := self._by_credential.get(message.credential)):
            desk.quota.stored()

    async def let_go(self, messages: Sequence[Message]) -> None:
        """Count messages that were held for something else until now; what has to wait for want of quota is held.

        :raises SpoolError: it could not be held.
        """
        waiting = [replace(message, hold=QUOTA) for message in messages if self.reason_to_hold(message)]
        if waiting:
            queued = Selector(tuple(message.id for message in waiting), state=State.QUEUED)
            await self._spool.hold(queued, self._clock(), QUOTA)
            for message in waiting:
                self.stored(message)

    def problems(self) -> list[Problem]:
        """What an operator should know."""
        return [problem for desk in self._desks for problem in desk.problems()]

    async def start(self) -> None:
        """Know what was known before, so that nothing goes before what is held already.

        :raises SpoolError: the spool does not tell.
        """
        self._changed.clear()
        self._desks = await self._new_desks() if self._given.accounts else []
        self._by_credential = {name: desk for desk in self._desks for name in desk.credentials}
        known = {account.key for account in self._given.accounts}
        for gauge in _GAUGES:
            gauge.replace({labels: value for labels, value in gauge.values.items() if labels[0] in known})

    async def run(self) -> None:
        """Until it is cancelled; after `start`."""
        while True:
            work = [asyncio.create_task(work) for work in (self._release_the_rest(), *(d.run() for d in self._desks))]
            try:
                await self._changed.wait()
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
            try:
                await self.start()
            except SpoolError as error:
                log.error("the accounts of the platform cannot be begun with", reason=str(error))
                self._changed.set()
                await asyncio.sleep(AGAIN)

    async def sync(self) -> list[dict[str, Any]]:
        """Ask for failures and unsubscriptions now. :returns: what was new, or what is wrong, by account."""
        return [await desk.sync() for desk in self._desks]

    async def books(self, day: date | None) -> list[dict[str, Any]]:
        """A day's books beside the platform's.

        :param day: in Asia/Shanghai; None: yesterday.
        :returns: a report, or what is wrong, by account.
        """
        return [await desk.reconcile(day) for desk in self._desks]

    async def _new_desks(self) -> list[Desk]:
        await asyncio.to_thread(import_module, "smtprelay.platform_desk")
        from smtprelay.platform_desk import Desk

        given, facts = self._given, await self._spool.recall(FACTS)
        spent_by, desks = given.spent_by(), []
        for account in given.accounts:
            credentials = tuple(name for name, key in spent_by.items() if key == account.key)
            desks.append(
                Desk(
                    account,
                    given.passwords[account.key],
                    credentials,
                    given.suppression,
                    self._spool,
                    facts,
                    history=given.history,
                    holding=bool(credentials) and await self._waits(Selector(reason=QUOTA, credentials=credentials)),
                    wake=self._wake,
                    clock=self._clock,
                )
            )
        return desks

    async def _release_the_rest(self) -> None:
        """What was held for the quota of an account that is configured no more: a million, perhaps."""
        while True:
            try:
                return await self._release_what_nobody_holds()
            except SpoolError as error:
                log.error("held mail could not be released", reason=str(error))
                await asyncio.sleep(AGAIN)

    async def _release_what_nobody_holds(self) -> None:
        # Also of credentials that are configured no more: it waits for these, and that is told.
        waiting = Selector(reason=QUOTA, other_credentials=tuple(self._by_credential))
        if not await self._waits(waiting):
            return
        if count := await self._spool.release(waiting, self._clock()):
            log.warning("no account's quota counts for this mail: it goes on", recipients=count)
            self._wake()

    async def _waits(self, for_quota: Selector) -> bool:
        """Whether something is held, or will be once its attempt has ended."""
        for state in (State.HELD, State.SENDING):
            if await self._spool.search(replace(for_quota, state=state), 1):
                return True
        return False

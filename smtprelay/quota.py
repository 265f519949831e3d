"""The quota of an account at the platform: bulk mail waits where it runs low, so that some is left for all other mail.

What is accepted is counted against what the platform says is left, so that bulk is held before the quota is used up,
not after. What comes later waits behind it, and all of it goes in the order in which it was accepted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import structlog
from pydantic import TypeAdapter

from smtprelay import metrics, problems
from smtprelay.config import PlatformAccount
from smtprelay.message import Message
from smtprelay.platform import AsyncPlatformClient
from smtprelay.platform.account import Service, ServiceStatus
from smtprelay.problems import Problem
from smtprelay.spool import QUOTA, Selector, Spool, SpoolError, State
from smtprelay.spool.facts import read_fact
from smtprelay.suppression import beginning_of

log = structlog.get_logger("platform")

LATE = 3_600_000  # milliseconds that the platform may take to count what it was handed
DAY = 86_400_000  # milliseconds
AGAIN = 10.0  # seconds until a spool that failed is tried again


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stood when the platform was asked.

    :param at: when; Unix time in milliseconds.
    :param available: recipients that it may still send to; None where the platform does not tell.
    :param status: whether it may send, in the platform's word.
    :param ends: the last day of its service, in Asia/Shanghai; None where that is not told.
    """

    at: int
    available: int | None
    status: str
    ends: date | None

    @property
    def end(self) -> int | None:
        """When the service is over; Unix time in milliseconds."""
        return beginning_of(self.ends) + DAY if self.ends else None

    @classmethod
    def of(cls, service: Service, now: int) -> Standing:
        """:param now: Unix time in milliseconds."""
        return cls(now, service.available, service.status.value, service.ends)

    def is_low(self, reserve: int) -> bool:
        """Whether fewer are left than the reserve. Of nothing never."""
        return self.available is not None and self.available < reserve > 0


_STANDING = TypeAdapter(Standing)


def troubles(account: PlatformAccount, standing: Standing, now: int, *, holding: bool = False) -> Iterator[Problem]:
    """What is wrong with an account, or soon will be.

    :param now: Unix time in milliseconds.
    :param holding: bulk is held for want of quota.
    """
    name, reserve = account.key, account.quota_reserve
    if standing.available is not None and standing.available <= 0:
        yield problems.QUOTA_USED_UP.of(name, name=name)
    elif standing.available is not None and (standing.is_low(reserve) or (holding and reserve)):
        yield problems.QUOTA_LOW.of(name, name=name, available=standing.available, reserve=reserve)
    if standing.status == ServiceStatus.DISABLED:
        yield problems.SERVICE_DISABLED.of(name, name=name)
    if standing.end is not None and (left := standing.end - now) <= account.expiry_warning:
        kind = problems.SERVICE_ENDS if left > 0 else problems.SERVICE_ENDED
        yield kind.of(name, name=name, day=standing.ends, left=left)


@dataclass(slots=True)
class _Figure:
    """What the platform says is left, and since when it says so.

    :param going: what it may not have counted: what was to go then, less what had been let go until then.
    """

    available: int
    since: int
    going: int

    def after(self, last: _Figure | None) -> _Figure:
        """The same figure as before may be one that does not know yet what went meanwhile."""
        if not last or self.available != last.available:
            return self
        if not 0 <= self.since - last.since < LATE:  # the clock may have been set back
            return self
        return _Figure(self.available, last.since, max(self.going, last.going))


_FIGURE = TypeAdapter(_Figure)


class Quota:
    """That of one account.

    :param credentials: names of those that spend it.
    :param facts: what the spool remembers.
    :param holding: mail is held for want of quota already.
    :param wake: called when mail has become due.
    :param clock: Unix time in milliseconds.
    :ivar standing: what the platform said last; None where it was never asked.
    """

    def __init__(
        self,
        account: PlatformAccount,
        credentials: tuple[str, ...],
        spool: Spool,
        facts: Mapping[str, str],
        *,
        holding: bool,
        wake: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._account = account
        self._reserve = account.quota_reserve if credentials else 0  # what nobody spends is kept from nobody
        self._credentials = credentials
        self._ahead = 2 * account.poll  # milliseconds: what is due later counts once it is not
        self._spool = spool
        self._wake = wake
        self._clock = clock
        self._standing_fact = f"platform/{account.key}/service"
        self._figure_fact = f"platform/{account.key}/figure"
        self.standing = read_fact(facts, self._standing_fact, _STANDING.validate_json)
        self._holding = holding or self._is_low()
        # Recipients that bulk may still be sent to, as far as is known: what is held stays so until there is an answer.
        self._room = 0 if self._holding else math.inf
        self._let_go = 0  # recipients that were let go since the start
        self._figure = read_fact(facts, self._figure_fact, _FIGURE.validate_json)
        self._release_wanted = asyncio.Event()
        self._changing = asyncio.Lock()

    def reason_to_hold(self, message: Message) -> str:
        """Count a message that is about to be stored. :returns: `QUOTA`, or ``""`` where it may go."""
        if message.due_at - message.received_at > self._ahead:
            return ""
        recipients = sum(not recipient.suppressed for recipient in message.envelope.recipients)
        if message.bulk and (self._holding or recipients > self._room):
            self._holding = True  # whatever comes now waits behind it
            return QUOTA
        self._spend(recipients)
        return ""

    def stored(self) -> None:
        """A message that is held was stored; perhaps what was held before has just been released."""
        self._holding = True
        self._release_wanted.set()

    async def ask(self, client: AsyncPlatformClient) -> None:
        """Ask the platform, and hold or release what its answer says.

        :raises PlatformError: it does not tell; what it said before stands. :raises SpoolError: the spool failed.
        """
        # What goes while the platform is asked may be in its answer or not: here it counts, so that bulk never spends
        # the reserve.
        by = self._clock() + self._ahead
        going, let_go = await self._going(by), self._let_go
        standing = self._note(await client.account.service())
        async with self._changing:
            await self._measure(standing, going - let_go, by)
        await self._spool.remember(self._standing_fact, _STANDING.dump_json(standing).decode())
        if figure := self._figure:
            gone = replace(figure, going=figure.going + self._let_go)  # as the next process counts from its own start
            await self._spool.remember(self._figure_fact, _FIGURE.dump_json(gone).decode())

    async def run(self) -> None:
        """Release what is held although there is room; until it is cancelled."""
        while True:
            await self._release_wanted.wait()
            try:
                async with self._changing:
                    await self._release()
            except SpoolError as error:
                log.error("held mail could not be released", account=self._account.key, reason=str(error))
                self._release_wanted.set()
                await asyncio.sleep(AGAIN)

    def forget(self) -> None:
        """The platform has not told for long. Where it said last that the quota is low, that stands; otherwise its
        silence holds no mail."""
        if not self._is_low():
            self._room = math.inf
            self._release_wanted.set()

    def problems(self) -> Iterator[Problem]:
        """What an operator should know."""
        if self.standing:
            yield from troubles(self._account, self.standing, self._clock(), holding=self._holding)

    def _is_low(self) -> bool:
        return bool(self.standing and self.standing.is_low(self._reserve))

    def _note(self, service: Service) -> Standing:
        name = self._account.key
        standing = Standing.of(service, self._clock())
        if standing.available is None and self.standing:
            standing = replace(standing, available=self.standing.available)
        self.standing = standing
        self._holding = self._holding or self._is_low()
        if standing.available is not None:
            metrics.PLATFORM_QUOTA.set(standing.available, name)
        if standing.end is not None:
            metrics.PLATFORM_END.set(standing.end / 1000, name)
        return standing

    async def _measure(self, standing: Standing, going: int, by: int) -> None:
        """Find out for how much bulk there is room once all that waits has gone; where it is too much, that is held.

        :param going: what was to go before the platform was asked, less what had been let go until then.
        :param by: when that was due at the latest.
        """
        if not self._reserve or standing.available is None:
            self._room = math.inf
        else:
            figure = self._figure = _Figure(standing.available, standing.at, going).after(self._figure)
            spare = figure.available - self._reserve
            if spare < figure.going + self._let_go:
                figure.going -= await self._hold(by)
            self._room = spare - (figure.going + self._let_go)
        await self._release()

    async def _going(self, by: int) -> int:
        counts = await self._spool.going(by)
        return sum(counts.get(credential, 0) for credential in self._credentials)

    async def _hold(self, by: int) -> int:
        self._holding = True
        bulk = Selector(state=State.QUEUED, bulk=True, credentials=self._credentials, due_by=by)
        count = await self._spool.hold(bulk, self._clock(), QUOTA)
        if count:
            log.error("the quota runs low: bulk mail is held", account=self._account.key, recipients=count)
        return count

    async def _release(self) -> None:
        """As much of what is held as there is room for."""
        self._release_wanted.clear()
        limit = None if self._room == math.inf else max(int(self._room), 0)
        if not self._holding or limit == 0:
            return
        held = Selector(reason=QUOTA, credentials=self._credentials)  # or to be held once its attempt has ended
        count = await self._spool.release(held, self._clock(), limit)
        self._spend(count)
        self._holding = count == limit or self._release_wanted.is_set()
        if count:
            log.warning("the quota is back: bulk mail goes on", account=self._account.key, recipients=count)
            self._wake()

    def _spend(self, recipients: int) -> None:
        self._room -= recipients
        self._let_go += recipients

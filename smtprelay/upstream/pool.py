"""The upstream: connections to smarthosts, kept between messages, at most so many in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from smtprelay import config
from smtprelay.message import Message, Recipient
from smtprelay.outcome import Fact, Phase, refuses_credential
from smtprelay.upstream.connection import Connection, Failure, Progress
from smtprelay.upstream.handshake import Target, establish, login
from smtprelay.upstream.lane import Lane
from smtprelay.upstream.reach import Reach, Way
from smtprelay.upstream.slots import Slots
from smtprelay.upstream.transaction import Stale, transact

IDLE = 60.0  # seconds that a connection waits for another message; the platform's places are few


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one `Upstream.send`.

    :param facts: one per recipient, in their order.
    :param smarthost: ``host[address]:port``, ``""`` where none was reached.
    :param dsn_offered: the smarthost offers DSN (RFC 3461), and the parameters were passed on.
    """

    facts: tuple[Fact, ...]
    smarthost: str = ""
    dsn_offered: bool = False


class _Wait(NamedTuple):
    """Why a connection lies idle: for which messages, and until when."""

    lane: Lane
    expiry: asyncio.TimerHandle


class Upstream:
    """The way out. It reports facts, per recipient and phase; `smtprelay.outcome` judges them.

    :param hostname: what we call ourselves at EHLO.
    :param lanes: by the credential's key.
    :param tls_seen: hosts on which STARTTLS has worked; they never get plaintext again.
    :param on_tls: called with a host on which it worked for the first time, to be remembered.
    :ivar reach: which smarthosts can be reached.
    """

    def __init__(
        self,
        config: config.Upstream,
        *,
        hostname: str,
        lanes: Mapping[str, Lane],
        tls_seen: Collection[str] = (),
        on_tls: Callable[[str], None] = lambda host: None,
    ) -> None:
        self._config = config
        self._hostname = hostname
        self._tls_seen = set(tls_seen)
        self._on_tls = on_tls
        self._lanes = dict(lanes)
        self.reach = Reach()
        self._busy = Slots(config.connections)
        self._idle: dict[Connection, _Wait] = {}  # the one that has waited longest comes first
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    def use(self, config: config.Upstream, *, hostname: str, lanes: Mapping[str, Lane]) -> set[str]:
        """Go other ways from now on. What is under way goes on; connections that wait are kept where they are as good
        as a new one.

        :returns: the credentials whose way is new.
        """
        self._config = config
        self._hostname = hostname
        before, self._lanes = self._lanes, dict(lanes)
        for credential, lane in before.items():
            if lane == self._lanes.get(credential):
                lane.context = self._lanes[credential].context
                self._lanes[credential] = lane
            lane.retired = self._lanes.get(credential) is not lane
        excess = max(self._busy.taken + len(self._idle) - config.connections, 0)
        for i, (connection, wait) in enumerate(list(self._idle.items())):
            if wait.lane.retired or i < excess:
                self._dismiss(connection)
        self.reach.keep(way for lane in self._lanes.values() for way in lane.ways)
        self._busy.resize(config.connections)
        return {credential for credential, lane in self._lanes.items() if lane is not before.get(credential)}

    async def send(
        self,
        credential: str,
        message: Message,
        recipients: Sequence[Recipient],
        body: Callable[[], AsyncIterator[bytes]],
        progress: Progress | None = None,
    ) -> Report:
        """Send a message to some of its recipients in one transaction. Nothing that the network or the smarthost
        does is raised.

        Cancelling closes the connection; `progress` then tells whether the message may have been accepted.

        :param body: opens the content: lines that end in <CRLF>. What its iterator raises makes the fact corrupt.
        """
        progress = progress or Progress()
        while lane := self._lanes.get(credential):
            report = await self._send(lane, message, recipients, body, progress)
            if not (lane.retired and _refuses_before_rcpt(report.facts[0])):  # it was the old one that was refused
                return report
        return Report((_not_configured(credential),) * len(recipients))

    async def _send(
        self,
        lane: Lane,
        message: Message,
        recipients: Sequence[Recipient],
        body: Callable[[], AsyncIterator[bytes]],
        progress: Progress,
    ) -> Report:
        async def use(connection: Connection) -> Report:
            connection.attach(progress)
            try:
                facts = await transact(connection, message, recipients, body)
            except BaseException:  # above all cancellation: a late reply would be taken for the next command's
                connection.abort()
                raise
            if connection.usable:
                self.reach.used(lane.way(connection.place))
            self._keep(lane, connection)
            return Report(facts, connection.smarthost, "dsn" in connection.extensions)

        async with self._busy:
            try:
                if idle := self._take(lane):
                    with suppress(Stale):
                        return await use(idle)
                return await use(await self._open(lane, progress))
            except Failure as failure:
                return Report((failure.fact,) * len(recipients), progress.smarthost)

    async def probe(self, credential: str) -> Fact:
        """Connect and log in; the connection is kept for the next message.

        :returns: the reply to AUTH (to EHLO, where there is no log-in), or what went wrong.
        """
        while lane := self._lanes.get(credential):
            fact = await self._probe(lane)
            if not (lane.retired and refuses_credential(fact)):
                return fact
        return _not_configured(credential)

    async def _probe(self, lane: Lane) -> Fact:
        async with self._busy:
            try:
                connection = await self._open(lane, Progress())
            except Failure as failure:
                return failure.fact
            self._keep(lane, connection)
            return connection.established

    def smtputf8(self, credential: str) -> bool | None:
        """Whether SMTPUTF8 (RFC 6531) was offered at the last EHLO; None: not known yet."""
        lane = self._lanes.get(credential)
        return lane.smtputf8 if lane else None

    @property
    def ways(self) -> dict[str, list[Way]]:
        """Those of each credential: none where nothing may leave."""
        return {name: lane.ways for name, lane in self._lanes.items()}

    def cut_off(self) -> dict[str, list[Way]]:
        """The credentials for which no smarthost can be reached, and the ways of each."""
        return {name: ways for name, ways in self.ways.items() if self.reach.all_out(ways)}

    @property
    def open_connections(self) -> dict[str, int]:
        """How many there are: at work, and waiting for the next message."""
        return {"busy": self._busy.taken, "idle": len(self._idle)}

    async def close(self) -> None:
        """Take leave of the smarthosts: a few seconds at most. Transactions that go on close their own connections."""
        self._closed = True
        for connection in list(self._idle):
            self._dismiss(connection)
        if self._leaving:
            await asyncio.wait(self._leaving)

    # Connections

    async def _open(self, lane: Lane, progress: Progress) -> Connection:
        """A new connection, logged in, to the first host that lets us come as far as AUTH.

        :raises Failure:
        """
        await self._make_room()
        failures: list[tuple[str, Fact]] = []
        for host in lane.hosts:
            target = Target(host, lane.port, self._hostname, lane.tls, lane.context, host in self._tls_seen)
            connection = Connection(f"{host}:{lane.port}", self._config.timeouts, progress)
            connection.attach(progress)
            try:
                await establish(connection, target)
                self._learn(lane, host, connection)
                if lane.username:
                    await login(connection, lane.username, lane.password)
            except Failure as failure:
                self._leave(connection)
                if not lane.retired:
                    self.reach.failed(lane.way(connection.place), failure.fact)
                if failure.fact.phase is Phase.AUTH:
                    raise  # the credential is the same everywhere
                failures.append((connection.name, failure.fact))
            except BaseException:
                connection.abort()
                raise
            else:
                if not lane.retired:
                    self.reach.opened(lane.way(connection.place))
                return connection
        raise Failure(_summary(failures))

    def _learn(self, lane: Lane, host: str, connection: Connection) -> None:
        lane.smtputf8 = "smtputf8" in connection.extensions
        if connection.encrypted and lane.tls != "implicit" and host not in self._tls_seen:
            self._tls_seen.add(host)
            self._on_tls(host)

    async def _make_room(self) -> None:
        """Let go of connections that wait for other credentials' messages, so that `connections` is kept to."""
        excess = self._busy.taken + len(self._idle) + len(self._leaving) - self._config.connections
        if excess > 0:
            for connection in list(self._idle)[:excess]:
                self._dismiss(connection)
            if self._leaving:  # nobody is, where a reload has left fewer places than are taken
                await asyncio.wait(self._leaving)  # only now their places at the smarthost are free

    def _take(self, lane: Lane) -> Connection | None:
        """An idle connection: the one used last, so that those that are not needed run out."""
        for connection in reversed([c for c, wait in self._idle.items() if wait.lane is lane]):
            self._idle.pop(connection).expiry.cancel()
            if connection.usable:
                connection.timeouts = self._config.timeouts  # a reload may have changed them meanwhile
                return connection
            connection.close()
        return None

    def _keep(self, lane: Lane, connection: Connection) -> None:
        worn = connection.transactions >= self._config.messages_per_connection
        excess = len(self._idle) >= self._config.connections  # a reload has left fewer places than were taken
        if self._closed or not connection.usable:
            connection.close()
        elif lane.retired or worn or excess:
            self._leave(connection)
        else:
            connection.reused = True
            expiry = asyncio.get_running_loop().call_later(IDLE, self._dismiss, connection)
            self._idle[connection] = _Wait(lane, expiry)

    def _dismiss(self, connection: Connection) -> None:
        self._idle.pop(connection).expiry.cancel()
        self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(connection.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _summary(failures: Sequence[tuple[str, Fact]]) -> Fact:
    """The fact of the last host tried; where there were several, in words that name each."""
    last = failures[-1][1]
    if len(failures) == 1:
        return last
    return Fact(last.phase, error="; ".join(f"{name}: {f.reply}" if f.reply else f.error for name, f in failures))


def _refuses_before_rcpt(fact: Fact) -> bool:
    """Whether the credential was refused before anybody could get the message."""
    return refuses_credential(fact) and fact.phase in (Phase.AUTH, Phase.MAIL)


def _not_configured(credential: str) -> Fact:
    return Fact(Phase.CONNECT, error=f"credential {credential} is not configured any more")

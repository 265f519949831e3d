"""The control socket: HTTP and JSON on a Unix socket (0660; SO_PEERCRED says who asks).

`Operator` is what can be asked of a running daemon; `smtprelay.control_http` carries it over the socket. The CLI's side
is `smtprelay.cli.remote`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from smtprelay.control_values import Done
from smtprelay.domains.verdict import Verdict
from smtprelay.keyring import Keyring
from smtprelay.on_demand import OnDemand
from smtprelay.platform_accounts import PlatformAccounts
from smtprelay.policy import Limits
from smtprelay.scheduler import Credentials
from smtprelay.spool import ENDED, PASSING, MessageRecord, Query, Selector, Spool, State
from smtprelay.suppression_list import SuppressionList
from smtprelay.values import client_or_account, is_address

MODE = 0o660
# By the action, to what it can be done.
_ACTIONS = {
    "hold": "waits",
    "release": "is held",
    "cancel": "waits or is held",
    "retry": "waits for a later attempt",
}
PAGE = 500  # messages that one read looks up, so that readers stay short
SUSPENDED = "suspended/"  # prefix of the facts in the spool that name suspended accounts


class ControlError(Exception):
    """The control socket cannot be opened; the text says why."""


class BadRequest(Exception):
    """What was asked makes no sense; the text says why."""


def _unknown(message_id: str) -> str:
    return f"no message {message_id} is known; its history may have been pruned"


def describe(record: MessageRecord) -> dict[str, Any]:
    """A message of the books as JSON."""
    message = record.message
    return {
        "id": message.id,
        "received_at": message.received_at,
        "client": message.origin.client,
        "helo": message.origin.helo,
        "protocol": message.origin.protocol,
        "account": message.origin.account,
        "reverse_path": message.envelope.reverse_path,
        "envid": message.envelope.envid,
        "size": message.size,
        "credential": message.credential,
        "domain": message.domain,
        "selectors": list(message.selectors),
        "author_domain": message.author_domain,
        "subject": message.subject,
        "message_id": message.message_id,
        "repairs": list(message.repairs),
        "changes": list(message.changes),
        "tags": list(message.tags),
        "due_at": message.due_at,
        "idempotency_key": message.idempotency_key.replace("\n", " "),
        "dsn_for": message.dsn_for,
        "body_kept": record.body_kept,
        "unreadable": list(record.unreadable),
        "recipients": [
            {
                "recipient": r.recipient.address,
                "state": r.state,
                "reason": r.reason,
                "next_at": r.next_at,
                "attempts": r.attempts,
                "updated_at": r.updated_at,
                "reply": r.reply,
                "dsn": r.dsn,
                "fate": r.fate and asdict(r.fate),
                "history": [asdict(attempt) for attempt in r.history],
            }
            for r in record.recipients
        ],
    }


class Operator:
    """What an operator can see and do.

    :param wake: called after anything that makes mail due.
    :param clock: Unix time in milliseconds.
    :param about: what else is told with the figures: ``mode``, who is really mailed (`Routing`) in words, or ``""``;
        ``listen``, the gateway's addresses.
    """

    def __init__(
        self,
        spool: Spool,
        limits: Limits,
        credentials: Credentials,
        wake: Callable[[], None],
        clock: Callable[[], int],
        about: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._about = about
        self._spool = spool
        self._limits = limits
        self._credentials = credentials
        self._wake = wake
        self._clock = clock

    async def list(self, query: Query, limit: int, before: str) -> list[dict[str, Any]]:
        """Messages, newest first, with those of their recipients that are meant."""
        return [message async for message in self.messages(query, limit, before)]

    async def messages(self, query: Query, limit: int, before: str = "") -> AsyncIterator[dict[str, Any]]:
        """The same one by one: a long list as a whole would stall the loop."""
        from smtprelay.spool.matching import Wanted  # 0.2 MB, for whoever searches

        wanted = Wanted(query)
        more = True
        while limit > 0 and more:
            found = await self._spool.find(query, min(limit, PAGE), before)
            for record in found.records:
                yield describe(replace(record, recipients=tuple(wanted.recipients(record))))
                await asyncio.sleep(0)
            limit, before, more = limit - len(found.records), found.before, bool(found.before)

    async def show(self, message_id: str, most: int | None = None) -> dict[str, Any]:
        """One message with all its attempts, how many recipients are in which state, and whether its credential is
        paused or its sender suspended.

        :param most: recipients at most: those that have not ended first.
        """
        record = await self._spool.show(message_id)
        if record is None:
            raise BadRequest(_unknown(message_id))
        shown = record.recipients
        if most is not None:
            shown = tuple(sorted(shown, key=lambda r: r.state in ENDED)[:most])
        return {
            **describe(replace(record, recipients=shown)),
            "left_out": len(record.recipients) - len(shown),
            "states": Counter(r.state.value for r in record.recipients),
            "paused": self.paused().get(record.message.credential),
            "suspended": record.message.origin.key in self._limits.suspended,
        }

    async def source(self, message_id: str) -> bytes:
        """The octets of a captured message. Others are their recipients' alone."""
        message = await self.show(message_id)
        if not any(recipient["state"] == State.CAPTURED for recipient in message["recipients"]):
            raise BadRequest(f"{message_id} was not captured, so it is its recipients' alone")
        return b"".join([chunk async for chunk in self._spool.body(message_id)])

    async def stats(self) -> dict[str, Any]:
        """The queue in figures."""
        stats = await self._spool.stats()
        return {
            **asdict(stats),
            **self._about(),
            "recipients": {state.value: stats.recipients.get(state, 0) for state in State},
            "paused": self.paused(),
            "suspended": self.suspended(),
        }

    async def act(self, action: str, selector: Selector, reason: str) -> Done:
        """Hold, release, cancel or retry."""
        now = self._clock()
        match action:
            case "hold" if reason in PASSING:
                raise BadRequest(f"what is held for {reason} goes on by itself: give another reason")
            case "hold":
                count = await self._spool.hold(selector, now, reason or "operator")
            case "cancel":
                count = await self._spool.cancel(selector, now)
            case "release":
                count = await self._spool.release(selector, now)
            case "retry":
                count = await self._spool.retry(selector, now)
            case _:
                raise BadRequest(f"{action} is none of {', '.join(_ACTIONS)}")
        if action in ("release", "retry"):
            self._wake()
        return Done(count, tuple([sentence async for sentence in self._undone(action, selector, count)]))

    async def _undone(self, action: str, selector: Selector, count: int) -> AsyncIterator[str]:
        """Of the messages that were named: those that are not known, and all of them where nothing was done."""
        if not selector.ids:
            return
        states = await self._spool.states(selector.ids)
        meant = "" if selector == Selector(selector.ids) else " that is meant"
        for message_id in dict.fromkeys(selector.ids):
            if message_id not in states:
                yield _unknown(message_id)
            elif not count:
                yield f"{message_id} is {', '.join(states[message_id])}: nothing in it{meant} {_ACTIONS[action]}"

    async def suspend(self, account: str) -> int:
        """Stop an account, or a trusted client by its address: what waits is held, and so is what comes.

        :returns: how many waiting recipients were held.
        :raises BadRequest: nobody is called so.
        """
        account = self._called(account)
        await self._spool.remember(SUSPENDED + account, str(self._clock()))
        self._limits.suspended.add(account)
        return await self._spool.hold(Selector(account=account), self._clock(), "suspended")

    async def resume(self, account: str) -> int:
        """Let an account send again. What was held stays held: it may be what the account was stopped for.

        :returns: how many recipients are held.
        :raises BadRequest: nobody is called so, and nobody who was is suspended.
        """
        account = self._called(account)
        await self._spool.remember(SUSPENDED + account, None)
        self._limits.suspended.discard(account)
        held = self.messages(Query(account=account, state=State.HELD, reason="suspended"), 100_000)
        return sum([len(message["recipients"]) async for message in held])

    def _called(self, name: str) -> str:
        """An account or a client's address, as `suspended` has it: one that is there no more may be suspended still."""
        account = client_or_account(name)
        if not (self._limits.knows(account) or is_address(account) or account in self._limits.suspended):
            raise BadRequest(
                f"{account} is no account in [[gateway.accounts]], and no client's address: nothing was changed"
            )
        return account

    def suspended(self) -> Sequence[str]:
        """The accounts and trusted clients that may not send."""
        return sorted(self._limits.suspended)

    def paused(self) -> dict[str, dict[str, Any]]:
        """The credentials that the smarthost refused, by name."""
        return {name: asdict(pause) for name, pause in self._credentials.pauses.items()}


@dataclass(frozen=True, slots=True)
class Facilities:
    """What is behind the control socket.

    :param look_again: looks a domain up anew (`Watch.look_again`).
    :param reload: has the daemon follow its configuration anew, and tells why it does not (`Reload.now`).
    """

    operator: Operator
    keyring: Keyring
    look_again: Callable[[str], Awaitable[Verdict]]
    suppressions: SuppressionList
    platform: PlatformAccounts
    reload: Callable[[], Awaitable[Sequence[str]]]


class Control:
    """The control socket.

    :param path: where it lies in the file system.
    """

    def __init__(self, path: Path, facilities: Facilities) -> None:
        self._path = path
        self._sock: socket.socket | None = None
        self._door = OnDemand(
            "smtprelay.control_http",
            lambda http, socks, until: http.serve(socks, http.app(facilities), until=until),
        )

    async def start(self) -> None:
        """Open it. :raises ControlError: it cannot be opened."""
        self._sock = _unix_socket(self._path)
        self._door.open([self._sock])

    async def close(self) -> None:
        """Let go of it."""
        if self._sock is None:
            return
        await self._door.close()
        self._path.unlink(missing_ok=True)


def _unix_socket(path: Path) -> socket.socket:
    """A listening socket at this path. A stale file is replaced, one that answers is not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other, suppress(OSError):
            other.connect(str(path))
            raise ControlError(f"another daemon answers on {path}")
        path.unlink(missing_ok=True)
        mask = os.umask(0o777 & ~MODE)
        try:
            sock.bind(str(path))
        finally:
            os.umask(mask)
        sock.listen()
    except OSError as error:
        sock.close()
        raise ControlError(f"[status] control: {path} cannot be opened: {error.strerror or error}") from error
    except ControlError:
        sock.close()
        raise
    return sock

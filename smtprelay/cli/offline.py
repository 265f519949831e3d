"""The spool itself, asked under its lock and its owner's uid where no daemon runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from smtprelay.cli.configuration import fail
from smtprelay.clock import now_ms
from smtprelay.config import Config, ConfigError
from smtprelay.control import SUSPENDED, BadRequest, Operator
from smtprelay.control_values import Done
from smtprelay.keyfiles import configured_keys
from smtprelay.keyring import Keyring, RotationRefused, Wish
from smtprelay.policy import Limits
from smtprelay.resolver import Resolver
from smtprelay.routing import Routing
from smtprelay.scheduler import Credentials
from smtprelay.spool import Query, Selector, SpoolError, Suppression
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.suppression_list import Entry, SuppressionList, operator_source, page_by_page
from smtprelay.webhooks import wanted

T = TypeVar("T")


class _Run(Protocol):
    """Runs a question to its end, in the event loop of the others."""

    def __call__(self, question: Coroutine[Any, Any, T], /) -> T: ...


class Offline:
    """`smtprelay.cli.remote.Relay` without a daemon. Whatever the spool refuses ends the program."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def _ask(self, question: Callable[[Operator], Awaitable[T]]) -> T:
        def about() -> dict[str, Any]:
            return {"mode": Routing(self._config.upstream).told(), "listen": []}

        async def answer(spool: SQLiteSpool) -> T:
            suspended = {key.removeprefix(SUSPENDED) for key in await spool.recall(SUSPENDED)}
            limits = Limits(self._config.gateway, {}, suspended, now_ms())
            return await question(Operator(spool, limits, Credentials((), now_ms), lambda: None, now_ms, about))

        return self._with_spool(answer)

    def _ask_keyring(self, question: Callable[[Keyring], Awaitable[T]]) -> T:
        async def answer(spool: SQLiteSpool) -> T:
            resolver = Resolver(self._config.domain_rules.nameservers, clock=now_ms)
            try:
                return await question(
                    await Keyring.open(self._config, spool, configured_keys(self._config), resolver.fresh)
                )
            finally:
                await resolver.close()

        return self._with_spool(answer)

    def _with_spool(self, answer: Callable[[SQLiteSpool], Coroutine[Any, Any, T]]) -> T:
        with self._opened() as (run, spool):
            return run(answer(spool))

    @contextmanager
    def _opened(self) -> Iterator[tuple[_Run, SQLiteSpool]]:
        """The spool, and what runs questions to it."""
        path = self._config.spool.path
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the answer alone is printed
        try:
            _become_owner(path)
            with asyncio.Runner() as runner:
                spool = runner.run(SQLiteSpool.open(path, now=now_ms()))
                try:
                    runner.run(spool.record(wanted(self._config.webhooks)))
                    yield runner.run, spool
                finally:
                    runner.run(spool.close())
                    _become_oneself()
        except SpoolError as error:
            fail(os.EX_TEMPFAIL, str(error))
        except ConfigError as error:
            fail(os.EX_CONFIG, str(error))
        except (BadRequest, RotationRefused) as error:
            fail(os.EX_USAGE, str(error))

    @contextmanager
    def _suppression_list(self) -> Iterator[tuple[_Run, SuppressionList]]:
        with self._opened() as (run, spool):
            yield (
                run,
                SuppressionList(
                    spool, lambda: self._config.suppression.expiry, lambda: self._config.spool.min_free, now_ms
                ),
            )

    def list(self, query: Query, limit: int, before: str) -> list[dict[str, Any]]:
        return self._ask(lambda operator: operator.list(query, limit, before))

    def show(self, message_id: str) -> dict[str, Any]:
        return self._ask(lambda operator: operator.show(message_id))

    def source(self, message_id: str) -> bytes:
        return self._ask(lambda operator: operator.source(message_id))

    def stats(self) -> dict[str, Any]:
        return self._ask(lambda operator: operator.stats())

    def act(self, action: str, selector: Selector, reason: str) -> Done:
        return self._ask(lambda operator: operator.act(action, selector, reason))

    def account(self, name: str, action: str) -> int:
        return self._ask(lambda operator: operator.suspend(name) if action == "suspend" else operator.resume(name))

    def rotate(self, wish: Wish) -> dict[str, Any]:
        return asdict(self._ask_keyring(lambda keyring: keyring.rotate(wish, now_ms())))

    def keys(self) -> Sequence[dict[str, Any]]:
        return [asdict(key) for key in self._ask_keyring(lambda keyring: keyring.status())]

    def suppressions(self, cause: str, text: str, after: str, limit: int) -> Iterator[Suppression]:
        with self._suppression_list() as (run, suppressions):
            yield from page_by_page(
                lambda after, limit: run(suppressions.page(after, limit, cause=cause, text=text)), after, limit
            )

    def suppression_count(self) -> dict[str, int]:
        with self._suppression_list() as (run, suppressions):
            return run(suppressions.count())

    def suppress(self, slices: Iterable[Sequence[Entry]]) -> Iterator[int]:
        with self._suppression_list() as (run, suppressions):
            for entries in slices:
                yield run(suppressions.enter(entries, operator_source(os.getuid())))

    def unsuppress(self, slices: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        with self._suppression_list() as (run, suppressions):
            for addresses in slices:
                yield run(suppressions.remove(addresses))


def _become_owner(path: Path) -> None:
    """Files made beside the spool must belong to the daemon's user, or it could not start again."""
    try:
        owner = path.stat()
    except FileNotFoundError:
        fail(os.EX_TEMPFAIL, f"No daemon runs, and there is no spool {path} yet: the first 'smtprelay run' makes it.")
    except OSError as error:
        fail(os.EX_TEMPFAIL, f"No daemon runs, and its spool {path} cannot be read: {error.strerror}.")
    if os.geteuid() == owner.st_uid:
        return
    if os.geteuid() != 0:
        fail(os.EX_NOPERM, f"No daemon runs, and its spool {path} belongs to another user: become root.")
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)


def _become_oneself() -> None:
    """What a command writes elsewhere is its user's."""
    os.seteuid(os.getuid())
    os.setegid(os.getgid())

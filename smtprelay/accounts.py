"""Log-ins: of apps at the gateway, of operators at the page."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from argon2 import PasswordHasher

REMEMBERED = 600.0  # seconds that a success is remembered: old apps log in for every message
PARALLEL = 2  # argon2 verifications at a time, 19 MiB each


def hash_password(password: str) -> str:
    """The argon2id hash for `password_hash` in the configuration."""
    return _hasher().hash(password)


class Account(Protocol):
    """Somebody who logs in; the hash is argon2's."""

    @property
    def username(self) -> str: ...
    @property
    def password_hash(self) -> str: ...


A = TypeVar("A", bound=Account)


class Accounts(Generic[A]):
    """Verifies log-ins off the event loop.

    :param clock: monotonic seconds.
    """

    def __init__(self, accounts: Sequence[A], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._executor = ThreadPoolExecutor(PARALLEL, thread_name_prefix="argon2")
        # Successes are kept under a keyed hash, so that no password stays in memory.
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[str, tuple[bytes, float]] = {}
        self.use(accounts)

    def use(self, accounts: Sequence[A]) -> None:
        """Know these accounts, and no others, from now on; nobody is remembered."""
        self._accounts = {account.username: account for account in accounts}
        self._remembered.clear()

    def __bool__(self) -> bool:
        return bool(self._accounts)

    async def verify(self, username: str, password: str) -> A | None:
        """The account, or None where the name or the password is wrong."""
        account = self._accounts.get(username)
        digest = hashlib.blake2b(f"{username}\0{password}".encode(), key=self._secret, digest_size=32).digest()
        if account and self._is_remembered(username, digest):
            return account
        loop = asyncio.get_running_loop()
        password_hash = account.password_hash if account else ""
        matches = await loop.run_in_executor(self._executor, _matches, password_hash, password)
        account = self.current(account) if account and matches else None
        if account:
            self._remembered[username] = (digest, self._clock() + REMEMBERED)
        return account

    def current(self, account: A) -> A | None:
        """The account of somebody who has logged in, as it is now; None where it is gone, or its password is another
        one by now."""
        found = self._accounts.get(account.username)
        return found if found and found.password_hash == account.password_hash else None

    def close(self) -> None:
        """Let the threads go."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _is_remembered(self, username: str, digest: bytes) -> bool:
        known, until = self._remembered.get(username, (b"", 0.0))
        return self._clock() < until and secrets.compare_digest(known, digest)


def _matches(password_hash: str, password: str) -> bool:
    """Whether it is the password.

    :param password_hash: ``""`` for an unknown name: it takes as long, so that names cannot be guessed by the clock.
    """
    from argon2.exceptions import VerificationError

    try:
        return _hasher().verify(password_hash or _nobodys(), password)
    except VerificationError:
        return False


@cache
def _hasher() -> PasswordHasher:
    """Imported with the first log-in: a relay without accounts needs none of its 0.5 MB."""
    from argon2 import PasswordHasher

    # OWASP's parameters for argon2id: 30 ms, against 167 ms and 64 MiB of the library's defaults.
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@cache
def _nobodys() -> str:
    return hash_password(secrets.token_hex())

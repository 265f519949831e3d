"""Log-ins: of apps at the gateway, of operators at the page."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

REMEMBERED = 600.0  # seconds that a success is remembered: old apps log in for every message
PARALLEL = 2  # argon2 verifications at a time, 19 MiB each

# OWASP's parameters for argon2id: 30 ms, against 167 ms and 64 MiB of the library's defaults.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """The argon2id hash for `password_hash` in the configuration."""
    return _hasher.hash(password)


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
        self._accounts = {account.username: account for account in accounts}
        self._clock = clock
        self._executor = ThreadPoolExecutor(PARALLEL, thread_name_prefix="argon2")
        # Successes are kept under a keyed hash, so that no password stays in memory.
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[str, tuple[bytes, float]] = {}
        # An unknown name takes as long as a wrong password, so that names cannot be guessed by the clock.
        self._nobody = hash_password(secrets.token_hex()) if accounts else ""

    def __bool__(self) -> bool:
        return bool(self._accounts)

    async def verify(self, username: str, password: str) -> A | None:
        """The account, or None where the name or the password is wrong."""
        account = self._accounts.get(username)
        digest = hashlib.blake2b(f"{username}\0{password}".encode(), key=self._secret, digest_size=32).digest()
        if account and self._is_remembered(username, digest):
            return account
        loop = asyncio.get_running_loop()
        password_hash = account.password_hash if account else self._nobody
        if not await loop.run_in_executor(self._executor, _matches, password_hash, password) or account is None:
            return None
        self._remembered[username] = (digest, self._clock() + REMEMBERED)
        return account

    def close(self) -> None:
        """Let the threads go."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _is_remembered(self, username: str, digest: bytes) -> bool:
        known, until = self._remembered.get(username, (b"", 0.0))
        return self._clock() < until and secrets.compare_digest(known, digest)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except VerificationError:
        return False

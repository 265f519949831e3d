"""How fast credentials may send: a token bucket each, or a shared one."""

from __future__ import annotations

import time
from collections.abc import Callable

from smtprelay import config
from smtprelay.values import Rate


class Bucket:
    """A rate: so many tokens in a period, all of which may be taken at once.

    What is taken beyond them is owed: a take larger than the bucket is possible, and is waited for afterwards.

    :param rate: None is no limit.
    :param clock: seconds, monotonic.
    """

    def __init__(self, rate: Rate | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._tokens = float(rate.count) if rate else 0.0
        self._filled_at = clock()

    @property
    def rate(self) -> Rate | None:
        return self._rate

    def take(self, count: int) -> None:
        """Take tokens, whether they are there or not."""
        if self._rate:
            self._fill(self._rate)
            self._tokens -= count

    def wait(self) -> float:
        """Seconds until there is a token."""
        if not self._rate:
            return 0.0
        self._fill(self._rate)
        return max(0.0, (1 - self._tokens) / _per_second(self._rate))

    def _fill(self, rate: Rate) -> None:
        now = self._clock()
        self._tokens = min(rate.count, self._tokens + (now - self._filled_at) * _per_second(rate))
        self._filled_at = now


def _per_second(rate: Rate) -> float:
    return rate.count * 1000 / rate.period


class Rates:
    """The `rate` of each credential, in recipients; those without one of their own share that of `[upstream]`.

    The scheduler asks before it leases: nobody waits with a lease, or a connection, in his hands.
    """

    def __init__(self, settings: config.Upstream, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shared = Bucket(settings.rate, clock)
        self._own: dict[str, Bucket] = {}
        self.use(settings)

    def use(self, settings: config.Upstream) -> None:
        """Keep to other rates from now on; one that stays the same has been used as far as it has been."""
        self._shared = self._same_or_new(self._shared, settings.rate)
        self._own = {c.key: self._same_or_new(self._own.get(c.key), c.rate) for c in settings.credentials if c.rate}

    def limited(self, credential: str) -> bool:
        """Whether it has a rate at all."""
        return self._bucket(credential).rate is not None

    def wait(self, credential: str) -> float:
        """Seconds until it may send again."""
        return self._bucket(credential).wait()

    def take(self, credential: str, recipients: int) -> None:
        """Something is sent with it."""
        self._bucket(credential).take(recipients)

    def _bucket(self, credential: str) -> Bucket:
        return self._own.get(credential, self._shared)

    def _same_or_new(self, bucket: Bucket | None, rate: Rate | None) -> Bucket:
        return bucket if bucket and bucket.rate == rate else Bucket(rate, self._clock)

"""The token bucket."""

from __future__ import annotations

import asyncio

import pytest

from smtprelay.sandbox.smarthost import Smarthost
from smtprelay.upstream.rate import Bucket
from smtprelay.values import Rate
from tests.upstream.support import (
    CONTENT,
    message,
    relay_to,
    streamed,
)


class Clock:
    """A clock that goes on only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_a_bucket_is_emptied_at_once_and_filled_over_its_period() -> None:
    clock = Clock()
    bucket = Bucket(Rate(60, 60_000), clock, clock.sleep)
    await bucket.take(60)
    assert clock.slept == []
    await bucket.take(1)
    await bucket.take(100)  # more than it holds
    assert clock.slept == pytest.approx([1, 100])
    clock.now += 3600
    await bucket.take(60)
    assert len(clock.slept) == 2


async def test_what_was_waited_for_in_vain_is_given_back() -> None:
    clock = Clock()

    async def cancelled(seconds: float) -> None:
        raise asyncio.CancelledError

    bucket = Bucket(Rate(1, 1_000), clock, cancelled)
    await bucket.take(1)
    with pytest.raises(asyncio.CancelledError):
        await bucket.take(1000)
    clock.now += 1
    await bucket.take(1)


async def test_no_rate_no_wait() -> None:
    clock = Clock()
    await Bucket(None, clock, clock.sleep).take(10**9)
    assert clock.slept == []


async def test_a_credential_has_its_own_rate_or_shares_the_upstreams(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("smtprelay.upstream.pool.Bucket", lambda rate: Bucket(rate, clock, clock.sleep))
    credentials = [{"name": "a"}, {"name": "b"}, {"name": "own", "rate": "1/s"}]
    async with Smarthost() as host, relay_to(host, rate="2/s", credentials=credentials) as relay:
        for credential in ("a", "b", "own", "a", "own"):
            mail = message()
            await relay.upstream.send(credential, mail, mail.envelope.recipients, streamed(CONTENT))
    assert clock.slept == pytest.approx([0.5, 0.5])

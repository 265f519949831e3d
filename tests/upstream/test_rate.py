"""The token buckets."""

from __future__ import annotations

import pytest

from smtprelay.config import Upstream
from smtprelay.upstream import Rates
from smtprelay.upstream.rate import Bucket
from smtprelay.values import Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_is_emptied_at_once_and_filled_over_its_period() -> None:
    clock = Clock()
    bucket = Bucket(Rate(60, 60_000), clock)
    assert bucket.wait() == 0
    bucket.take(60)
    assert bucket.wait() == pytest.approx(1)
    clock.now += 1
    assert bucket.wait() == pytest.approx(0)
    bucket.take(101)  # more than it holds
    assert bucket.wait() == pytest.approx(101)
    clock.now += 3600
    bucket.take(60)
    assert bucket.wait() == pytest.approx(1), "it never holds more than its rate"


def test_no_rate_no_wait() -> None:
    bucket = Bucket(None, Clock())
    bucket.take(10**9)
    assert bucket.wait() == 0
    assert bucket.rate is None


def test_a_credential_has_its_own_rate_or_shares_the_upstreams() -> None:
    credentials = [{"name": "a"}, {"name": "b"}, {"name": "own", "rate": "1/s"}]
    rates = Rates(Upstream.model_validate({"rate": "2/s", "credentials": credentials}), Clock())
    assert all(map(rates.limited, ("a", "b", "own")))
    rates.take("a", 2)
    assert [rates.wait(name) for name in ("a", "b", "own")] == pytest.approx([0.5, 0.5, 0])
    rates.take("own", 1)
    assert rates.wait("own") == pytest.approx(1)


def test_a_rate_that_stays_has_been_used_as_far_as_it_has_been() -> None:
    credentials = [{"name": "stays", "rate": "2/s"}, {"name": "changes", "rate": "2/s"}, {"name": "shares"}]
    rates = Rates(Upstream.model_validate({"rate": "2/s", "credentials": credentials}), Clock())
    for name in ("stays", "changes", "shares"):
        rates.take(name, 2)
    credentials = [{"name": "stays", "rate": "2/s"}, {"name": "changes", "rate": "4/s"}, {"name": "new"}]
    rates.use(Upstream.model_validate({"rate": "2/s", "credentials": credentials}))
    waits = {"stays": 0.5, "changes": 0, "new": 0.5, "shares": 0.5}
    assert {name: rates.wait(name) for name in waits} == pytest.approx(waits)
    rates.use(Upstream.model_validate({"credentials": [{"name": "new"}]}))
    assert not rates.limited("new")
    rates.take("stays", 100)  # leased just before it was removed

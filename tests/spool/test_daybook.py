"""The interface: what was handed over in a span of time. For every implementation."""

from __future__ import annotations

import pytest

from smtprelay.spool import HandedOver, Result, Spool, State
from smtprelay.spool.sqlite import daybook
from tests.spool.support import HOUR, NOW, lease_all, lease_one, message, results


async def test_what_smarthosts_took_within_the_span_counts_by_credential(spool: Spool) -> None:
    await spool.put([message("a@example.net", "b@example.net"), message("c@example.net", credential="other")])
    for credential in ("news", "other"):
        for lease in await lease_all(spool, credential=credential):
            await spool.finish(lease, NOW + HOUR, results(lease))
    expected = {"news": HandedOver(2, 0), "other": HandedOver(1, 0)}
    assert await spool.handed_over(NOW + HOUR, NOW + 2 * HOUR) == expected
    assert await spool.handed_over(NOW, NOW + HOUR) == {}, "the end is not within it"
    assert await spool.handed_over(NOW + HOUR + 1, NOW + 2 * HOUR) == {}


async def test_so_does_what_a_message_that_waits_has_handed_over_already(spool: Spool) -> None:
    await spool.put([message("a@example.net", "b@example.net", "c@example.net")])
    lease = await lease_one(spool)
    a, b, c = (recipient.id for recipient in lease.recipients)
    waits = Result(b, State.QUEUED, next_at=NOW + HOUR, ambiguous=True)
    bounced = Result(c, State.BOUNCED, reason="refused", dsn="none")
    await spool.finish(lease, NOW, [Result(a, State.DELIVERED), waits, bounced])
    assert await spool.handed_over(NOW, NOW + 1) == {"news": HandedOver(1, ambiguous=1)}


async def test_a_day_of_several_pages(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daybook, "PAGE", 2)
    for end in (True, False):
        for _ in range(5):
            await spool.put([message("a@example.net", "b@example.net")])
            lease = await lease_one(spool)
            first, second = lease.recipients
            later = Result(second.id, State.QUEUED, next_at=NOW + HOUR)
            await spool.finish(lease, NOW, results(lease) if end else [Result(first.id, State.DELIVERED), later])
    assert await spool.handed_over(NOW, NOW + 1) == {"news": HandedOver(15, 0)}

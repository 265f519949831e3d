"""With the real relay: what its spool promises to those who send with keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtprelay import AsyncRelay, Refused
from tests.client.support import SHOP, url
from tests.process.relay import running

pytestmark = pytest.mark.slow


async def test_nobody_gets_a_message_twice(tmp_path: Path) -> None:
    contacts = [{"address": f"user{i}@example.net", "fullname": f"User {i}"} for i in range(40)]
    folder = tmp_path / "templates/welcome"
    folder.mkdir(parents=True)
    (folder / "subject.j2").write_text("Hello {{ fullname }}")
    (folder / "body.txt.j2").write_text("Hello {{ recipient }}")
    async with running(tmp_path, keys=["ed25519"]) as (daemon, smarthost):
        async with AsyncRelay(url(daemon.port), from_=SHOP) as relay:
            first = await relay.send(to="ann@example.net", text="hello", idempotency_key="order-1")
            again = await relay.send(to="ann@example.net", text="hello", idempotency_key="order-1")
            assert (first.repeated, again.repeated, again.id) == (False, True, first.id)
            ids = []
            for part in (contacts[:25], contacts):  # broken off after 25, and begun anew
                results = [
                    result
                    async for result in relay.send_many(template="welcome", contacts=part, idempotency_key="november")
                ]
                assert all(result.receipt for result in results), results
                ids.append({result.address: result.receipt.id for result in results if result.receipt})
            assert ids[0].items() <= ids[1].items()
            assert sum(result.receipt.repeated for result in results if result.receipt) == 25
            with pytest.raises(Refused, match=r"Template welcome.*fullname") as caught:
                await relay.send(to="ann@example.net", template="welcome")
            assert (caught.value.code, caught.value.enhanced) == (550, "5.6.0")
        await daemon.settled(delivered=41)
        assert len(smarthost.messages) == 41

"""Which smarthosts can be reached, as the latest connections tell."""

from __future__ import annotations

import asyncio

import pytest

from smtprelay import metrics
from smtprelay.outcome import Phase
from smtprelay.sandbox.smarthost import Rule, Smarthost
from smtprelay.upstream.lane import lanes
from smtprelay.upstream.reach import Way
from tests.upstream.support import ACCOUNT, USER, code, relay_to, settings


@pytest.fixture(autouse=True)
def _nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests have counted so many smarthosts that another one is `metrics.OTHER`."""
    for figure in (metrics.SMARTHOST_UP, metrics.SMARTHOSTS):
        monkeypatch.setattr(figure, "values", {})


async def test_a_smarthost_that_does_not_listen_and_then_does() -> None:
    host = Smarthost(credentials=ACCOUNT)
    async with host:
        port = host.port
    place = f"127.0.0.1:{port}"
    async with relay_to(port) as relay:
        reach = relay.upstream.reach
        assert not relay.upstream.cut_off()  # nobody has tried
        await relay.send_one()
        [outage] = reach.outages.values()
        assert outage.way == Way(place, "none")
        assert outage.fact.phase is Phase.CONNECT
        assert "Connection refused" in str(outage.fact)
        assert relay.upstream.cut_off() == {USER: [Way(place, "none")]}
        assert metrics.SMARTHOST_UP.values[place,] == 0
        await host.start(port=port)
        try:
            assert code(await relay.probe()) == 235
        finally:
            assert not reach.outages
            assert relay.upstream.open_connections == {"busy": 0, "idle": 1}
            await relay.upstream.close()
            await host.stop()
    assert metrics.SMARTHOST_UP.values[place,] == 1
    assert metrics.SMARTHOSTS.values[place, "connect"] == 1
    assert metrics.SMARTHOSTS.values[place, "ok"] == 1


async def test_a_connection_too_many_is_no_outage_while_others_work() -> None:
    """Smarthosts answer 421 to those beyond their limit."""
    async with Smarthost(credentials=ACCOUNT) as host, relay_to(host) as relay:
        await relay.send_one()
        host.rules.append(Rule("GREETING", "421 4.7.0 Too many connections"))
        way = Way(f"127.0.0.1:{host.port}", "none")
        relay.upstream.reach.failed(way, (await relay.probe()))
        assert relay.upstream.reach.outages
        assert code(await relay.send_one()) == 250  # over the connection that is there
        assert not relay.upstream.reach.outages


@pytest.mark.parametrize("under_way", [False, True])
async def test_a_smarthost_that_a_reload_has_replaced_has_no_figure(under_way: bool) -> None:
    """The fault: it stayed at 1 beside the new one's. A connection to it that was under way does not bring it back."""
    async with Smarthost(credentials=ACCOUNT) as old, Smarthost(credentials=ACCOUNT) as new, relay_to(old) as relay:
        sending = asyncio.create_task(relay.send_one())
        async with asyncio.timeout(10):
            while not old.connections:
                await asyncio.sleep(0)
        if not under_way:
            await sending
            assert metrics.SMARTHOST_UP.values == {(f"127.0.0.1:{old.port}",): 1}
        chosen = settings(new.port)
        relay.upstream.use(chosen, hostname="relay.example.com", lanes=lanes(chosen, ACCOUNT))
        assert metrics.SMARTHOST_UP.values == {}
        assert code(await sending) == 250
        assert code(await relay.send_one()) == 250
        assert metrics.SMARTHOST_UP.values == {(f"127.0.0.1:{new.port}",): 1}


async def test_a_refused_log_in_has_reached_the_smarthost() -> None:
    async with Smarthost(Rule("CREDENTIALS", "535 5.7.8 No"), credentials=ACCOUNT) as host, relay_to(host) as relay:
        assert code(await relay.send_one()) == 535
        assert not relay.upstream.reach.outages
        host.rules[:] = [Rule("CREDENTIALS", "454 4.7.0 Temporary authentication failure")]
        assert code(await relay.send_one()) == 454
        assert relay.upstream.cut_off()

"""What can be asked of a running daemon."""

from __future__ import annotations

from pathlib import Path

from smtprelay.message import Origin
from smtprelay.spool import State
from tests.spool.support import message, states
from tests.web.backstage import behind


async def test_a_client_is_suspended_however_its_address_is_written(tmp_path: Path) -> None:
    """The fault: it was said to be suspended, and went on sending."""
    async with behind(tmp_path) as relay:
        waiting = message(origin=Origin("2001:db8::1"))
        await relay.spool.put([waiting])
        assert await relay.operator.suspend("2001:DB8:0:0::1") == 1
        assert await states(relay.spool, waiting.id) == [State.HELD]
        assert relay.limits.suspended == {"2001:db8::1"}
        assert await relay.operator.resume("2001:0db8::1") == 1
        assert not relay.limits.suspended

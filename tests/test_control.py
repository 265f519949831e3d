"""What can be asked of a running daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtprelay.control import BadRequest
from smtprelay.control_values import Done
from smtprelay.message import Origin
from smtprelay.spool import Selector, State
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


async def test_who_is_not_known_cannot_be_resumed_unless_he_is_suspended_still(tmp_path: Path) -> None:
    """The fault: who misspelt a name was told that it may send again, and the account that was meant could not."""
    async with behind(tmp_path) as relay:
        with pytest.raises(BadRequest, match="nobody is no account"):
            await relay.operator.resume("nobody")
        relay.limits.suspended.add("gone")  # its account was taken out of the configuration
        assert await relay.operator.resume("gone") == 0
        assert not relay.limits.suspended


async def test_what_could_not_be_done_to_a_message_that_was_named_is_told(tmp_path: Path) -> None:
    """The fault: "0 recipients held", as if that were well, of a message that nobody knows or that has been delivered.

    What can be done to the others is done: after a backup is restored, ids come from a log that knows more messages.
    """
    unknown = "no message nosuch is known; its history may have been pruned"
    async with behind(tmp_path) as relay:
        waiting = message()
        await relay.spool.put([waiting])
        named = Selector((waiting.id,))
        assert await relay.operator.act("release", named, "") == Done(
            0, (f"{waiting.id} is queued: nothing in it is held",)
        )
        assert await relay.operator.act("hold", Selector((waiting.id,), to="nobody@example.net"), "") == Done(
            0, (f"{waiting.id} is queued: nothing in it that is meant waits",)
        )
        assert await relay.operator.act("release", Selector(), "") == Done(0)
        assert await relay.operator.act("cancel", Selector(("nosuch", waiting.id)), "") == Done(1, (unknown,))
        assert await relay.operator.act("cancel", named, "") == Done(
            0, (f"{waiting.id} is cancelled: nothing in it waits or is held",)
        )
        assert await relay.operator.act("retry", Selector(("nosuch", "\udcff")), "") == Done(
            0, (unknown, unknown.replace("nosuch", "\udcff"))
        )

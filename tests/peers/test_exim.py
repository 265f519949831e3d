"""What Exim does with many messages on one connection, as smtprelay sends them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from smtprelay.sandbox.apps import Endpoint, plain_mail
from tests.debian import ROOT_USER, needs
from tests.peers.exim import Exim
from tests.peers.smarthosts import maildir
from tests.process.relay import ACCOUNT, PATIENCE, make_relay

pytestmark = [pytest.mark.slow, needs("exim4"), needs(ROOT_USER)]

EXIMS_DEFAULT = "10"  # of smtp_accept_queue_per_connection


@pytest.mark.parametrize(("messages_per_connection", "waiting"), [(500, 2), (10, 0)])
async def test_what_exim_delivers_at_once(tmp_path: Path, messages_per_connection: int, waiting: int) -> None:
    """After so many messages it accepts more, and leaves them to the next run of its queue."""
    async with Exim({"QUEUE_AFTER": EXIMS_DEFAULT}) as server:
        upstream = f"connections = 1\nmessages_per_connection = {messages_per_connection}"
        relay = make_relay(tmp_path, server.port, upstream=upstream, timeout="30s")
        await relay.start()
        try:
            for number in range(12):
                app = Endpoint("127.0.0.1", relay.port)
                await asyncio.to_thread(plain_mail, app, f"{number}@example.org", ACCOUNT)
            await relay.logged("attempt", status="delivered", count=12)
        finally:
            await relay.stop()
        async with asyncio.timeout(PATIENCE):
            while len(maildir(server)) < 12 - waiting or int(await server.exim("-bpc")) > waiting:
                await asyncio.sleep(0.05)
        assert int(await server.exim("-bpc")) == waiting
        await server.exim("-q")
        assert len(maildir(server)) == 12

"""The daemon under a stand-in for systemd: notify, watchdog, passed sockets, credentials."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from smtprelay.sandbox.smarthost import Smarthost
from tests.process.relay import PLATFORM, Relay, make_relay
from tests.process.test_outcomes import send
from tests.systemd.manager import listening, managed, port_of

pytestmark = pytest.mark.slow

WATCHDOG = 1.0  # seconds

# Looks at the queue, and tells of it, more often.
HASTY = """
from smtprelay import pulse, service
from smtprelay.__main__ import main
pulse.INTERVAL = service.STATUS_EVERY = 0.1
main()
"""
# Stands still at one place for as long as there is a file of this name.
STALLING = """
import os, time
import smtprelay.gateway.session, smtprelay.spool.sqlite.spool, smtprelay.spool.sqlite.writer
from smtprelay.__main__ import main

def stalling(owner, name):
    original = getattr(owner, name)
    def patched(*arguments, **named):
        while os.path.exists("stalled"):
            time.sleep(0.01)
        return original(*arguments, **named)
    setattr(owner, name, patched)

stalling({place})
main()
"""
PLACES = {
    "the event loop": 'smtprelay.gateway.session.Session, "connection_made"',
    "the spool's writer": 'smtprelay.spool.sqlite.writer.Writer, "_commit"',
    "the start": 'smtprelay.spool.sqlite.spool, "open_for_writing"',
}


def stalling(relay: Relay, place: str) -> Path:
    """Make it stall there. :returns: the file that does it."""
    relay.entry = [sys.executable, "-c", STALLING.format(place=PLACES[place])]
    return relay.folder / "stalled"


def listen_on(relay: Relay, names: str) -> None:
    config = relay.folder / "config.toml"
    config.write_text(config.read_text().replace('listen = ["127.0.0.1:0"]', f"listen = [{names}]", 1))


async def greeting(port: int, host: str = "127.0.0.1") -> str:
    """What a client hears first."""
    reader, writer = await asyncio.open_connection(host, port)
    line = await reader.readline()
    with suppress(ConnectionError):  # after 421 nobody reads the QUIT
        writer.write(b"QUIT\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
    return line.decode()


@pytest.mark.parametrize("abstract", [False, True], ids=["a path", "abstract"])
async def test_the_manager_is_told_of_start_and_stop(tmp_path: Path, abstract: bool) -> None:
    relay = make_relay(tmp_path, 1)
    async with managed(relay, abstract=abstract) as manager:
        await relay.start()
        place = await manager.hears("READY", "1")
        assert manager.said[place] == ("STATUS", f"Listening on 127.0.0.1:{relay.port}")
        assert await relay.stop() == 0
        await manager.hears("STOPPING", "1", start=place)
        assert "WATCHDOG" not in dict(manager.said)  # which it did not ask for


async def test_the_manager_is_told_how_much_waits(tmp_path: Path) -> None:
    """`systemctl status` told nothing of it, in trouble least of all; nor where much was wrong with a configuration."""
    relay = make_relay(tmp_path, 1)
    relay.entry = [sys.executable, "-c", HASTY]
    async with managed(relay) as manager:
        await relay.start()
        await send(relay, "b@example.org")
        await manager.hears("STATUS", "recipients: 1 queued)")
        config = relay.folder / "config.toml"
        config.write_text("".join(f"nonsense{n} = 1\n" for n in range(200)) + config.read_text())
        relay.signal(signal.SIGHUP)
        place = await manager.hears("STATUS", "The new configuration is refused")
        assert manager.said[place - 1][1].endswith("recipients: 1 queued)")


async def test_a_start_that_takes_long_asks_for_time_and_says_why(tmp_path: Path) -> None:
    """A large spool is brought up to date: without it systemd would kill this again and again."""
    relay = make_relay(tmp_path, 1)
    stalled = stalling(relay, "the start")
    stalled.touch()
    async with managed(relay) as manager:
        await relay.launch()
        place = await manager.hears("EXTEND_TIMEOUT_USEC", "60000000")
        assert "Opening the spool" in manager.said[place][1]
        assert "READY" not in dict(manager.said)
        stalled.unlink()
        await manager.hears("READY")


@pytest.mark.parametrize("place", ["the event loop", "the spool's writer"])
async def test_what_stands_still_is_ended_by_the_watchdog_and_starts_again(tmp_path: Path, place: str) -> None:
    """No process is gone and no error is logged: nothing else would see it. Whoever connects meanwhile only waits."""
    with ExitStack() as stack:
        [sock] = [stack.enter_context(sock) for sock in listening(("127.0.0.1", 0))]
        async with Smarthost(credentials=PLATFORM) as smarthost:
            relay = make_relay(tmp_path, smarthost.port)
            listen_on(relay, '"fd:smtp"')
            stalled = stalling(relay, place)
            async with managed(relay, watchdog=WATCHDOG, sockets={"smtp": [sock]}) as manager:
                await relay.start()
                await manager.hears("WATCHDOG", "1", count=3)
                stalled.touch()
                sending = asyncio.create_task(send(relay, "b@example.org"))  # it is in its hands: nothing was said yet
                await manager.misses_the_watchdog(WATCHDOG)
                assert await manager.aborts() == -signal.SIGABRT
                with pytest.raises(OSError):
                    await sending
                stacks = "".join(line.get("text", "") for line in relay.log)
                assert "Fatal Python error: Aborted" in stacks
                assert "in patched\n" in stacks  # and where it stood
                stalled.unlink()
                waiting = asyncio.create_task(greeting(port_of(sock)))
                await relay.start()
                assert (await waiting).startswith("220 ")
                await send(relay, "c@example.org")
                await smarthost.wait_for(1)


async def test_passed_sockets_are_found_by_name_and_by_both_families(tmp_path: Path) -> None:
    """One name covers a unit with several sockets. On one for both families IPv4 is IPv4 for networks and books."""
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with ExitStack() as stack:
        smtp = [stack.enter_context(sock) for sock in (both, *listening(("127.0.0.1", 0), ("::1", 0)))]
        [submission] = [stack.enter_context(sock) for sock in listening(("127.0.0.1", 0))]
        async with Smarthost(credentials=PLATFORM) as smarthost:
            relay = make_relay(tmp_path, smarthost.port)
            listen_on(relay, '"fd:submission", "fd:smtp"')
            async with managed(relay, sockets={"smtp": smtp, "submission": [submission]}) as manager:
                ready = await relay.start()
                assert len(ready["listen"]) == 4
                for sock, host in (*zip(smtp, ("::1", "127.0.0.1", "::1"), strict=True), (submission, "127.0.0.1")):
                    assert (await greeting(port_of(sock), host)).startswith("220 ")
                relay.port = port_of(both)
                message_id = await send(relay, "b@example.org")
                [shown] = await relay.json("queue", "list")
                assert (shown["id"], shown["client"]) == (message_id, "127.0.0.1")
                await manager.hears("READY")
                assert not [line for line in relay.log if line.get("level") == "error"]


async def test_a_passed_socket_that_nobody_answers_on_is_told(tmp_path: Path) -> None:
    """Its clients would wait for ever: the kernel takes their connections."""
    with ExitStack() as stack:
        [smtp, extra] = [stack.enter_context(s) for s in listening(("127.0.0.1", 0), ("127.0.0.1", 0))]
        relay = make_relay(tmp_path, 1)
        listen_on(relay, '"fd:smtp"')
        async with managed(relay, sockets={"smtp": [smtp], "submissions": [extra]}):
            await relay.start()
            line = await relay.logged("nobody answers on a socket of the service manager", socket="submissions")
    assert '"fd:submissions"' in line["remedy"]


async def test_a_passed_socket_that_cannot_be_listened_on_ends_with_78_and_words(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        relay = make_relay(tmp_path, 1)
        listen_on(relay, '"fd:smtp"')
        async with managed(relay, sockets={"smtp": [datagrams]}):
            await relay.launch()
            assert await relay.ended() == 78
    assert any("ListenStream=" in line.get("text", "") for line in relay.log)


async def test_a_number_of_passed_sockets_that_is_none_ends_with_78_and_words(tmp_path: Path) -> None:
    """Another supervisor's, or a script's: it was a traceback, and a status that systemd starts again for ever."""
    with ExitStack() as stack:
        socks = [stack.enter_context(sock) for sock in listening(("127.0.0.1", 0))]
        relay = make_relay(tmp_path, 1)
        async with managed(relay, sockets={"smtp": socks}):
            relay.environment = {**relay.environment, "LISTEN_FDS": "one"}
            await relay.launch()
            assert await relay.ended() == 78
    words = [line.get("text", "") for line in relay.log]
    assert any("$LISTEN_FDS is 'one'" in line for line in words)
    assert not any("Traceback" in line for line in words)


async def test_no_connection_is_refused_while_the_service_restarts(tmp_path: Path) -> None:
    """The socket is the manager's: the kernel keeps who comes between two processes."""
    with ExitStack() as stack:
        [sock] = [stack.enter_context(sock) for sock in listening(("127.0.0.1", 0))]
        relay = make_relay(tmp_path, 1)
        listen_on(relay, '"fd:smtp"')
        async with managed(relay, sockets={"smtp": [sock]}):
            await relay.start()
            done = asyncio.Event()

            async def connect() -> list[str]:
                heard = []
                while not done.is_set():
                    heard.append(await greeting(port_of(sock)))
                return heard

            clients = [asyncio.create_task(connect()) for _ in range(4)]
            for _ in range(2):
                assert await relay.stop() == 0
                await relay.start()
            done.set()
            heard = [line for lines in await asyncio.gather(*clients) for line in lines]
    assert len(heard) > 4
    # None is refused, none is left without a reply; one that the old process had just taken hears 421, and comes again.
    assert {line[:4] for line in heard} <= {"220 ", "421 "}
    assert sum(line.startswith("421 ") for line in heard) <= 2 * len(clients)


async def test_a_password_comes_from_a_credential(tmp_path: Path) -> None:
    """Mode 0400 in a folder of the service: the log-in at the smarthost succeeds with it."""
    login = 'username = "news@example.com"\npassword_credential = "platform"'
    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay = make_relay(tmp_path, smarthost.port, login=login)
        (tmp_path / "platform.password").unlink()
        async with managed(relay, credentials={"platform": "platform-secret\n"}):
            await relay.start()
            await send(relay, "b@example.org")
            await smarthost.wait_for(1)
    assert smarthost.messages[0].username == "news@example.com"

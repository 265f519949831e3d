"""`Relay`: the same for callers without an event loop. The relay that they send to runs in a thread of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from smtprelay import InvalidMessage, Refused, Relay
from smtprelay.sandbox.smarthost import SILENCE, Rule, Smarthost
from tests.client.support import ID, QUEUED, SHOP, url

PATIENCE = 10.0  # seconds


@contextmanager
def serving(*rules: Rule) -> Iterator[Smarthost]:
    host = Smarthost(*rules)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(host.start(), loop).result(PATIENCE)
    try:
        yield host
    finally:
        asyncio.run_coroutine_threadsafe(host.stop(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


@pytest.fixture
def host() -> Iterator[Smarthost]:
    with serving(QUEUED) as host:
        yield host


@pytest.fixture
def relay(host: Smarthost) -> Iterator[Relay]:
    with Relay(url(host), from_=SHOP) as relay:
        yield relay


def test_send(host: Smarthost, relay: Relay) -> None:
    assert relay.send(to="ann@example.net", text="hello").id == ID
    assert relay.send_message(b"From: shop@example.com\nTo: bob@example.net\n\nhello\n").id == ID
    assert [list(received.recipients) for received in host.messages] == [["ann@example.net"], ["bob@example.net"]]
    assert host.connections == 1


def test_errors() -> None:
    with serving(Rule("MAIL", "550 5.7.1 Never")) as host, Relay(url(host), from_=SHOP) as relay:
        with pytest.raises(Refused, match="Never"):
            relay.send(to="ann@example.net", text="hello")
        with pytest.raises(InvalidMessage):
            relay.send(to="ann@example.net", subject="a\r\nb")


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_send_many(host: Smarthost, relay: Relay, count: int) -> None:
    addresses = [f"user{i}@example.net" for i in range(count)]
    results = list(relay.send_many(contacts=iter(addresses), text="hello"))
    assert [result.address for result in results] == addresses
    assert all(result.receipt for result in results)
    assert len(host.messages) == count


def test_contacts_are_taken_in_the_thread_that_gives_them(relay: Relay) -> None:
    threads = set()

    def contacts() -> Iterator[str]:
        for i in range(50):
            threads.add(threading.get_ident())
            yield f"user{i}@example.net"

    assert all(result.receipt for result in relay.send_many(contacts=contacts(), text="hello"))
    assert threads == {threading.get_ident()}


def test_contacts_that_break_off(relay: Relay) -> None:
    def contacts() -> Iterator[str]:
        yield from ["ann@example.net", "bob@example.net"]
        raise OSError("the file is gone")

    results = relay.send_many(contacts=contacts(), text="hello")
    assert next(results).receipt
    assert next(results).receipt
    with pytest.raises(OSError, match="the file is gone"):
        next(results)


def test_many_that_nobody_reads_to_the_end(host: Smarthost, relay: Relay) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield f"user{taken}@example.net"

    results = relay.send_many(contacts=endless(), text="hello")
    assert next(results).receipt
    results.close()
    assert taken <= 24
    assert relay.send(to="ann@example.net", text="hello").id == ID


def test_threads_share_a_relay(host: Smarthost, relay: Relay) -> None:
    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(lambda i: relay.send(to=f"user{i}@example.net", text="hello"), range(80)))
    assert len(receipts) == len(host.messages) == 80
    assert host.connections <= 4


def test_relays_share_a_thread(host: Smarthost) -> None:
    with Relay(url(host), from_=SHOP) as one, Relay(url(host), from_=SHOP) as other:
        one.send(to="ann@example.net", text="hello")
        other.send(to="ann@example.net", text="hello")
    assert [thread.name for thread in threading.enumerate()].count("smtprelay") == 1


async def test_within_a_callers_loop(host: Smarthost, relay: Relay) -> None:
    loop = asyncio.get_running_loop()
    assert relay.send(to="ann@example.net", text="hello").id == ID
    assert asyncio.get_running_loop() is loop


# Each process has connections of its own, and those of the parent still work after the child has ended: with os._exit,
# as workers of multiprocessing and gunicorn do, or through all finalizers.
FORK = """\
import gc, os, sys
from smtprelay import Relay
relay = Relay(sys.argv[1], from_="shop@example.com", timeout=5.0)
relay.send(to="parent@example.net", text="hello")
for number in range(3):
    child = os.fork()
    if not child:
        relay.send(to=f"child{number}@example.net", text="hello")
        assert len(list(relay.send_many(contacts=["many@example.net"] * 10, text="hello"))) == 10
        gc.collect()  # were the parent's connections collected here, they would be closed there
        if number == 1:
            os._exit(0)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    relay.send(to="parent@example.net", text="hello")
"""


def script(source: str, *arguments: str) -> None:
    command = [sys.executable, "-W", "error", "-c", source, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_fork(host: Smarthost) -> None:
    script(FORK, url(host))
    sent = [next(iter(received.recipients)) for received in host.messages]
    assert sent.count("parent@example.net") == 4
    assert [sent.count(f"child{number}@example.net") for number in range(3)] == [1, 1, 1]
    assert host.connections >= 4  # the parent keeps its own, and each child has others


def test_a_fork_while_another_thread_sends() -> None:
    """The lock, the loop and the connections of the other thread must not be waited for in the child."""
    source = """\
import os, sys, threading
from smtprelay import Relay
relay = Relay(sys.argv[1], from_="shop@example.com")
ended = threading.Event()
def work():
    while not ended.is_set():
        relay.send(to="thread@example.net", text="hello")
thread = threading.Thread(target=work)
thread.start()
for _ in range(20):
    child = os.fork()
    if not child:
        relay.send(to="child@example.net", text="hello")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
ended.set()
thread.join()
"""
    with serving(QUEUED) as host:
        script(source, url(host))
        assert sum("child@example.net" in received.recipients for received in host.messages) == 20


def test_ctrl_c_is_heard_while_waiting() -> None:
    source = """\
import signal, sys
from smtprelay import Relay
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    Relay(sys.argv[1], from_="shop@example.com").send(to="ann@example.net", text="hello")
except KeyboardInterrupt:
    sys.exit()
sys.exit(1)
"""
    with serving(Rule("DATA", SILENCE)) as host:
        script(source, url(host))


def test_an_unused_relay_starts_nothing() -> None:
    script("import threading, smtprelay; smtprelay.Relay('smtp://127.0.0.1'); assert threading.active_count() == 1")


def test_the_daemon_does_not_pay_for_it() -> None:
    script(
        "import sys, smtprelay; assert not [name for name in sys.modules if name.startswith('smtprelay.')]\n"
        "import smtprelay.daemon; assert not {'smtprelay.client', 'smtprelay.contacts', 'jinja2'} & sys.modules.keys()"
    )


def test_every_name_is_there() -> None:
    import smtprelay

    assert all(getattr(smtprelay, name) for name in smtprelay.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        smtprelay.Nothing  # noqa: B018

"""The lines that a service manager is sent, and when."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtprelay import service


class Notified:
    """A notification socket, and what came to it."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    def messages(self) -> list[str]:
        """Those since the last time."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notified]:
    manager = Notified(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield manager
    manager.close()


async def answer() -> None:
    """What does not hang."""


def test_a_reload_is_bracketed_and_dated_by_the_monotonic_clock(notified: Notified) -> None:
    """systemd compares the time with that of its own request (sd_notify(3))."""
    before = time.monotonic_ns() // 1000
    service.reloading("Reading the configuration")
    service.ready("Listening")
    started, ended = notified.messages()
    first, second, third = started.split("\n")
    assert (first, third) == ("RELOADING=1", "STATUS=Reading the configuration")
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert ended == "READY=1\nSTATUS=Listening"


def test_a_status_is_one_line_and_no_other_field(notified: Notified) -> None:
    """A smarthost's words stand in it: they must not say that we are stopping."""
    service.ready("refused: 535 no\r\nSTOPPING=1")
    assert notified.messages() == ["READY=1\nSTATUS=refused: 535 no STOPPING=1"]


@pytest.mark.parametrize("status", ["x" * 100_000, "邮" * 100_000, "\udcff" * 100_000])
def test_a_status_of_any_length_does_not_take_the_message_with_it(notified: Notified, status: str) -> None:
    """systemd reads 4096 octets and ignores what is longer: after a reload that is refused for many reasons, the unit
    would stay "reloading"."""
    service.reloading(status)
    service.ready(status)
    begun, ended = notified.messages()
    for message in (begun, ended):
        assert len(message.encode()) < 4096  # NOTIFY_BUFFER_MAX
        assert message.endswith(" …")


def test_a_manager_that_is_gone_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    service.stopping()
    monkeypatch.delenv("NOTIFY_SOCKET")
    service.stopping()


def test_a_manager_that_does_not_read_does_not_hold_up_the_loop(notified: Notified) -> None:
    began = time.monotonic()
    for _ in range(20):  # its queue is full after some (net.unix.max_dgram_qlen)
        service.ready("x" * 100_000)
    assert time.monotonic() - began < 20 * 0.05
    assert 0 < len(notified.messages()) < 20


@pytest.mark.parametrize(
    ("limit", "pid", "seconds"),
    [
        ("3000000", "ours", 3.0),
        ("3000000", "", 3.0),
        ("3000000", "1", 0.0),  # of the process that started us
        ("", "", 0.0),
        ("0", "", 0.0),
        ("soon", "", 0.0),
    ],
)
def test_the_watchdogs_time(monkeypatch: pytest.MonkeyPatch, limit: str, pid: str, seconds: float) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", limit)
    monkeypatch.setenv("WATCHDOG_PID", pid.replace("ours", str(os.getpid())))
    assert service.watchdog_seconds() == seconds


async def test_a_status_is_told_when_it_changes(notified: Notified, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STATUS_EVERY", 0.0)
    lines = iter(["one", "one", "two", "two"])
    with pytest.raises(RuntimeError, match="StopIteration"):
        await service.report(lambda: next(lines), answer)
    assert notified.messages() == ["STATUS=one", "STATUS=two"]


async def test_a_sign_of_life_follows_the_answer(notified: Notified, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no answer there is no sign, however busy the loop is otherwise."""
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def alive() -> None:
        asked.set()
        await may_answer.wait()

    reporting = asyncio.create_task(service.report(lambda: "", alive))
    await asked.wait()
    assert "WATCHDOG=1" not in notified.messages()
    may_answer.set()
    seen: list[str] = []
    while seen.count("WATCHDOG=1") < 3:
        await asyncio.sleep(0.001)
        seen += notified.messages()
    reporting.cancel()


async def test_more_time_is_asked_for_again_and_again_until_it_is_done(notified: Notified) -> None:
    async with service.takes_long("Opening the spool", every=0.001):
        seen: list[str] = []
        while len(seen) < 3:
            await asyncio.sleep(0.001)
            seen += notified.messages()
    assert set(seen) == {"EXTEND_TIMEOUT_USEC=60000000\nSTATUS=Opening the spool"}
    notified.messages()
    await asyncio.sleep(0.01)
    assert notified.messages() == []


def test_sockets_for_another_process_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "smtp")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert service.passed_names() == []
    assert service.passed_sockets("smtp") == []


@pytest.mark.parametrize("count", ["two", "-1", "", "²"])
def test_a_number_of_sockets_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    """It was a traceback; and -1 left out the last."""
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_FDNAMES", "smtp:submission")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with pytest.raises(service.ServiceError, match=r"LISTEN_FDS is '.*', not the number"):
        service.passed_sockets("smtp")

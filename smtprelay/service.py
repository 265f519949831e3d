"""The service manager's protocols, which are systemd's: sd_notify(3), its watchdog, and passed sockets
(sd_listen_fds_with_names(3)). Where no manager runs us, nobody is told and nothing is passed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

STATUS_EVERY = 10.0  # seconds between two looks at what there is to say
_MORE_TIME = 60.0  # seconds that are asked for at a time, where something takes long
_MAX_LINE = 2000  # octets of a status: systemd drops a notification of more than 4096, and a READY=1 with it
_SEND = 0.02  # seconds that a manager may take for a line: it must not hold up the loop
_FIRST_PASSED = 3  # SD_LISTEN_FDS_START


class ServiceError(Exception):
    """What the service manager says cannot be understood; the text says what."""


def ready(status: str) -> None:
    """It has started, or has reloaded its configuration."""
    _notify("READY=1", f"STATUS={_line(status)}")


def reloading(status: str) -> None:
    """It reloads its configuration; `ready` is what ends that, whatever comes of it."""
    _notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", f"STATUS={_line(status)}")


def stopping() -> None:
    """It begins to stop."""
    _notify("STOPPING=1", "STATUS=Stopping")


@asynccontextmanager
async def takes_long(what: str, every: float = _MORE_TIME / 4) -> AsyncIterator[None]:
    """Have the start's (or the stop's) time limit wait, as long as the event loop runs.

    :param what: is being done, for the operator.
    :param every: seconds after which more time is asked for.
    """

    async def ask() -> None:
        while True:
            _notify(f"EXTEND_TIMEOUT_USEC={_microseconds(_MORE_TIME)}", f"STATUS={_line(what)}")
            await asyncio.sleep(every)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()


async def report(status: Callable[[], str], alive: Callable[[], Awaitable[None]]) -> None:
    """Tell the manager how things stand whenever that changes, and that we live, twice within its watchdog's time.

    :param status: a line for the operator.
    :param alive: returns when whatever must not hang has answered; the loop itself is seen by this running at all.
    """
    limit = watchdog_seconds()
    pause = min(STATUS_EVERY, limit / 2) if limit else STATUS_EVERY
    told = ""
    while True:
        if limit:
            await alive()
            _notify("WATCHDOG=1")
        if (line := _line(status())) != told:
            _notify(f"STATUS={line}")
            told = line
        await asyncio.sleep(pause)


def watchdog_seconds() -> float:
    """After how many seconds without a sign of life the manager ends us (sd_watchdog_enabled(3)); 0: it does not."""
    limit, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    ours = pid in ("", str(os.getpid()))
    return int(limit) / 1_000_000 if ours and limit.isascii() and limit.isdecimal() else 0.0


def passed_names() -> list[str]:
    """The FileDescriptorName= of each socket that the manager passed, in their order.

    :raises ServiceError: how many there are is no number.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []  # they were for the process that started us
    count = os.environ.get("LISTEN_FDS", "0")
    if not (count.isascii() and count.isdecimal()):
        raise ServiceError(f"$LISTEN_FDS is {count!r}, not the number of passed sockets (sd_listen_fds(3))")
    return os.environ.get("LISTEN_FDNAMES", "").split(":")[: int(count)]


def passed_sockets(name: str) -> list[socket.socket]:
    """Those of this name, as copies: they can be closed, and asked for again. :raises ServiceError: see above."""
    numbers = [_FIRST_PASSED + i for i, passed in enumerate(passed_names()) if passed == name]
    for number in numbers:
        os.set_inheritable(number, False)
    return [socket.socket(fileno=os.dup(number)) for number in numbers]


def _notify(*lines: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, suppress(OSError):
        sock.settimeout(_SEND)
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall("\n".join(lines).encode())


def _line(text: str) -> str:
    """A line is a field: what came from elsewhere must not make another one, nor one too long to be read."""
    octets = " ".join(text.split()).encode(errors="replace")
    return octets.decode() if len(octets) <= _MAX_LINE else octets[:_MAX_LINE].decode(errors="ignore") + " …"


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)

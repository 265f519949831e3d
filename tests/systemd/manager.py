"""A stand-in for systemd's side of its protocols with a service: the sockets and the environment are real."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.process.relay import PATIENCE, Relay

# What systemd does between fork and exec: the descriptors begin at 3, and the pid is known.
_EXECUTE = """
import fcntl, os, sys
passed = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1].split(",") if number]
for place, number in enumerate(passed, 3):
    os.dup2(number, place, inheritable=True)
    os.close(number)
os.environ["LISTEN_PID"] = os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid of unix(7)


class Manager:
    """Hears what the daemon says on its notification socket.

    :param address: as in $NOTIFY_SOCKET.
    :ivar said: what the main process has said, field by field; what others say does not count (NotifyAccess=main).
    """

    def __init__(self, relay: Relay, address: str) -> None:
        self.said: list[tuple[str, str]] = []
        self._relay = relay
        self._heard = asyncio.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(address.replace("@", "\0", 1))
        asyncio.get_running_loop().add_reader(self._socket, self._hear)

    def _hear(self) -> None:
        data, [(_, _, sender)], _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        assert self._relay.process
        if _CREDENTIALS.unpack(sender)[0] == self._relay.process.pid:
            for line in data.decode().split("\n"):
                field, equals, value = line.partition("=")
                assert equals, data
                self.said.append((field, value))
            self._heard.set()

    async def hears(self, field: str, value: str = "", *, start: int = 0, count: int = 1) -> int:
        """Wait for a field to be said so often from a place on. :returns: the place after it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._heard.clear()
                places = [i for i, said in enumerate(self.said) if i >= start and said[0] == field and value in said[1]]
                if len(places) >= count:
                    return places[count - 1] + 1
                await self._heard.wait()

    async def misses_the_watchdog(self, limit: float) -> None:
        """Wait for no sign of life to come in so many seconds."""
        async with asyncio.timeout(PATIENCE):
            while ("WATCHDOG", "1") in await self._said_in(limit):
                pass

    async def _said_in(self, seconds: float) -> list[tuple[str, str]]:
        start = len(self.said)
        await asyncio.sleep(seconds)
        return self.said[start:]

    async def aborts(self) -> int:
        """WatchdogSignal= and the end. :returns: the exit status."""
        return await self._relay.stop(signal.SIGABRT)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


@asynccontextmanager
async def managed(
    relay: Relay,
    *,
    abstract: bool = False,
    watchdog: float = 0.0,
    sockets: Mapping[str, list[socket.socket]] | None = None,
    credentials: Mapping[str, str] | None = None,
) -> AsyncIterator[Manager]:
    """Have the relay started as systemd starts a service of ``Type=notify``.

    :param abstract: the notification socket has no place in the file system, as in containers.
    :param watchdog: WatchdogSec=
    :param sockets: those of each FileDescriptorName=
    :param credentials: those of LoadCredential=
    """
    address = f"@smtprelay/{secrets.token_hex(8)}" if abstract else str(relay.folder / "notify")
    passed = [(name, sock) for name, socks in (sockets or {}).items() for sock in socks]
    numbers = [sock.fileno() for _, sock in passed]
    relay.environment = {"NOTIFY_SOCKET": address}
    if watchdog:
        relay.environment |= {"WATCHDOG_USEC": str(round(watchdog * 1_000_000))}
    if passed:
        names = ":".join(name for name, _ in passed)
        relay.environment |= {"LISTEN_FDS": str(len(passed)), "LISTEN_FDNAMES": names}
    if credentials:
        relay.environment |= {"CREDENTIALS_DIRECTORY": str(_credentials(relay.folder / "credentials", credentials))}
    relay.descriptors = numbers
    relay.wrapper = (sys.executable, "-c", _EXECUTE, ",".join(map(str, numbers)))
    manager = Manager(relay, address)
    try:
        yield manager
    finally:
        if relay.process:
            await relay.stop()
        manager.close()


def _credentials(folder: Path, credentials: Mapping[str, str]) -> Path:
    folder.mkdir(mode=0o700)
    for name, text in credentials.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o400)
    folder.chmod(0o500)
    return folder


def listening(*addresses: tuple[str, int]) -> list[socket.socket]:
    """Sockets as systemd opens them, on free ports."""
    return [
        socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        for address in addresses
    ]


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])

"""What is measured: smtprelay, Postfix, and Postfix with OpenDKIM, each in a folder of its own before the same sink."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import usage
from benchmarks.load import PASSWORD, SENDER
from benchmarks.sink import Seen
from smtprelay.accounts import hash_password
from smtprelay.config import DomainRules
from smtprelay.sandbox.nameserver import NameServer
from smtprelay.signing import generate_key
from tests.peers.postfix import Postfix
from tests.peers.program import reserve_port

PATIENCE = 120.0  # seconds
DOMAIN = SENDER.partition("@")[2]

# Everything that has a default has it.
RELAY = """\
[gateway]
listen = ["127.0.0.1:0"]
hostname = "relay.example.com"
[[gateway.accounts]]
username = "{sender}"
password_hash = "{password_hash}"
senders = ["*@{domain}"]
[spool]
url = "sqlite:///spool.db"
[upstream]
host = "127.0.0.1"
port = {sink}
[[upstream.credentials]]
username = "{sender}"
password_file = "password"
[domain_rules]
nameservers = ["{dns}"]
[[domains]]
name = "{domain}"
keys = [{{ selector = "relay1", file = "key.pem" }}]
[status]
control = "control.sock"
listen = "127.0.0.1:0"
[[status.accounts]]
username = "{sender}"
password_hash = "{password_hash}"
[log]
format = "json"
"""

SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/sasldb
mech_list: LOGIN
"""

OPENDKIM = """\
Mode s
Domain {domain}
Selector relay1
KeyFile {folder}/key.pem
Socket {socket}
UMask 0
Canonicalization relaxed/relaxed
RequireSafeKeys no
PidFile {folder}/opendkim.pid
"""


@dataclass(frozen=True)
class Peer:
    """A relay that runs.

    :param pids: of its processes; their children belong to it too.
    """

    name: str
    port: int
    pids: tuple[int, ...]

    def cpu(self) -> float:
        """Seconds of processor time so far, in all its processes."""
        return usage.cpu(usage.tree(*self.pids))

    def memory(self) -> float:
        """MiB, over all its processes; what they share counts once (PSS)."""
        return usage.proportional(usage.tree(*self.pids))

    def resident(self) -> float:
        """MiB, over all its processes; what they share counts in each (RSS)."""
        return sum(map(usage.resident, usage.tree(*self.pids)))

    def peak(self) -> float:
        """The most MiB (RSS) that each of its processes has had, summed up."""
        return sum(map(usage.peak, usage.tree(*self.pids)))

    async def alone(self) -> None:
        """Wait until its helpers have gone."""
        async with asyncio.timeout(PATIENCE):
            while usage.tree(*self.pids) > set(self.pids):
                await asyncio.sleep(1)

    def forget_peak(self) -> None:
        """Let `peak` count from now on."""
        for pid in usage.tree(*self.pids):
            usage.forget_peak(pid)


@asynccontextmanager
async def smtprelay(
    sink: int, dns: NameServer, folder: Path | None = None, *, module: str = "smtprelay"
) -> AsyncIterator[tuple[Peer, float]]:
    """The daemon, and the seconds that its start took.

    :param folder: with a spool; by default an empty one.
    :param module: what is run.
    """
    with TemporaryDirectory(prefix="smtprelay-") as empty:
        folder = folder or Path(empty)
        write_relay(folder, sink, dns.address)
        began = time.monotonic()
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, "run", "-c", "config.toml", cwd=folder, stdout=log, stderr=log
            )
        try:
            port = await _ready(folder / "log", process)
            yield Peer("smtprelay", port, (process.pid,)), time.monotonic() - began
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def name_server() -> NameServer:
    """DNS, in which the sender's domain is set up for the provider; its answers hold for a second."""
    rules = DomainRules()
    return NameServer(
        f'{DOMAIN}. IN TXT "v=spf1 include:{rules.spf_include} -all"',
        f"{DOMAIN}. IN MX 10 {rules.mx}.",
        f'{rules.spf_include}. IN TXT "v=spf1 ip4:192.0.2.0/24 -all"',
    )


def write_relay(folder: Path, sink: int, dns: str) -> None:
    """Its configuration, key and password."""
    (folder / "key.pem").write_bytes(generate_key("rsa", 2048))
    (folder / "password").write_text(PASSWORD)
    (folder / "config.toml").write_text(
        RELAY.format(sender=SENDER, domain=DOMAIN, sink=sink, dns=dns, password_hash=hash_password(PASSWORD))
    )


async def _ready(log: Path, process: asyncio.subprocess.Process) -> int:
    """Its port, as soon as it accepts."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for line in log.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n") and b'"ready"' in line:
                    return int(json.loads(line)["listen"][0].rpartition(":")[2])
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.01)


@asynccontextmanager
async def postfix(sink: int, **settings: str) -> AsyncIterator[Peer]:
    """Postfix as Debian configures it, with the sink as its smarthost and an account (Cyrus SASL)."""
    log_in = {"smtpd_sasl_auth_enable": "yes", "cyrus_sasl_config_path": "{folder}/sasl"}
    files = {"sasl/smtpd.conf": SASL}
    async with Postfix({"relayhost": f"[127.0.0.1]:{sink}", **log_in, **settings}, files) as server:
        user, _, realm = SENDER.partition("@")
        database = str(server.folder / "sasldb")
        await server.run("saslpasswd2", "-p", "-c", "-f", database, "-u", realm, user, stdin=PASSWORD.encode())
        shutil.chown(database, "postfix")
        yield Peer("Postfix", server.port, (server.pid,))


@asynccontextmanager
async def postfix_opendkim(sink: int, *, tcp: bool = False) -> AsyncIterator[Peer]:
    """The same with OpenDKIM, which signs with RSA-2048.

    :param tcp: they talk over TCP, as most instructions have it, not over a Unix socket, which is Debian's default.
    """
    with TemporaryDirectory(prefix="opendkim-") as folder, reserve_port() as port:
        (Path(folder) / "key.pem").write_bytes(generate_key("rsa", 2048))
        config = Path(folder) / "opendkim.conf"
        number = port.getsockname()[1]
        socket, milters = f"local:{folder}/socket", f"unix:{folder}/socket"
        if tcp:
            socket, milters = f"inet:{number}@127.0.0.1", f"inet:127.0.0.1:{number}"
        config.write_text(OPENDKIM.format(domain=DOMAIN, folder=folder, socket=socket))
        Path(folder).chmod(0o755)  # Postfix's own user comes to the socket
        milter = await asyncio.create_subprocess_exec("opendkim", "-f", "-x", str(config))
        try:
            settings = {"smtpd_milters": milters, "milter_default_action": "tempfail"}
            async with postfix(sink, **settings) as server:
                yield Peer(
                    f"Postfix + OpenDKIM, {'TCP' if tcp else 'Unix'} socket", server.port, (*server.pids, milter.pid)
                )
        finally:
            milter.kill()  # libmilter takes 5 s to see a SIGTERM
            await milter.wait()


class SinkProcess:
    """``benchmarks.sink`` in its process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[SinkProcess]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.sink", stdin=pipe, stdout=pipe)
        try:
            assert process.stdout
            yield cls(process, int(await process.stdout.readline()))
        finally:
            process.terminate()
            await process.wait()

    async def report(self, count: int) -> Seen:
        """What came, as soon as so many messages have come since the last report."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{count}\n".encode())
        async with asyncio.timeout(PATIENCE):
            fields: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return Seen(**fields)

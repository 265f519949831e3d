"""A Postfix of its own: configuration, queue and data in a folder of its own, on loopback, in the foreground."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

PROGRAMS = Path("/usr/lib/postfix/sbin")
MASTER = Path("/usr/share/postfix/master.cf.dist")
PATIENCE = 20.0  # seconds

# Nothing of the machine's own Postfix, nothing from the network, and no user's mailbox.
SETTINGS = {
    "compatibility_level": "3.6",
    "queue_directory": "{folder}/queue",
    "data_directory": "{folder}/data",
    "daemon_directory": str(PROGRAMS),
    "maillog_file_prefixes": "{folder}",
    "maillog_file": "{folder}/mail.log",
    "myhostname": "postfix.test",
    "mydestination": "",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "smtp_dns_support_level": "disabled",
    "smtp_host_lookup": "native",
    "smtpd_peername_lookup": "no",
}


def free_port() -> int:
    """A port on loopback that nobody uses, for a server that does not tell which one it got."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Postfix:
    """``async with Postfix({"relayhost": …}) as postfix:`` send to 127.0.0.1, postfix.port.

    To be started by root, as Postfix is. Its folder lies in /tmp: its own user must be able to walk there.

    :param settings: parameters of main.cf, beside or in place of `SETTINGS`; ``{folder}`` is replaced.
    :param files: name → content of further files of the folder.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-"))
        self._settings = {**SETTINGS, **(settings or {})}
        self._files = files or {}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        try:
            self._write()
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process:
            await self.run("postfix", "stop")
            await self._process.wait()
        shutil.rmtree(self.folder)

    @property
    def pid(self) -> int:
        """Of master(8), whose children do the work."""
        assert self._process
        return self._process.pid

    def log(self) -> str:
        """What it has said so far, at its start and since."""
        paths = [self.folder / "start.log", self.folder / "mail.log"]
        return "".join(path.read_text() for path in paths if path.exists())

    async def run(self, program: str, *arguments: str, stdin: bytes = b"") -> str:
        """One of Postfix's commands, on this instance. :returns: what it printed."""
        process = await asyncio.create_subprocess_exec(
            program,
            "-c",
            str(self.folder),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(stdin)
        assert process.returncode == 0, output.decode()
        return output.decode()

    def _write(self) -> None:
        self.folder.chmod(0o755)
        data = self.folder / "data"
        for folder in (data, self.folder / "queue"):
            folder.mkdir()
        os.chown(data, pwd.getpwnam("postfix").pw_uid, -1)
        for name, content in self._files.items():
            (self.folder / name).write_text(content.replace("{folder}", str(self.folder)))
        settings = {key: value.replace("{folder}", str(self.folder)) for key, value in self._settings.items()}
        (self.folder / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self.folder / "master.cf").write_text(_services(MASTER.read_text(), self.port))

    async def _start(self) -> None:
        with (self.folder / "start.log").open("w") as output:
            self._process = await asyncio.create_subprocess_exec(
                "postfix", "-c", str(self.folder), "start-fg",
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        async with asyncio.timeout(PATIENCE):
            while not await self._listens():
                assert self._process.returncode is None, f"Postfix ended: {self.log()}"
                await asyncio.sleep(0.05)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True


def _services(shipped: str, port: int) -> str:
    """master.cf as Debian ships it, without chroot, and listening on our port."""
    lines = []
    for line in shipped.splitlines():
        words = line.split()
        if line[:1].isalpha() and len(words) >= 8:
            words[4] = "n"
            if words[:2] == ["smtp", "inet"]:
                words[0] = f"127.0.0.1:{port}"
            line = " ".join(words)
        lines.append(line)
    return "\n".join(lines) + "\n"

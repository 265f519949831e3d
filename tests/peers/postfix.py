"""A Postfix of its own: configuration, queue and data in a folder of its own, on loopback, in the foreground."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.peers.program import Program

PROGRAMS = Path("/usr/lib/postfix/sbin")
MASTER = Path("/usr/share/postfix/master.cf.dist")

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


class Postfix(Program):
    """``async with Postfix({"relayhost": …}) as postfix:`` send to 127.0.0.1, postfix.port.

    :param settings: parameters of main.cf, beside or in place of `SETTINGS`; ``{folder}`` is replaced.
    :param files: see `Program`.
    """

    name = "postfix"

    def __init__(self, settings: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None) -> None:
        super().__init__(files)
        self._settings = {**SETTINGS, **(settings or {})}

    async def postfix(self, program: str, *arguments: str, stdin: bytes = b"") -> str:
        """One of Postfix's commands, on this instance. :returns: what it printed."""
        return await self.run(program, "-c", str(self.folder), *arguments, stdin=stdin)

    def _write(self) -> None:
        for name in ("data", "queue"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        settings = "".join(f"{key} = {value}\n" for key, value in self._settings.items())
        (self.folder / "main.cf").write_text(self._placed(settings))
        (self.folder / "master.cf").write_text(_services(MASTER.read_text(), self.port))

    def _command(self) -> list[str]:
        return ["postfix", "-c", str(self.folder), "start-fg"]

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        await self.postfix("postfix", "stop")
        await process.wait()


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

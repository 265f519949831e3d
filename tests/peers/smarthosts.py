"""Real servers as smarthosts: AUTH LOGIN over STARTTLS, and what they deliver can be read.

Each has a ``port``, and a ``folder`` with a maildir in it. It takes mail for everybody but nobody@…, and puts later@…
off while the folder has a file ``later`` (OpenSMTPD cannot). OpenSMTPD does without TLS and AUTH, see there.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import pwd
import re
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.debian import ROOT_USER, needs
from tests.peers.exim import Exim
from tests.peers.opensmtpd import OpenSMTPD
from tests.peers.postfix import Postfix
from tests.peers.program import PATIENCE, reserve_port

USERNAME, PASSWORD = "news@example.com", "platform-secret"
SIZE_LIMIT = 8_000_000  # octets
RECIPIENT_LIMIT = 50  # of one transaction


class Smarthost(Protocol):
    """What the tests know of a server."""

    folder: Path
    port: int


@dataclass(frozen=True)
class Delivered:
    """A file of the maildir, with network line ends.

    :ivar content: with what the server added on top.
    """

    envelope_from: str
    recipients: frozenset[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message


def maildir(server: Smarthost) -> list[Delivered]:
    """All that this server has delivered."""
    return [_delivered(path) for path in (server.folder / "maildir/new").glob("*")]


async def arrival(server: Smarthost, recipient: str) -> list[Delivered]:
    """What has come for this recipient, as soon as something has."""
    async with asyncio.timeout(PATIENCE):
        while not (found := [d for d in maildir(server) if recipient in d.recipients]):
            await asyncio.sleep(0.02)
    return found


@cache
def _delivered(path: Path) -> Delivered:
    content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    header = email.message_from_bytes(content[: content.index(b"\r\n\r\n") + 4])
    sender = header["Return-Path"] or header["X-MailFrom"] or ""  # OpenSMTPD leaves that of a DSN out
    to = header["Envelope-To"] or header["Delivered-To"] or header["X-RcptTo"]
    return Delivered(sender.strip("<>"), frozenset(re.split(r",\s*", to)), content)


# Exim and OpenSMTPD


def exim(certificate: trustme.LeafCert) -> Exim:
    settings = {"CERTIFICATE": "server.pem", "SIZE_LIMIT": str(SIZE_LIMIT), "RECIPIENT_LIMIT": str(RECIPIENT_LIMIT)}
    return Exim(settings, {"server.pem": _pem(certificate)})


def opensmtpd(_: trustme.LeafCert) -> OpenSMTPD:
    return OpenSMTPD(SIZE_LIMIT, RECIPIENT_LIMIT)


# Postfix with Cyrus SASL, whose only mechanism is LOGIN, and with a policy server for later@…

POSTFIX = {
    "mynetworks": "",
    "message_size_limit": str(SIZE_LIMIT),
    "smtpd_recipient_limit": str(RECIPIENT_LIMIT),
    "smtpd_sasl_auth_enable": "yes",
    "cyrus_sasl_config_path": "{folder}/sasl",
    "smtpd_tls_security_level": "may",
    "smtpd_tls_auth_only": "yes",
    "smtpd_tls_chain_files": "{folder}/server.pem",
    "smtpd_tls_received_header": "yes",
    "smtpd_recipient_restrictions": "check_recipient_access inline:{{nobody@example.org = 550 5.1.1 No such user}}, "
    "check_policy_service unix:{folder}/policy",
    "virtual_mailbox_domains": "example.com, example.org",
    "virtual_mailbox_base": "{folder}",
    "virtual_mailbox_maps": "static:maildir/",
    "virtual_uid_maps": f"static:{pwd.getpwnam('nobody').pw_uid}",
    "virtual_gid_maps": f"static:{pwd.getpwnam('nobody').pw_gid}",
}
SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/sasldb
mech_list: LOGIN
"""


class PostfixSmarthost(Postfix):
    """:param certificate: for STARTTLS."""

    def __init__(self, certificate: trustme.LeafCert, settings: Mapping[str, str] | None = None) -> None:
        files = {"server.pem": _pem(certificate), "sasl/smtpd.conf": SASL}
        super().__init__({**POSTFIX, **(settings or {})}, files)
        self._policy: asyncio.Server | None = None

    async def _start(self) -> None:
        (self.folder / "maildir").mkdir()
        shutil.chown(self.folder / "maildir", "nobody")
        user, _, realm = USERNAME.partition("@")
        database = str(self.folder / "sasldb")
        await self.run("saslpasswd2", "-p", "-c", "-f", database, "-u", realm, user, stdin=PASSWORD.encode())
        shutil.chown(database, "postfix")
        self._policy = await asyncio.start_unix_server(self._answer, self.folder / "policy")
        (self.folder / "policy").chmod(0o666)
        await super()._start()

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        await super()._stop(process)
        if self._policy:
            self._policy.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """SMTPD_POLICY_README: lines of name=value and an empty one, again and again."""
        action = "DUNNO"
        async for line in reader:
            if line.startswith(b"recipient=later@") and (self.folder / "later").exists():
                action = "DEFER 4.2.1 Not now"
            if line == b"\n":
                writer.write(f"action={action}\n\n".encode())
                action = "DUNNO"
        writer.close()


# aiosmtpd as it comes, in this process


class Keeper(Mailbox):
    """aiosmtpd's handler that fills a maildir, with opinions about recipients."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "maildir")
        self._later = folder / "later"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 No such user"
        if address.startswith("later@") and self._later.exists():
            return "450 4.2.1 Not now"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any) -> AuthResult:
    right = isinstance(login, LoginPassword) and login == LoginPassword(USERNAME.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@dataclass
class Aiosmtpd:
    """The stock Controller; see `Smarthost`."""

    folder: Path
    port: int


@asynccontextmanager
async def aiosmtpd(certificate: trustme.LeafCert) -> AsyncIterator[Aiosmtpd]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    with tempfile.TemporaryDirectory(prefix="aiosmtpd-") as name, reserve_port() as reservation:
        server = Aiosmtpd(Path(name), reservation.getsockname()[1])
        controller = Controller(
            Keeper(server.folder),
            "127.0.0.1",
            server.port,
            server_hostname="aiosmtpd.test",
            tls_context=context,
            require_starttls=True,
            authenticator=authenticate,
            auth_required=True,
            auth_exclude_mechanism=["PLAIN"],
            data_size_limit=SIZE_LIMIT,
        )
        await asyncio.to_thread(controller.start)
        try:
            yield server
        finally:
            await asyncio.to_thread(controller.stop)


def _pem(certificate: trustme.LeafCert) -> str:
    return certificate.private_key_and_cert_chain_pem.bytes().decode()


START: Mapping[str, Callable[[trustme.LeafCert], AbstractAsyncContextManager[Smarthost]]] = {
    "aiosmtpd": aiosmtpd,
    "exim": exim,
    "postfix": PostfixSmarthost,
    "opensmtpd": opensmtpd,
}
AS_ROOT = needs(ROOT_USER)
WITH_LOGIN = [
    pytest.param("aiosmtpd"),
    pytest.param("exim", marks=[needs("exim4"), AS_ROOT]),
    pytest.param("postfix", marks=[needs("postfix"), needs("saslpasswd2"), AS_ROOT]),
]
SERVERS = [*WITH_LOGIN, pytest.param("opensmtpd", marks=[needs("smtpd"), AS_ROOT])]

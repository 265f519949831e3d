"""Each fault of docs/troubleshooting.md, made real: what the document says that it shows is what the daemon shows."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from smtprelay import problems
from smtprelay.problems import Kind
from smtprelay.sandbox.nameserver import Fault, NameServer
from smtprelay.sandbox.smarthost import Rule, Smarthost
from tests.debian import ROOT_USER, needs
from tests.process.handbook import OPERATOR, PAGE, fits, get, over, shows, tables
from tests.process.relay import ACCOUNT, DOMAIN, PATIENCE, PLATFORM, Relay, make_relay, running

slow = pytest.mark.slow
KINDS = [kind for kind in vars(problems).values() if isinstance(kind, Kind)] + list(problems.NOT_SET_UP.values())
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


async def hand_in(relay: Relay, size: int = 100, to: str = "b@example.org") -> tuple[int, str]:
    """Hand in a mail. :returns: the reply that decided over it."""

    def talk() -> tuple[int, str]:
        with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
            smtp.ehlo()
            code, reply = smtp.mail(ACCOUNT)
            if code == 250:
                smtp.rcpt(to)
                lines = b"Hello, this is a line.\r\n" * (size // 24 + 1)
                code, reply = smtp.data(f"From: {ACCOUNT}\r\nSubject: test\r\n\r\n".encode() + lines)
            return code, reply.decode()

    return await asyncio.to_thread(talk)


async def taken(relay: Relay) -> None:
    code, reply = await hand_in(relay)
    assert code == 250, reply


# The document


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.key} {kind.severity}")
def test_every_problem_is_in_the_document(kind: Kind) -> None:
    longest = max(re.split(r"\{\w+\}", kind.text), key=len).strip(" .,:(")
    assert longest in " ".join(PAGE.split())


# A stopped smarthost


@slow
async def test_a_smarthost_that_is_stopped(tmp_path: Path) -> None:
    [table] = tables("The smarthost cannot be reached")
    async with running(tmp_path, status=OPERATOR) as (relay, smarthost):
        assert await get(relay, "/healthz") == (200, "ok\n")
        assert await get(relay, "/readyz") == (200, "ready\n")
        port = smarthost.port
        await smarthost.stop()
        await taken(relay)
        await shows(relay, table)
        assert (await get(relay, "/healthz"))[0] == 200  # a restart would not help
        await smarthost.start(port=port)
        await smarthost.wait_for(1, PATIENCE)
        await over(relay, "smarthost")


# A refused password


@slow
async def test_a_password_that_is_refused_until_it_is_put_right(tmp_path: Path) -> None:
    [table] = tables("The smarthost refuses the password")
    async with running(tmp_path, status=OPERATOR) as (relay, smarthost):
        smarthost.rules.append(Rule("CREDENTIALS", "535 5.7.8 Authentication failed"))
        await taken(relay)
        await shows(relay, table)
        _, text = await get(relay, "/readyz")
        assert "platform-secret" not in text
        await taken(relay)  # mail is still accepted
        smarthost.rules.clear()
        smarthost.credentials = {"news@example.com": "another-secret"}
        (tmp_path / "platform.password").write_text("another-secret\n")
        relay.signal(signal.SIGHUP)
        await smarthost.wait_for(2, PATIENCE)
        await over(relay, "credential")


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(folder: Path, leaving: int) -> Path:
    """A file of somebody else's that leaves so many octets of the disk."""
    disk = os.statvfs(folder)
    path = folder / "somebody-elses.log"
    path.write_bytes(bytes(max(disk.f_bavail * disk.f_frsize - leaving, 0)))
    return path


@needs(ROOT_USER)
@slow
async def test_a_disk_below_the_floor(small_disk: Path) -> None:
    table, _ = tables("The disk is full")
    async with running(small_disk, status=OPERATOR) as (relay, smarthost):
        await taken(relay)
        await smarthost.wait_for(1)
        other = fill(small_disk, leaving=900_000)
        await asyncio.sleep(0.3)  # for which the room on the disk is not asked for again
        code, reply = await hand_in(relay)
        assert f"{code} {reply}".startswith(table["apps"])
        await shows(relay, table)
        other.unlink()
        await over(relay, "disk")
        await taken(relay)
        await smarthost.wait_for(2)


@needs(ROOT_USER)
@slow
async def test_a_disk_without_a_single_octet_left(small_disk: Path) -> None:
    _, table = tables("The disk is full")
    async with running(small_disk, status=OPERATOR) as (relay, smarthost):
        await relay.stop()
        config = small_disk / "config.toml"
        config.write_text(config.read_text().replace('min_free = "1MiB"', 'min_free = "0"'))
        await relay.start()
        other = fill(small_disk, leaving=0)
        code, reply = await hand_in(relay, size=2_000_000)
        assert f"{code} {reply}".startswith(table["apps"])
        await shows(relay, table)
        other.unlink()
        await over(relay, "spool")
        await taken(relay)
        await smarthost.wait_for(1)


# An expired certificate


@slow
async def test_a_certificate_of_ours_that_has_expired_until_it_is_renewed(tmp_path: Path) -> None:
    table, _ = tables("A certificate has expired")
    authority = trustme.CA()
    verifying = ssl.create_default_context()
    authority.configure_trust(verifying)

    def issue(not_after: datetime | None = None) -> None:
        certificate = authority.issue_cert("127.0.0.1", not_after=not_after)
        certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "tls.pem"))

    def talk(context: ssl.SSLContext) -> int:
        with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
            smtp.starttls(context=context)
            return smtp.ehlo()[0]

    issue(YESTERDAY)
    pair = 'tls_certificate = "tls.pem"\ntls_key = "tls.pem"'
    async with running(tmp_path, gateway=pair, status=OPERATOR) as (relay, _smarthost):
        await shows(relay, table)
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await asyncio.to_thread(talk, verifying)
        assert await asyncio.to_thread(talk, ssl._create_unverified_context()) == 250
        issue()
        relay.signal(signal.SIGHUP)
        await over(relay, "certificate")
        assert await asyncio.to_thread(talk, verifying) == 250


@slow
async def test_a_certificate_of_the_smarthost_that_has_expired(tmp_path: Path) -> None:
    _, table = tables("A certificate has expired")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", not_after=YESTERDAY).configure_cert(server)
    async with Smarthost(credentials=PLATFORM, tls=server) as smarthost:
        relay = make_relay(
            tmp_path, smarthost.port, upstream='tls = "starttls"\ntls_ca_file = "ca.pem"', status=OPERATOR
        )
        await relay.start()
        try:
            await taken(relay)
            await shows(relay, table)
            authority.issue_cert("127.0.0.1").configure_cert(server)  # they renew it
            await smarthost.wait_for(1, PATIENCE)
            await over(relay, "smarthost")
        finally:
            await relay.stop()


# A DNS outage


@slow
async def test_dns_that_does_not_answer(tmp_path: Path) -> None:
    [table] = tables("DNS does not answer")
    zone = f'{DOMAIN}. IN TXT "v=spf1 include:spf.bestedm.org -all"', f"{DOMAIN}. IN MX 10 mail.bestedm.org."
    async with NameServer(*zone) as dns:
        dns.fault = Fault.SERVFAIL
        async with running(tmp_path, domain_rules=f'nameservers = ["{dns.address}"]', status=OPERATOR) as (
            relay,
            smarthost,
        ):
            await taken(relay)
            await shows(relay, table)
            dns.fault = None
            await smarthost.wait_for(1, PATIENCE)
            await over(relay, "dns")


# Probes


@slow
async def test_probes_write_nothing_to_the_log_and_figures_add_up(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("RCPT", "550 5.1.1 No such user", match="nobody@")) as (relay, smarthost):
        await taken(relay)
        await hand_in(relay, to="nobody@example.net")
        await smarthost.wait_for(2)  # and the notification
        await relay.settled(delivered=2, bounced=1)
        lines = len(relay.log)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await get(relay, path))[0] == 200
        assert relay.log[lines:] == []
        _, text = await get(relay, "/metrics")
        for figure in (
            "smtprelay_accepted_messages_total 2.0",
            "smtprelay_accept_seconds_count 2.0",
            "smtprelay_prepare_seconds_count 2.0",
            'smtprelay_delivered_total{domain="example.org",smarthost="127.0.0.1:…"} 1.0',
            'smtprelay_bounced_total{domain="example.net",smarthost="127.0.0.1:…"} 1.0',
            'smtprelay_upstream_connections_total{result="ok",smarthost="127.0.0.1:…"} …',
            "smtprelay_attempt_seconds_count 3.0",
            "smtprelay_delivery_seconds_count 2.0",
            'smtprelay_credential_paused{credential="news"} 0.0',
            'smtprelay_queue_recipients{state="queued"} …',
            "smtprelay_commit_operations_count …",
            "smtprelay_loop_lag_seconds_count …",
            'smtprelay_build_info{python="…",version="…"} 1.0',
            "process_resident_memory_bytes …",
        ):
            assert any(fits(line, figure) for line in text.splitlines()), figure

"""Starting, failing to start, and stopping."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smtprelay.clock import now_ms
from smtprelay.platform import AsyncPlatformClient
from smtprelay.sandbox.smarthost import SILENCE, Rule, Smarthost
from smtprelay.values import SHANGHAI
from tests.process.relay import ACCOUNT, PATIENCE, PLATFORM, Relay, make_relay, running
from tests.process.test_outcomes import send
from tests.spool.test_damage import COUNT, IDS, break_page, filled
from tests.test_docs_sandbox import BESIDE_THE_DEMO

pytestmark = pytest.mark.slow

WHOLE_DEMO = 60.0  # seconds that it may take on a busy machine
REAL_ACCOUNT = {
    "SMTPRELAY_PLATFORM_USERNAME": "news",
    "SMTPRELAY_PLATFORM_PASSWORD": "secret",
    "SMTPRELAY_PLATFORM_URL": "https://127.0.0.1:9/",
}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[spool]", "[spoool]", "spoool: this key is not known"),
        ('hostname = "relay.example.com"', 'trusted_networks = ["0.0.0.0/0"]', "open relay"),
        ('file = "relay0.pem"', 'file = "missing.pem"', "missing.pem"),
        ('password_file = "platform.password"', 'password_env = "NOT_SET"', "$NOT_SET is not set"),
        ('listen = ["127.0.0.1:0"]', 'listen = ["fd:smtp"]', "passed no socket"),
        ('hostname = "relay.example.com"', 'tls_certificate = "a.pem"\ntls_key = "b.pem"', "a.pem"),
        ("[upstream]", '[upstream]\ntls = "implicit"\ntls_ca_file = "missing.pem"', "tls_ca_file"),
    ],
)
async def test_a_configuration_that_cannot_work_ends_with_78_and_words(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    relay = make_relay(tmp_path, 1)
    config = tmp_path / "config.toml"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new, 1))
    output = await relay.run("run", status=os.EX_CONFIG)
    assert words in output
    assert "Traceback" not in output


async def test_an_address_that_is_taken_ends_with_78(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        relay = make_relay(tmp_path, 1, port=str(port))
        assert f"cannot listen on 127.0.0.1:{port}" in await relay.run("run", status=os.EX_CONFIG)


async def test_a_second_daemon_on_the_same_spool_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, _):
        assert "is using the spool" in await relay.run("run", status=os.EX_TEMPFAIL)


async def test_a_spool_with_a_broken_page_sends_what_lies_beyond_it(tmp_path: Path) -> None:
    """The fault: nothing left any more, and the daemon did not even start."""
    await filled(tmp_path / "spool.db", now=now_ms() - COUNT)
    break_page(tmp_path / "spool.db", f"{IDS[0]}@")
    async with running(tmp_path) as (relay, smarthost):
        await smarthost.wait_for(1)
        problem = await relay.logged("problem", key="damaged")
        assert "can be neither read nor held" in problem["sentence"]
    assert f"{IDS[0]}@example.net" not in {address for sent in smarthost.messages for address in sent.recipients}


async def test_a_spool_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    relay = make_relay(tmp_path, 1)
    (tmp_path / "spool.db").write_bytes(b"this is no database" * 1000)
    output = await relay.run("run", status=os.EX_TEMPFAIL)
    assert "spool.db" in output
    assert "Traceback" not in output
    assert (tmp_path / "spool.db").read_bytes() == b"this is no database" * 1000


async def test_mail_that_waits_is_delivered_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("RCPT", "451 4.7.1 Later", times=1), retry="") as (relay, smarthost):
        await send(relay, "b@example.org")
        await relay.logged("attempt", status="deferred")
        assert await relay.stop() == 0
        await relay.start()
        await smarthost.wait_for(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_politely(tmp_path: Path, number: int) -> None:
    async with running(tmp_path) as (relay, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        await reader.readline()
        assert await relay.stop(number) == 0
        assert (await reader.read()).startswith(b"421 4.3.2")
        writer.close()


async def test_a_signal_while_it_starts_ends_it_politely(tmp_path: Path) -> None:
    relay = make_relay(tmp_path, 1)
    await relay.launch()
    await relay.opened()
    assert await relay.stop() == 0
    assert relay.log[-2]["event"] == "stopped"


async def test_an_attempt_cut_by_a_kill_is_judged_at_the_next_start(tmp_path: Path) -> None:
    """Nobody knows what came of it: it may have been delivered."""
    async with running(tmp_path, Rule("DOT", SILENCE, times=1)) as (relay, smarthost):
        message_id = await send(relay, "b@example.org")
        async with asyncio.timeout(10):
            while "DATA" not in smarthost.commands:
                await asyncio.sleep(0.01)
        await relay.stop(signal.SIGKILL)
        await relay.start()
        await smarthost.wait_for(1)
        await relay.settled(delivered=1)
        why = await relay.run("queue", "why", message_id)
    assert "#1 ambiguous (it may have been delivered) at unknown" in why
    assert "smtprelay stopped during this attempt" in why


HASTY = """
import smtprelay.daemon as daemon
daemon.DELIVERY_GRACE = 0.5
from smtprelay.__main__ import main
main()
"""


async def test_what_sigterm_cuts_after_the_dot_is_ambiguous(tmp_path: Path) -> None:
    """The smarthost took it and says nothing: it goes out again, and the books say why."""
    async with Smarthost(Rule("ACCEPTED", SILENCE, times=1), credentials=PLATFORM) as smarthost:
        relay = make_relay(tmp_path, smarthost.port)
        relay.entry = [sys.executable, "-c", HASTY]
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace('dot = "2s"', 'dot = "60s"'))
        await relay.start()
        try:
            message_id = await send(relay, "b@example.org")
            await smarthost.wait_for(1)
            assert await relay.stop() == 0
            assert (await relay.start())["recovered"] == 0
            await smarthost.wait_for(2)
            await relay.settled(delivered=1)
            why = await relay.run("queue", "why", message_id)
        finally:
            await relay.stop()
    assert "#1 ambiguous (it may have been delivered) at dot" in why
    assert "cut by a shutdown" in why


async def test_below_the_disk_floor_mail_is_452_and_nothing_else_breaks(tmp_path: Path) -> None:
    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay = make_relay(tmp_path, smarthost.port)
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace('min_free = "1MiB"', 'min_free = "900000GiB"'))
        await relay.start()
        try:
            with smtplib.SMTP("127.0.0.1", relay.port) as smtp:
                smtp.ehlo()
                code, reply = smtp.mail(ACCOUNT)
            assert (code, reply[:5]) == (452, b"4.3.1")
        finally:
            await relay.stop()


def test_the_demo_shows_everything_and_ends_with_0(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "smtprelay", "demo"],
        env={**os.environ, **REAL_ACCOUNT, "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=WHOLE_DEMO,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("DKIM: verified, verified") == 7
    assert "451 4.3.0 Mailbox busy, try again" in run.stdout
    assert "the daemon ended with 0" in run.stdout
    # It said of its own keys that nobody had published them, and counted "1 connections".
    assert run.stdout.count("ok     DKIM relay") == 2
    assert " 1 connections" not in run.stdout
    # What SMTP never tells.
    assert "1 no such mailbox; on the list, 1 new or changed" in run.stdout
    assert "550 5.1.1 No mail is sent to this address: no such mailbox, told by platform sandbox" in run.stdout
    assert "after 1 attempt, then refused: no such mailbox" in run.stdout
    # The campaign is not that of the account in the environment, and does not count for the user's.
    task = re.findall(r"'smtprelay platform stats batches --id (\d+)' tells:", run.stdout)[0]
    figures = run.stdout.partition(f"--id {task}' tells:")[2].splitlines()
    assert figures[1].split()[:2] == ["task", "id"]
    assert figures[2].split()[3:8] == ["2", "2", "0", "0", "2"]  # planned, sent, invalid, failed, delivered
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGINT, "sent: "), (signal.SIGTERM, "queue why"), (signal.SIGHUP, "sent: ")],
)
async def test_a_demo_that_is_ended_takes_along_what_it_began(number: signal.Signals, moment: str) -> None:
    """SIGTERM, or the SIGHUPs of a terminal that closes, left daemon and folder behind; a command that it had run asked
    for them; and it ended with 0, which a CI job took for success."""
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "smtprelay", "demo", "--stay"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert demo.stdout
    async with asyncio.timeout(WHOLE_DEMO):
        said = await demo.stdout.readuntil(moment.encode())
        folder = Path(re.findall(r"spool in (.+)", said.decode())[0])
        daemon = int((folder / "spool.lock").read_text())
        os.kill(daemon, signal.SIGSTOP)  # it takes its time to end, and a terminal that closes sends SIGHUP twice
        for _ in range(2):
            with suppress(ProcessLookupError):
                demo.send_signal(number)
            await asyncio.sleep(0.2)
        os.kill(daemon, signal.SIGCONT)
        _, complaint = await demo.communicate()
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, signal.SIGKILL)
    assert (demo.returncode, folder.exists()) == (1, False)
    assert complaint.decode() == "ended before everything was shown\n"


async def test_a_demo_that_stays_is_the_provider_of_another_daemon(tmp_path: Path) -> None:
    """Where its smarthost and its DNS are stood above all that it shows, and nowhere what else one needs."""
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "smtprelay", "demo", "--stay"), stdout=asyncio.subprocess.PIPE
    )
    assert demo.stdout
    try:
        async with asyncio.timeout(WHOLE_DEMO):
            said = (await demo.stdout.readuntil(b"the commands: ")).decode()
        provider = textwrap.dedent(said.rpartition("in its config.toml:\n")[2].rpartition("\n")[0])
        here = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:0", BESIDE_THE_DEMO)
        (tmp_path / "config.toml").write_text(here + provider)
        relay = Relay(tmp_path, {})
        await relay.start()
        try:
            today = datetime.now(SHANGHAI).date()
            told = await relay.run("selftest", "--to", "nosuch@example.org")
        finally:
            await relay.stop()
        assert "delivered" in told.splitlines()[-1]
        url, username, password = re.findall(r"HTTP API: (\S+), as (\S+), password (\S+)", said)[0]
        async with AsyncPlatformClient(username, password, url, allow_insecure=True) as platform:
            failed = await platform.failures.all(today, date_end=today + timedelta(days=1))  # midnight may be near
        assert "nosuch@example.org" in [failure.address for failure in failed]
    finally:
        demo.send_signal(signal.SIGTERM)
        await demo.wait()


async def test_a_demo_under_nohup_outlives_its_terminal() -> None:
    """The fault: it took SIGHUP all the same, and ended."""
    demo = await asyncio.create_subprocess_exec(
        *("nohup", sys.executable, "-m", "smtprelay", "demo", "--stay"), stdout=asyncio.subprocess.PIPE
    )
    assert demo.stdout
    async with asyncio.timeout(WHOLE_DEMO):
        await demo.stdout.readuntil(b"gateway on ")
        demo.send_signal(signal.SIGHUP)
        await demo.stdout.readuntil(b"the commands: ")
        demo.send_signal(signal.SIGTERM)
        assert await demo.wait() == 0


def test_a_demo_whose_daemon_does_not_start_says_so(tmp_path: Path) -> None:
    """It waited for half a minute, and ended with a traceback."""
    (deep := tmp_path / ("d" * 100)).mkdir()  # a socket's path is at most 107 octets
    run = subprocess.run(
        [sys.executable, "-m", "smtprelay", "demo"],
        env={**os.environ, "TMPDIR": str(deep)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "AF_UNIX path too long" in run.stderr
    assert "the daemon ended with 78" in run.stdout


async def test_a_log_that_cannot_be_written_costs_no_mail(tmp_path: Path) -> None:
    """Who read the pipe is gone: an app was not told 250 for what was stored, and nothing was delivered any more."""
    async with Smarthost(credentials=PLATFORM) as smarthost:
        relay = make_relay(tmp_path, smarthost.port)
        await relay.start()
        assert relay.process
        assert relay.process.stdout
        relay.process.stdout._transport.close()  # type: ignore[attr-defined]
        with smtplib.SMTP("127.0.0.1", relay.port) as client:
            await asyncio.to_thread(client.sendmail, "app@example.com", ["a@example.org"], "Subject: x\r\n\r\nx\r\n")
        await smarthost.wait_for(1)
        relay.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(relay.process.wait(), PATIENCE) == 0


async def test_nor_does_one_on_a_full_disk(tmp_path: Path) -> None:
    relay = make_relay(tmp_path, 9)
    with Path("/dev/full").open("w") as full:
        process = await asyncio.create_subprocess_exec(
            *relay.entry, "run", "-c", "config.toml", cwd=tmp_path, stdout=full, stderr=asyncio.subprocess.PIPE
        )
        await relay_answers(tmp_path / "control.sock")
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, said) == (0, b"")


async def relay_answers(control: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(control)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return

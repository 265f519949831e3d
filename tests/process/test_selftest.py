"""`smtprelay selftest`: what it tells an operator of mail that leaves, and of mail that does not."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest
import trustme

from smtprelay.sandbox.nameserver import Fault, NameServer
from smtprelay.sandbox.smarthost import SILENCE, Rule
from tests.gateway.wire import PASSWORD
from tests.process.relay import ACCOUNT, make_relay, running

pytestmark = pytest.mark.slow

TO = ("selftest", "--to")


async def test_a_message_that_leaves_at_the_second_attempt(tmp_path: Path) -> None:
    busy = Rule("DOT", "451 4.3.0 Busy", times=1)
    refused = Rule("RCPT", "550 5.1.1 No such user", match="nobody@")
    read_by = '[bounces]\nsend_to = "ops@example.org"'
    async with running(tmp_path, busy, refused, schedule="3s", more=read_by) as (relay, smarthost):
        told = await relay.run("selftest")
        [message] = await smarthost.wait_for(1)
        by_json = json.loads(await relay.run("selftest", "--from", ACCOUNT, "--json"))
        bounced = await relay.run(*TO, "nobody@example.org", status=69)
    steps = [line.partition("s  ")[2] for line in told.splitlines()]
    assert [step for step in steps if step.startswith("gateway at 127.0.0.1:")]
    expected = (
        "accepted and on disk as ",
        "added Date",
        "#1 deferred at dot",
        "next attempt 2",
        "Ctrl-C ends the watching, and nothing else: the message stays in the queue",
        "#2 delivered at dot",
        "delivered 2",
    )
    places = [next(n for n, step in enumerate(steps) if words in step) for words in expected]
    assert places == sorted(places), told
    assert "451 4.3.0 Busy" in told
    assert "signed for example.com (relay0)" in told
    assert (message.envelope_from, [*message.recipients]) == ("postmaster@example.com", ["ops@example.org"])
    assert f"Subject: {steps[-1].rpartition(' for: ')[2]}".encode() in message.content
    assert "Look into the mailbox of ops@example.org" in steps[-1]
    assert by_json["ok"]
    assert by_json["id"] in by_json["steps"][-1] or by_json["subject"] in by_json["steps"][-1]
    assert "The address is wrong or does not exist" in bounced


async def test_who_is_not_trusted_logs_in(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("relay.example.com")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.pem")
    gateway = 'trusted_networks = []\ntls_certificate = "tls.pem"\ntls_key = "tls.pem"'
    (tmp_path / "right").write_text(PASSWORD + "\n")
    (tmp_path / "wrong").write_text("wrong\n")
    async with running(tmp_path, gateway=gateway, upstream='mode = "sandbox"') as (relay, _):
        log_in = (*TO, "ops@example.org", "--from", ACCOUNT, "--user", ACCOUNT, "--password-file")
        refused = await relay.run(*TO, "ops@example.org", status=77)
        wrong = await relay.run(*log_in, "wrong", status=77)
        captured = await relay.run(*log_in, "right")
    assert "who is not in trusted_networks needs an account" in refused
    assert "check username and password of the account" in wrong
    assert "mode = sandbox: nobody is mailed" in captured
    assert "answers, with TLS" in captured
    assert "captured 2" in captured.splitlines()[-1]


async def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    """A refused password, DNS that is down or has not the records, and no daemon at all."""
    async with NameServer() as dns:
        rules = f'nameservers = ["{dns.address}"]'
        refused = Rule("CREDENTIALS", "535 5.7.8 Bad password")
        async with running(tmp_path, refused, domain_rules=rules) as (relay, _):
            missing = await relay.run(*TO, "ops@example.org", status=78)
            dns.publish('example.com. IN TXT "v=spf1 include:spf.bestedm.org -all"')
            dns.publish("example.com. IN MX 10 mail.bestedm.org.")
            dns.publish('spf.bestedm.org. IN TXT "v=spf1 ip4:192.0.2.0/24 -all"')
            await relay.run("domain", "check", "example.com")
            password = await relay.run(*TO, "ops@example.org", status=69)
        stopped = await relay.run(*TO, "ops@example.org", status=75)
        dns.fault = Fault.SERVFAIL
        (tmp_path / "other").mkdir()
        other = make_relay(tmp_path / "other", 1, domain_rules=rules)
        await other.start()
        try:
            held = await other.run(*TO, "ops@example.org", status=75)
        finally:
            await other.stop()
    assert "Publish in the DNS of example.com" in missing
    # The smarthost's words and what comes next were one sentence.
    steps = [line.partition("s  ")[2] for line in password.splitlines()]
    assert steps[-2].endswith("535 5.7.8 Bad password")
    assert steps[-1].startswith("next log-in ")
    assert "check username and password of the credential" in password
    assert "no daemon answers on" in stopped
    assert ": dns. What to do: DNS did not tell whether" in held


async def test_a_smarthost_that_is_away(tmp_path: Path) -> None:
    relay = make_relay(tmp_path, 1)
    await relay.start()
    try:
        told = await relay.run(*TO, "ops@example.org", "--timeout", "1s", status=69)
    finally:
        await relay.stop()
    assert "The smarthost could not be reached: check the network" in told
    assert "it goes on without being watched: 'smtprelay queue why" in told


@pytest.mark.parametrize("as_json", [False, True])
async def test_who_ends_the_watching_is_told_where_it_goes_on(tmp_path: Path, as_json: bool) -> None:
    """The fault: Ctrl-C ended it without a last line, and `--json` with nothing at all."""
    # An attempt takes a second: when it has ended, the test has long had its answer from the gateway.
    async with running(tmp_path, Rule("GREETING", SILENCE), timeout="1s", schedule="1h") as (relay, _):
        test = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "smtprelay", *TO, "ops@example.org", "-c", "config.toml"),
            *(["--json"] if as_json else []),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        message_id = (await relay.logged("attempt"))["id"]
        test.send_signal(signal.SIGINT)
        told, _ = await test.communicate()
    assert test.returncode == 130, told
    last = json.loads(told)["steps"][-1] if as_json else told.decode()
    assert f"it goes on without being watched: 'smtprelay queue why {message_id}'" in last


async def test_it_must_be_said_who_reads_it(tmp_path: Path) -> None:
    relay = make_relay(tmp_path, 1)
    assert "say who reads the message" in await relay.run("selftest", status=64)
    assert "is not an address" in await relay.run(*TO, "nobody", status=64)

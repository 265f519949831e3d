"""The commands, before a running daemon and without one."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import pty
import smtplib
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from smtprelay.cli import sendmail
from smtprelay.sandbox.smarthost import DROP, Rule, Smarthost
from tests.process.relay import ACCOUNT, make_relay, running
from tests.process.test_outcomes import send
from tests.process.test_templates import write_template

pytestmark = pytest.mark.slow

LATER = Rule("RCPT", "451 4.7.1 Later [/now] [internal] :no:", match="later@")


async def test_the_queue_is_seen_and_steered(tmp_path: Path) -> None:
    async with running(tmp_path, LATER, retry='give_up_after = "1h"') as (relay, smarthost):
        done = await send(relay, "b@example.org")
        waiting = await send(relay, "later@example.org")
        await relay.logged("attempt", id=waiting, status="deferred")
        await relay.logged("attempt", id=done, status="delivered")

        assert [m["id"] for m in await relay.json("queue", "list")] == [waiting, done]
        assert [m["id"] for m in await relay.json("queue", "list", "--state", "delivered")] == [done]
        assert [m["id"] for m in await relay.json("queue", "list", "--to", "*@example.org", "--limit", "1")] == [
            waiting
        ]
        assert [m["id"] for m in await relay.json("queue", "list", "--before", waiting)] == [done]
        for words, expected in (
            (("--text", "later"), [waiting]),
            (("--text", "TEST later@example.org"), [waiting]),
            (("--subject", "test", "--since", "1h"), [waiting, done]),
            (("--subject", "later"), []),
            (("--until", "1h"), []),
            (("--since", "2026-11-24"), [waiting, done]),
        ):
            assert [m["id"] for m in await relay.json("queue", "list", *words)] == expected
        assert "is no time: 2026-11-24" in await relay.run("queue", "list", "--since", "noon", status=64)
        table = await relay.run("queue", "list")
        assert waiting in table
        assert "451 4.7.1 Later [/now] [internal] :no:" in table

        shown = await relay.json("queue", "show", done)
        assert shown["reverse_path"] == ACCOUNT
        assert shown["recipients"][0]["state"] == "delivered"
        assert any("Date" in repair for repair in shown["repairs"])
        assert "added Date" in await relay.run("queue", "show", done)
        difference = await relay.run("queue", "show", done, "--diff")
        assert difference.splitlines() == shown["changes"] == await relay.json("queue", "show", done, "--diff")
        assert any(line.startswith("+Date: ") for line in shown["changes"])
        assert "共 1 次尝试" in await relay.run("queue", "why", done, LC_ALL="zh_CN.UTF-8", PYTHONUTF8="1")

        refused = await relay.run("queue", "hold", waiting, "--reason", "dns", status=os.EX_USAGE)
        assert "goes on by itself: give another reason" in refused
        assert await relay.run("queue", "hold", waiting, "--reason", "audit") == "1 recipient held\n"
        assert "held for audit: 1" in await relay.run("queue", "stats")
        smarthost.rules.clear()
        assert await relay.json("queue", "release", "--reason", "audit") == {"recipients": 1}
        await relay.settled(delivered=2)
        assert (await relay.logged("operator", action="release"))["by"] == f"uid {os.getuid()}"

        assert await relay.run("queue", "hold", done, status=64) == f"{done} is delivered: nothing in it waits\n"
        assert json.loads(await relay.run("queue", "release", "--all", "--json")) == {"recipients": 0}
        await relay.run("queue", "cancel", status=64)
        await relay.run("queue", "show", "nonsense", status=64)
        assert "no message" in await relay.run("queue", "why", "nonsense", status=64)


async def test_retry_makes_due_now_and_cancel_ends(tmp_path: Path) -> None:
    async with running(tmp_path, LATER, schedule="1h") as (relay, smarthost):
        first = await send(relay, "later@example.org")
        second = await send(relay, "later@example.org")
        await relay.logged("attempt", id=second)
        await relay.settled(queued=2, sending=0)
        assert await relay.json("queue", "cancel", second) == {"recipients": 1}
        smarthost.rules.clear()
        assert await relay.json("queue", "retry", "--all") == {"recipients": 1}
        await relay.settled(delivered=1, cancelled=1)
        assert (await relay.json("queue", "show", first))["recipients"][0]["attempts"] == 2


async def test_a_suspended_account_is_stopped_at_once_and_over_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, LATER, schedule="1h") as (relay, smarthost):
        waiting = await send(relay, "later@example.org")
        await relay.logged("attempt", id=waiting)
        await relay.settled(queued=1, sending=0)
        smarthost.rules.clear()
        assert "no account" in await relay.run("account", "suspend", "ap@example.com", status=64)
        assert "1 waiting recipient is held" in await relay.run("account", "suspend", "127.0.0.1")
        await send(relay, "b@example.org")
        await relay.settled(held=2)
        await relay.stop()
        assert [m["id"] for m in await relay.json("queue", "list", "--text", "later")] == [waiting]
        await relay.start()
        await send(relay, "c@example.org")
        await relay.settled(held=3)
        assert "SUSPENDED account 127.0.0.1" in await relay.run("queue", "stats")
        assert "3 recipients are still held" in await relay.run("account", "resume", "127.0.0.1")
        assert not smarthost.messages
        assert await relay.json("queue", "release", "--account", "127.0.0.1") == {"recipients": 3}
        await smarthost.wait_for(3)


async def test_over_the_rate_of_a_trusted_client_mail_is_held_and_an_alarm_raised(tmp_path: Path) -> None:
    async with running(tmp_path, gateway='client_rate = "2/h"') as (relay, smarthost):
        for _ in range(3):
            await send(relay, "b@example.org")
        await relay.settled(held=1, delivered=2)
        assert (await relay.logged("held"))["reason"] == "rate"
        assert len(smarthost.messages) == 2


async def test_without_a_daemon_the_commands_work_on_the_spool(tmp_path: Path) -> None:
    async with running(tmp_path, LATER) as (relay, _):
        message_id = await send(relay, "later@example.org")
        await relay.logged("attempt", id=message_id)
        await relay.stop()
        assert "451 4.7.1 Later" in await relay.run("queue", "why", message_id)
        assert "no message nosuch is known" in await relay.run("queue", "retry", "nosuch", status=64)
        assert await relay.json("queue", "hold", "--all") == {"recipients": 1}
        await relay.start()
        await relay.settled(held=1)


async def test_before_the_first_run_there_is_no_spool(tmp_path: Path) -> None:
    """The fault: it "cannot be read", as if something were broken."""
    told = await make_relay(tmp_path, 1).run("dkim", "status", status=os.EX_TEMPFAIL)
    assert "there is no spool" in told
    assert "the first 'smtprelay run' makes it" in told


async def test_what_would_turn_a_line_around_is_escaped(tmp_path: Path) -> None:
    """The fault: a terminal obeyed U+202E in a subject to the end of the line."""

    def hand_over(port: int) -> str:
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            smtp.ehlo()
            smtp.mail(ACCOUNT)
            smtp.rcpt("b@example.org")
            content = f"From: {ACCOUNT}\r\nSubject: \u202egpj.exe\r\nX-SMTPRelay-Tag: \u2067tag\r\n\r\n"
            return smtp.data(content.encode())[1].split()[-1].decode()

    async with running(tmp_path) as (relay, _):
        message_id = await asyncio.to_thread(hand_over, relay.port)
        for command in ("why", "show"):
            told = await relay.run("queue", command, message_id, PYTHONUTF8="1")
            assert "\\u202egpj.exe" in told
            assert "\\u2067tag" in told
            assert not set("\u202e\u2067") & set(told)
        difference = await relay.run("queue", "show", message_id, "--diff", PYTHONUTF8="1")
        assert "-Subject: \\u202egpj.exe" in difference.splitlines()
        assert (await relay.json("queue", "show", message_id))["subject"] == "\u202egpj.exe"


async def test_a_file_with_errors_keeps_nobody_from_the_daemon_that_runs(tmp_path: Path) -> None:
    """An operator in the midst of an edit could not look at the queue, nor stop an app."""
    async with running(tmp_path, LATER) as (relay, _):
        message_id = await send(relay, "later@example.org")
        await relay.logged("attempt", id=message_id)
        config = tmp_path / "config.toml"
        text = config.read_text()
        config.write_text(text.replace("[spool]", "[spoool]").replace(ACCOUNT, "half"))
        why = await relay.run("queue", "why", message_id)
        assert "config.toml cannot be used as a whole ('smtprelay check' tells why)" in why
        assert "451 4.7.1 Later" in why
        assert "is suspended" in await relay.run("account", "suspend", ACCOUNT)
        assert "spoool: this key is not known" in await relay.run("check", status=os.EX_CONFIG)
        config.write_text("no TOML")
        assert "'-c' and a file that says no more than where" in await relay.run("queue", "stats", status=os.EX_CONFIG)
        (tmp_path / "where.toml").write_text('[status]\ncontrol = "control.sock"')
        assert f"SUSPENDED account {ACCOUNT}" in await relay.run("queue", "stats", "-c", "where.toml")
        config.write_text(text.replace("[spool]", "[spoool]"))
        await relay.stop()
        assert "spoool: this key is not known" in await relay.run("queue", "list", status=os.EX_CONFIG)


async def test_the_control_socket_is_for_owner_and_group(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, _):
        assert stat.S_IMODE((relay.folder / "control.sock").stat().st_mode) == 0o660
    assert not (relay.folder / "control.sock").exists()


def ask(path: Path, method: str, target: str, body: bytes | None = None) -> tuple[int, str]:
    """What the control socket answers to anybody who reaches it."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(path))
    connection.request(method, target, body)
    response = connection.getresponse()
    answer = response.read().decode()
    connection.close()
    return response.status, answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def waiting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, str]]:
    """A daemon's control socket, and the id of a message that waits in it."""
    async with running(tmp_path_factory.mktemp("waiting"), LATER, schedule="1h") as (relay, _):
        message_id = await send(relay, "later@example.org")
        await relay.logged("attempt", id=message_id, status="deferred")
        await relay.settled(queued=1)
        yield relay.folder / "control.sock", message_id


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1/queue?limit=abc", None),
        ("GET", "/v1/queue?limit=99999999", None),
        ("GET", "/v1/queue?state=lost", None),
        ("GET", "/v1/queue?acount=app", None),
        ("POST", "/v1/queue/cancel", b"{not json"),
        ("POST", "/v1/queue/cancel", b"[]"),
        ("POST", "/v1/queue/cancel", b'{"acount": "app"}'),
        ("POST", "/v1/queue/cancel", b'{"ids": "all"}'),
        ("POST", "/v1/queue/explode", b"{}"),
        ("POST", "/v1/accounts/app/explode", None),
        ("GET", "/v1/suppressions?limit=501", None),
        ("GET", "/v1/suppressions?addres=a@example.org", None),
        ("POST", "/v1/suppressions/add", b'{"entries": "a@example.org"}'),
        ("POST", "/v1/suppressions/add", b'{"entries": [{"address": "nobody"}]}'),
        ("POST", "/v1/suppressions/add", b'{"entries": [{"address": "a@example.org", "expires": "30d"}]}'),
        ("POST", "/v1/suppressions/add", b'{"entries": [{"address": "a@example.org", "cause": "full"}]}'),
        ("POST", "/v1/suppressions/add", b'{"entries": [{"address": "a@example.org", "reason": "x"}]}'),
        ("POST", "/v1/suppressions/remove", b'{"addresses": ["nobody"]}'),
        ("POST", "/v1/suppressions/remove", b'{"addresses": ["a@example.org"], "cause": "1"}'),
        ("POST", "/v1/accounts/nobody/suspend", None),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_the_control_socket_refuses_what_it_does_not_understand(
    waiting: tuple[Path, str], method: str, target: str, body: bytes | None
) -> None:
    """A misspelt word that was passed over would have everything cancelled, not some of it."""
    control, message_id = waiting
    status, answer = await asyncio.to_thread(ask, control, method, target, body)
    assert status == 400
    assert json.loads(answer)["error"]
    _, shown = await asyncio.to_thread(ask, control, "GET", f"/v1/queue/{message_id}")
    assert json.loads(shown)["recipients"][0]["state"] == "queued"


async def test_check(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, smarthost):
        findings = {f["what"]: f for f in await relay.json("check")}
        assert findings["log-in"]["result"] == "ok"
        assert findings["key"]["result"] == "ok"
        smarthost.rules.append(Rule("CREDENTIALS", "535 5.7.8 No"))
        assert "535 5.7.8 No" in await relay.run("check", status=os.EX_UNAVAILABLE)
        assert "log-in" not in await relay.run("check", "--offline")
        write_template(tmp_path, "hello", subject_j2="Hello", body_txt_j2="Hello\n")
        assert "1 of 1 in " in await relay.run("check", "--offline")
        write_template(tmp_path, "broken", subject_j2="{{ name", body_txt_j2="Hello\n")
        told = await relay.run("check", "--offline", status=78)
        assert "failed   template: broken: broken/subject.j2, line 1: " in told
        assert "1 of 2 in " in told
        (relay.folder / "platform.password").unlink()
        assert "the password cannot be read" in await relay.run("check", status=os.EX_CONFIG)


async def test_sendmail(tmp_path: Path) -> None:
    """PHP's mail() calls `sendmail -t -i`; cron gives the recipient."""
    message = b"To: b@example.org, c@example.org\nBcc: d@example.org\nFrom: cron@example.com\nSubject: hi\n\n.\nafter\n"
    async with running(tmp_path) as (relay, smarthost):
        gateway = f"127.0.0.1:{relay.port}"
        await relay.run("sendmail", "-t", "-i", stdin=message, SMTPRELAY_GATEWAY=gateway)
        await relay.run(
            "sendmail",
            "-fcron@example.com",
            "-oi",
            "e@example.org",
            stdin=b"Subject: x\n\ny\n",
            SMTPRELAY_GATEWAY=gateway,
        )
        await relay.run("sendmail", stdin=message, status=64, SMTPRELAY_GATEWAY=gateway)
        stranger = b"From: a@nowhere.test\n\nx\n"
        refused = await relay.run("sendmail", "b@example.org", stdin=stranger, status=65, SMTPRELAY_GATEWAY=gateway)
        first, second = sorted(await smarthost.wait_for(2), key=lambda message: message.received_at)
    assert set(first.recipients) == {"b@example.org", "c@example.org", "d@example.org"}
    assert b"d@example.org" not in first.content
    assert b"after" in first.content
    assert set(second.recipients) == {"e@example.org"}
    assert second.envelope_from == "cron@example.com"
    assert "nowhere.test is not among the domains that may send here" in refused
    await relay.run("sendmail", "b@example.org", stdin=message, status=75, SMTPRELAY_GATEWAY=gateway)


async def test_sendmail_at_a_port_for_tls_alone(tmp_path: Path) -> None:
    """The fault: nothing but "Connection unexpectedly closed" was said of it."""
    async with Smarthost(Rule("GREETING", DROP)) as host:  # as one ends where no handshake comes
        told = await make_relay(tmp_path, 1).run(
            "sendmail", "b@example.org", stdin=b"x\n", status=75, SMTPRELAY_GATEWAY=f"127.0.0.1:{host.port}"
        )
    assert "a port for TLS alone ([gateway] listen_tls) is none for sendmail" in told


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_sendmail_says_how_it_is_called(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The fault: it was taken for an option that is not known, and nothing named the variable."""
    assert sendmail.main([option]) == os.EX_OK
    told = capsys.readouterr().out
    assert told.startswith("usage: smtprelay sendmail ")
    assert all(f"\n  {word} " in told for word in ("-t", "-i, -oi", "-f SENDER", "-F NAME"))
    assert "$SMTPRELAY_GATEWAY (HOST:PORT), or at 127.0.0.1:2525" in told


@pytest.mark.parametrize("option", ["--foo", "-Z", "-Zfoo"])
def test_sendmail_names_the_option_that_it_does_not_know(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The fault: "-- is not known"."""
    assert sendmail.main([option]) == os.EX_USAGE
    assert capsys.readouterr().err.startswith(f"sendmail: {option} is not known\nusage: ")


def test_sendmail_takes_a_count_of_hops_for_no_call_for_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x\n")))
    assert sendmail.main(["-h", "3"]) == os.EX_USAGE
    assert "no recipients" in capsys.readouterr().err


def test_sendmail_prints_records_that_can_be_pasted() -> None:
    reply = b'5.7.23 Publish:\n5.7.23 example.com. IN TXT "v=spf1 -all"'
    assert sendmail._text(reply) == '5.7.23 Publish:\nexample.com. IN TXT "v=spf1 -all"'
    assert sendmail._text(b"No\nNo way") == "No\nNo way"


async def test_sendmail_keeps_dots_and_takes_addresses_of_any_script(tmp_path: Path) -> None:
    """PHP and cron end lines with <LF>; smtplib doubles the dots behind them, and nobody took those back."""
    message = "From: cron@example.com\nSubject: hi\n\n.hidden\n..two\n.\nend\n"
    async with running(tmp_path, extensions=["SMTPUTF8"]) as (relay, smarthost):
        gateway = f"127.0.0.1:{relay.port}"
        await relay.run("sendmail", "-i", "用户@例子.cn", stdin=message.encode(), SMTPRELAY_GATEWAY=gateway)
        await relay.run("sendmail", "b\udcff@example.org", stdin=b"x", status=65, SMTPRELAY_GATEWAY=gateway)
        [sent] = await smarthost.wait_for(1)
    assert set(sent.recipients) == {"用户@xn--fsqu00a.cn"}
    assert sent.content.endswith(b"\r\n\r\n.hidden\r\n..two\r\n.\r\nend\r\n")


async def test_a_link_named_sendmail_is_sendmail(tmp_path: Path) -> None:
    """cron and mailx start /usr/sbin/sendmail with its own options, and cannot put a word before them."""
    link = tmp_path / "sendmail"
    link.symlink_to(Path(sys.executable).with_name("smtprelay"))
    async with running(tmp_path) as (relay, smarthost):
        gateway = f"127.0.0.1:{relay.port}"
        relay.entry = (str(link),)
        await relay.run("-i", "-f", "cron@example.com", "b@example.org", stdin=b"x\n", SMTPRELAY_GATEWAY=gateway)
        [sent] = await smarthost.wait_for(1)
    assert set(sent.recipients) == {"b@example.org"}


def test_an_address_without_a_domain_is_completed_as_debians_mtas_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cron writes from root to root; Debian Policy §11.6."""
    monkeypatch.setattr(sendmail, "MAILNAME", str(tmp_path / "mailname"))
    assert sendmail.qualified("root") == f"root@{socket.getfqdn()}"
    (tmp_path / "mailname").write_text("example.com\n")
    assert sendmail.qualified("root") == "root@example.com"
    assert sendmail.qualified("a@example.org") == "a@example.org"


async def test_hash_password_and_keygen(tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, _):
        assert (await relay.run("hash-password", stdin=b"secret\n")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        made = json.loads(await relay.run("dkim", "keygen", "example.com", "--selector", "new", "--json"))
        assert made["name"] == "new._domainkey.example.com"
        assert stat.S_IMODE(Path(made["file"]).stat().st_mode) == 0o600
        await relay.run("nonsense", status=64)


async def test_what_is_asked_on_a_terminal_is_no_part_of_the_hash() -> None:
    """As in `password_hash = "%s"` of docs/sandbox.md: the questions went into the configuration."""
    ours, theirs = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smtprelay", "hash-password",
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert process.stderr
        for _ in range(2):
            await asyncio.wait_for(process.stderr.readuntil(b": "), 30)
            os.write(ours, b"secret\n")
        said, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        os.close(ours)
        os.close(theirs)
    assert said.startswith(b"$argon2id$")

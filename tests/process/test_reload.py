"""SIGHUP to the real daemon: what follows, what stays, and that nobody is disturbed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from smtprelay.instructions import Instructions, write_fields
from smtprelay.sandbox.smarthost import Rule, Smarthost
from smtprelay.signing import generate_key, load_key
from tests.gateway.wire import PASSWORD_HASH
from tests.process.relay import ACCOUNT, ACCOUNTS, PATIENCE, PLATFORM, make_relay, running
from tests.process.reloading import (
    MESSAGE,
    REFUSED,
    Manager,
    auth,
    certificate,
    client,
    edit,
    free_port,
    logged_in,
    refused,
    reload,
    sent,
)
from tests.process.test_status import get
from tests.process.test_templates import write_template
from tests.verifiers import dkimpy_verify

pytestmark = pytest.mark.slow

NOBODY_TRUSTED = "trusted_networks = []"
OTHER = ACCOUNTS.replace(ACCOUNT, "other@example.com")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


async def test_a_reload_that_is_asked_for_before_the_daemon_can_is_made_once_it_is_ready(tmp_path: Path) -> None:
    """The fault: the signal ended it, without a word in the log."""
    async with Smarthost() as smarthost:
        relay = make_relay(tmp_path, smarthost.port)
        file = tmp_path / "config.toml"
        text = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
        await relay.launch()
        pipe = await _reader_came(file)  # it waits for its configuration
        relay.signal(signal.SIGHUP)
        file.unlink()
        file.write_bytes(text.replace(b"[log]", b'[log]\nlevel = "nonsense"'))
        os.write(pipe, text)
        os.close(pipe)
        await relay.logged("ready")
        await relay.logged(REFUSED)
        assert await relay.stop() == 0


async def _reader_came(pipe: Path) -> int:
    """The end of a named pipe to write to, once somebody has opened the other."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                await asyncio.sleep(0.01)


async def test_accounts_follow_and_an_open_session_of_a_removed_one_sends_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, gateway=NOBODY_TRUSTED) as (relay, smarthost):
        async with client(relay.port) as removed, client(relay.port) as in_the_middle:
            for app in (removed, in_the_middle):
                await logged_in(app)
            await sent(removed)
            await in_the_middle.ask(f"MAIL FROM:<{ACCOUNT}>", "250 ")
            await in_the_middle.ask("RCPT TO:<b@example.org>", "250 ")
            await in_the_middle.ask("DATA", "354 ")
            await in_the_middle.say("From: app@example.com\r\n")
            await reload(relay, (ACCOUNTS, OTHER))
            await in_the_middle.ask("Subject: begun before\r\n\r\nx\r\n.", "250 ")  # what has begun ends well
            for app in (removed, in_the_middle):
                await app.ask(f"MAIL FROM:<{ACCOUNT}>", f"530 5.7.0 Account {ACCOUNT} is gone")
                await app.ask(f"MAIL FROM:<{ACCOUNT}>", "530 5.7.0 Log in")
            await removed.ask(auth(ACCOUNT), "535 ")  # it was remembered
        async with client(relay.port) as app:
            await logged_in(app, "other@example.com")
            await sent(app)
        await smarthost.wait_for(3)


async def test_a_password_that_was_changed_ends_what_was_logged_in_with_the_old_one(tmp_path: Path) -> None:
    other = PASSWORD_HASH[:-4] + ("AAAA" if PASSWORD_HASH[-4:] != "AAAA" else "BBBB")
    async with running(tmp_path, gateway=NOBODY_TRUSTED) as (relay, _), client(relay.port) as app:
        await logged_in(app)
        await sent(app)
        await reload(relay, (PASSWORD_HASH, other))
        await app.ask(f"MAIL FROM:<{ACCOUNT}>", "530 5.7.0 ")
        await app.ask(auth(ACCOUNT), "535 ")


async def test_limits_senders_and_trust_follow(tmp_path: Path) -> None:
    async with running(tmp_path, gateway=NOBODY_TRUSTED) as (relay, _), client(relay.port) as app:
        await logged_in(app)
        for _ in range(2):
            await sent(app)
        await reload(relay, ("senders = ", "recipients_per_day = 3\nsenders = "))
        first, second = await sent(app), await sent(app)  # the third and the fourth today
        await relay.settled(held=1)
        assert (await relay.json("queue", "show", second))["recipients"][0]["reason"] == "recipients_per_day"
        assert (await relay.json("queue", "show", first))["recipients"][0]["reason"] == ""
        await reload(relay, ('senders = ["*@example.com"]', 'senders = ["other@example.com"]'))
        await app.ask(f"MAIL FROM:<{ACCOUNT}>", "550 5.7.1 ")
        async with client(relay.port) as stranger:
            await stranger.ask(f"MAIL FROM:<{ACCOUNT}>", "530 ")
            await reload(relay, (NOBODY_TRUSTED, 'max_message_size = "1KiB"'))
            await stranger.ask(f"MAIL FROM:<{ACCOUNT}> SIZE=2000", "552 5.3.4 ")
            await stranger.ask("EHLO app.test", r"(?s).*SIZE 1024")
            await sent(stranger)


async def test_a_password_that_was_mended_has_the_mail_flow_within_seconds(tmp_path: Path) -> None:
    """Without the reload the credential would be tried again after five minutes."""
    async with running(tmp_path) as (relay, smarthost), client(relay.port) as app:
        await sent(app)
        await smarthost.wait_for(1)
        smarthost.credentials = {"news@example.com": "another"}
        smarthost.drop_connections()
        for _ in range(5):
            await sent(app)
        await relay.logged("the smarthost refuses this credential; its mail waits. Check username and password")
        await reload(relay, ('"1s"', '"2s"'))  # nothing of the credential: it is not tried
        assert len(smarthost.messages) == 1
        (tmp_path / "platform.password").write_text("wrong still\n")
        refusals = sum(line["event"].startswith("the smarthost refuses") for line in relay.log)
        await reload(relay)
        await relay.logged(
            "the smarthost refuses this credential; its mail waits. Check username and password", count=refusals + 1
        )
        (tmp_path / "platform.password").write_text("another\n")
        await reload(relay)
        async with asyncio.timeout(10):
            await smarthost.wait_for(6)


async def test_a_credential_that_is_removed_has_its_mail_wait_until_it_is_back(tmp_path: Path) -> None:
    async with running(tmp_path, Rule("MAIL", "451 4.3.0 Later", times=1)) as (relay, smarthost):
        async with client(relay.port) as app:
            message_id = await sent(app)
            await relay.logged("attempt", status="deferred")
            await reload(relay, ('name = "news"', 'name = "bulk"'))
            await sent(app)  # goes by the new one
        await smarthost.wait_for(1)
        assert (await relay.json("queue", "show", message_id))["recipients"][0]["state"] == "queued"
        await reload(relay, ('name = "bulk"', 'name = "news"'))
        await smarthost.wait_for(2)


@asynccontextmanager
async def slow_line(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A line to a smarthost, and what has to be set for its words to come through."""
    clear = asyncio.Event()
    clear.set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event | None) -> None:
        with suppress(ConnectionError):
            while octets := await reader.read(2**16):
                if gate:
                    await gate.wait()
                writer.write(octets)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.wait(
            [asyncio.create_task(carry(reader, back, None)), asyncio.create_task(carry(there, writer, clear))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for end in (back, writer):
            end.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], clear
    finally:
        server.close()


async def test_a_delivery_in_flight_goes_on_and_the_next_one_takes_the_new_way(tmp_path: Path) -> None:
    async with (
        running(tmp_path, timeout="30s") as (relay, old),
        Smarthost(credentials=PLATFORM) as new,
        slow_line(old.port) as (port, clear),
    ):
        await reload(relay, (f"port = {old.port}", f"port = {port}"))
        async with client(relay.port) as app:
            await sent(app, recipient="first@example.org")
            await relay.logged("attempt", status="delivered")
            clear.clear()
            await sent(app, recipient="second@example.org")
            async with asyncio.timeout(10):
                while sum(command.startswith("MAIL") for command in old.commands) < 2:
                    await asyncio.sleep(0.01)
            await reload(relay, (f"port = {port}", f"port = {new.port}"))
            await sent(app, recipient="third@example.org")
            [received] = await new.wait_for(1)
            assert list(received.recipients) == ["third@example.org"]
            clear.set()
            await old.wait_for(2)
            assert (await relay.settled(delivered=3))["queued"] == 0
            async with asyncio.timeout(10):
                while old.sessions:  # nobody needs its connections any more
                    await asyncio.sleep(0.01)


async def test_a_delivery_in_flight_whose_message_has_not_left_is_kept_by_the_sandbox(tmp_path: Path) -> None:
    async with running(tmp_path, timeout="30s") as (relay, smarthost), slow_line(smarthost.port) as (port, clear):
        await reload(relay, (f"port = {smarthost.port}", f"port = {port}"))
        async with client(relay.port) as app:
            clear.clear()
            await sent(app)
            async with asyncio.timeout(10):
                while not smarthost.connections:
                    await asyncio.sleep(0.01)
            await reload(relay, ("[upstream]", '[upstream]\nmode = "sandbox"'))
            clear.set()
            await relay.logged("attempt", status="deferred")
            await relay.run("queue", "retry", "--all")
            await relay.settled(captured=1)
        assert smarthost.messages == []


def put_to_use(folder: Path, name: str) -> None:
    """As a client of a certificate authority does it: the file's name stays."""
    for suffix in ("pem", "key"):
        (folder / f"{name}.{suffix}").replace(folder / f"tls.{suffix}")


async def test_a_certificate_that_was_replaced_is_shown_and_sessions_under_the_old_one_go_on(tmp_path: Path) -> None:
    first, second = certificate(tmp_path, "first"), certificate(tmp_path, "second")
    put_to_use(tmp_path, "first")
    gateway = 'listen_tls = ["127.0.0.1:0"]\ntls_certificate = "tls.pem"\ntls_key = "tls.key"'
    async with running(tmp_path, gateway=gateway) as (relay, smarthost):
        ready = await relay.logged("ready")
        ports = [int(address.rpartition(":")[2]) for address in ready["listen"]]
        async with client(ports[1], ssl=first) as implicit, client(ports[0]) as plain:
            await sent(implicit)
            put_to_use(tmp_path, "second")
            await reload(relay)
            await sent(implicit)
            await plain.ask("STARTTLS", "220 ")  # it connected before
            await plain.writer.start_tls(second, server_hostname="127.0.0.1")
            await plain.ask("EHLO app.test", "250")
            await sent(plain)
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", ports[1], ssl=first)
            async with client(ports[1], ssl=second) as app:
                await sent(app)
        await smarthost.wait_for(4)


async def test_addresses_are_opened_and_closed_and_others_are_not_touched(tmp_path: Path) -> None:
    new = free_port()
    async with running(tmp_path) as (relay, smarthost):
        old = relay.port
        async with client(old) as stays:
            await reload(relay, ('listen = ["127.0.0.1:0"]', f'listen = ["127.0.0.1:0", "127.0.0.1:{new}"]'))
            async with client(new) as leaves, client(old):
                await reload(relay, (f', "127.0.0.1:{new}"', ""))
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", new)
                await sent(leaves)
            await sent(stays)
            async with client(old) as app:
                await sent(app)
        await smarthost.wait_for(3)


async def test_an_address_that_changes_to_tls_is_not_closed_for_a_moment(tmp_path: Path) -> None:
    trusting = certificate(tmp_path, "tls")
    port = free_port()
    async with running(tmp_path, port=str(port)) as (relay, smarthost):
        tls = f'listen = []\nlisten_tls = ["127.0.0.1:{port}"]\ntls_certificate = "tls.pem"\ntls_key = "tls.key"'
        await reload(relay, (f'listen = ["127.0.0.1:{port}"]', tls))
        async with client(port, ssl=trusting) as app:
            await sent(app)
            await reload(relay, (tls, f'listen = ["127.0.0.1:{port}"]'))
            async with client(port) as plain:
                await sent(plain)
            await sent(app)
        await smarthost.wait_for(3)


async def test_the_status_server_follows(tmp_path: Path) -> None:
    port = free_port()
    async with running(tmp_path) as (relay, _):
        [before] = (await relay.logged("ready"))["status"]
        assert (await get(before, "/healthz"))[0] == 200
        await reload(relay, ('\nlisten = "127.0.0.1:0"', f'\nlisten = "127.0.0.1:{port}"'))
        assert (await get(f"127.0.0.1:{port}", "/healthz"))[0] == 200
        async with asyncio.timeout(10):
            while True:
                try:
                    await get(before, "/healthz")
                except (ConnectionError, IndexError):
                    break
        await reload(relay, (f'listen = "127.0.0.1:{port}"', "listen = []"))
        await relay.json("queue", "stats")


async def test_keys_domains_and_templates_follow(tmp_path: Path) -> None:
    write_template(tmp_path, "hello", subject_j2="old", body_txt_j2="x")
    write_template(tmp_path / "elsewhere", "hello", subject_j2="new", body_txt_j2="x")
    pem = generate_key("rsa", 1024)
    (tmp_path / "new.pem").write_bytes(pem)
    key = load_key(pem, "example.com", "new")
    by_template = MESSAGE.replace("Subject: x\r\n", write_fields(Instructions("hello")).decode())
    async with running(tmp_path) as (relay, smarthost), client(relay.port) as app:
        await sent(app, by_template)
        await app.ask("MAIL FROM:<a@example.net>", "550 5.7.1 ")
        await reload(
            relay,
            ('selector = "relay0"\nfile = "relay0.pem"', 'selector = "new"\nfile = "new.pem"'),
            ("[status]", '[[domains]]\nname = "example.net"\n[status]'),
            (
                "[log]",
                '[templates]\ndirectory = "elsewhere/templates"\n[signing]\non_missing_key = "send-unsigned"\n[log]',
            ),
        )
        await sent(app, by_template)
        await app.ask("MAIL FROM:<a@example.net>", "250 ")
        before, after = sorted(await smarthost.wait_for(2), key=lambda received: b"Subject: new" in received.content)
        assert b"Subject: old" in before.content
        assert b"Subject: new" in after.content
        assert dkimpy_verify(before.content, relay.records) == [True]
        assert dkimpy_verify(after.content, {key.record_name: key.record}) == [True]


async def test_the_log_follows(tmp_path: Path, manager: Manager) -> None:
    async with running(tmp_path) as (relay, _), client(relay.port) as app:
        await manager.hears("READY=1")
        await reload(relay, ('format = "json"', 'format = "json"\naddresses = "masked"'))
        await sent(app)
        assert (await relay.logged("attempt"))["recipient"] == "b***@example.org"
        await manager.hears("READY=1")
        seen = len(relay.log)
        edit(relay, ('format = "json"', 'format = "json"\nlevel = "error"'))
        relay.signal(signal.SIGHUP)
        await manager.hears("READY=1")
        await sent(app)
        await refused(relay, ("[log]", "[logg]"))  # an error, and the first line since
        assert {line["event"] for line in relay.log[seen:]} <= {REFUSED, "problem"}


FAULTS = [
    (("[spool]", "[spool"), "TOML: "),
    (("[spool]", "[spoool]"), "spoool: this key is not known"),
    (('file = "relay0.pem"', 'file = "missing.pem"'), "missing.pem"),
    (('file = "platform.password"', 'file = "missing.password"'), "missing.password"),
    (('hostname = "', 'tls_certificate = "relay0.pem"\ntls_key = "relay0.pem"\nhostname = "'), "tls_certificate"),
    (("[upstream]", '[upstream]\ntls_ca_file = "missing.pem"'), "tls_ca_file"),
    (('listen = ["127.0.0.1:0"]', 'listen = ["127.0.0.1:0", "127.0.0.1:{taken}"]'), "cannot listen on"),
    (('\nlisten = "127.0.0.1:0"', '\nlisten = "127.0.0.1:{taken}"'), "cannot listen on"),
    (("[status]", '[[domains]]\nname = "keyless.example"\n[status]'), "keyless.example"),
]


async def test_a_configuration_with_a_fault_changes_nothing(tmp_path: Path, manager: Manager) -> None:
    """Other accounts come with it, and they are not known."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with running(tmp_path, gateway=NOBODY_TRUSTED) as (relay, smarthost), client(relay.port) as stays:
            good = (tmp_path / "config.toml").read_text()
            await logged_in(stays)
            for (old, new), words in FAULTS:
                (tmp_path / "config.toml").write_text(good)
                new = new.replace("{taken}", str(taken.getsockname()[1]))
                assert words in await refused(relay, (ACCOUNTS, OTHER), (old, new))
                assert words in await manager.hears("READY=1\nSTATUS=The new configuration is refused")
                await sent(stays)
            async with client(relay.port) as app:
                await app.ask(auth("other@example.com"), "535 ")
                await logged_in(app)
                await sent(app)
            (tmp_path / "config.toml").write_text(good)
            await reload(relay, (ACCOUNTS, OTHER))
            await manager.hears("READY=1\nSTATUS=Listening on 127.0.0.1")
            async with client(relay.port) as app:
                await logged_in(app, "other@example.com")
            await smarthost.wait_for(len(FAULTS) + 1)


async def test_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    faults = [('file = "relay0.pem"', 'file = "missing.pem"'), ('"platform.password"', '"missing.password"')]
    async with running(tmp_path) as (relay, _):
        first = await refused(relay, *faults)
        second = (await relay.logged(REFUSED, count=2))["problem"]
        assert "missing.password" in first
        assert "missing.pem" in second


async def test_what_counts_from_the_next_start_is_told_and_the_rest_is_done(tmp_path: Path) -> None:
    async with running(tmp_path, gateway=NOBODY_TRUSTED) as (relay, smarthost):
        await reload(
            relay, ("spool.db", "other.db"), ("control.sock", "other.sock"), (NOBODY_TRUSTED, "max_recipients = 1")
        )
        for key in ("[spool] url", "[status] control"):
            await relay.logged("this counts from the next start", key=key)
        async with client(relay.port) as app:
            message_id = await sent(app)
        await smarthost.wait_for(1)
        assert not (tmp_path / "other.db").exists()
        edit(relay, ("other.sock", "control.sock"))
        assert (await relay.json("queue", "show", message_id))["id"] == message_id

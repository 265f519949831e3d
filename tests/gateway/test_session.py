"""Dialogues at the wire: what legacy clients do, and what strict ones expect."""

from __future__ import annotations

import asyncio
import base64
import gc
import re
import socket
import ssl
import struct
import time
import weakref
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any

import pytest
import structlog
import trustme
from aiosmtpd.smtp import SMTP, AuthResult
from structlog.testing import capture_logs

from smtprelay import connections, log
from smtprelay.config import Gateway, Log
from smtprelay.gateway import session
from smtprelay.pipeline import Accepted
from smtprelay.preparation import Submission
from smtprelay.reply import Defer, Reject
from smtprelay.suppression import NotSentTo
from tests.gateway.wire import PASSWORD, Client, FakePipeline, Server, refused, serving


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


USER, SECRET = b64("app"), b64(PASSWORD)
PLAIN = b64(f"\0app\0{PASSWORD}")
MAIL, RCPT = "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>"
BODY = "Subject: hi\r\n\r\nHello\r\n."
TRUSTING = {"trusted_networks": ["127.0.0.0/8"]}

# (what the client says or None, what it then hears or None)
Dialogue = Sequence[tuple[str | bytes | None, str | None]]
LOGGED_IN: Dialogue = [(None, "220 "), ("EHLO app", "250"), (f"AUTH PLAIN {PLAIN}", "235")]
SENT: Dialogue = [(MAIL, "250"), (RCPT, "250"), ("DATA", "354"), (BODY, "250")]

FAULTS_OF_STOCK: dict[str, Dialogue] = {
    "AUTH after HELO is not known": [
        (None, "220"),
        ("HELO app", "250 "),
        (f"AUTH LOGIN {USER}", "334"),
        (SECRET, "235"),
    ],
    "AUTH's mechanism must be in upper case": [(None, "220"), ("EHLO app", "250"), (f"auth plain {PLAIN}", "235")],
    "AUTH LOGIN asks for 'User Name\\0'": [
        (None, "220"),
        ("EHLO app", "250"),
        ("AUTH LOGIN", f"334 {b64('Username:')}$"),
        (USER, f"334 {b64('Password:')}$"),
        (SECRET, "235"),
    ],
    "failed log-ins are not counted": [
        (None, "220"),
        ("EHLO app", "250"),
        *[(f"AUTH PLAIN {b64('.app.wrong'.replace('.', chr(0)))}", "535 5.7.8")] * 3,
        ("NOOP", "END"),
    ],
    "cancelled log-ins are not counted": [
        (None, "220"),
        ("EHLO app", "250"),
        *[("AUTH LOGIN", "334"), ("*", "501 5.7.0")] * 3,
        ("NOOP", "END"),
    ],
    "DSN parameters are refused": [
        *LOGGED_IN,
        (f"{MAIL} RET=HDRS ENVID=Ab", "250"),
        (f"{RCPT} NOTIFY=SUCCESS ORCPT=rfc822;B@example.org", "250"),
    ],
    "AUTH= in MAIL is refused (RFC 4954 §5)": [*LOGGED_IN, (f"{MAIL} AUTH=<>", "250")],
    "EHLO offers too little": [(None, "220"), ("EHLO app", r"(?s)250-.*PIPELINING.*DSN.*ENHANCEDSTATUSCODES")],
    "replies lack enhanced codes": [
        *LOGGED_IN,
        (MAIL, r"250 2\.1\.0"),
        ("RSET", r"250 2\.0\.0"),
        ("XYZ", r"500 5\.5\.2"),
    ],
    "an early body is taken for commands": [
        *LOGGED_IN,
        (f"{MAIL}\r\nRCPT TO:<>\r\nDATA\r\nMAIL FROM:<x@example.com>\r\n.", "250"),
        (None, "501"),
        (None, "354"),
        (None, r"554 5\.5\.1"),
        (MAIL, "250"),
    ],
    "a line of more than 999 octets is refused": [
        *LOGGED_IN,
        *SENT[:3],
        (b"Subject: x\r\n\r\n" + b"x" * 100_000 + b"\r\n.", "250"),
    ],
    "too many recipients are taken": [
        *LOGGED_IN,
        (MAIL, "250"),
        *[(f"RCPT TO:<b{i}@example.org>", "250") for i in range(5)],
        (RCPT, r"452 4\.5\.3"),
    ],
    "an exception is answered with 500 and its text": [
        *LOGGED_IN,
        (MAIL, "250"),
        ("RCPT TO:<fail@example.org>", r"451 4\.3\.0 Internal"),
        (MAIL, "250"),
    ],
    "an address without its bracket is taken": [*LOGGED_IN, ("MAIL FROM:<a@example.com SIZE=1", "501")],
    "a browser's request is answered like a typing error": [
        (None, "220"),
        ("GET / HTTP/1.1", "421 4.7.0"),
        (None, "END"),
    ],
    "VRFY tells an address": [*LOGGED_IN, ("VRFY <b@example.org>", r"252 2\.5\.0")],
}


async def converse(client: Client, dialogue: Dialogue) -> None:
    for words, pattern in dialogue:
        if words is not None:
            await client.say(words)
        if pattern == "END":
            await client.hear_end()
        elif pattern is not None:
            await client.hear(pattern)


class FailingPipeline(FakePipeline):
    """One recipient makes it break."""

    async def check_recipient(self, reverse_path: str, recipient: Any) -> Any:
        if recipient.address.startswith("fail@"):
            raise RuntimeError("disk full: /var/spool/secret")
        return recipient


@pytest.mark.parametrize("fault", FAULTS_OF_STOCK)
async def test_gateway_mends(fault: str) -> None:
    async with serving({"max_recipients": 5}, pipeline=FailingPipeline()) as server, server.client("") as client:
        await converse(client, FAULTS_OF_STOCK[fault])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", FAULTS_OF_STOCK)
async def test_stock_aiosmtpd_has_the_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one of these fails, aiosmtpd has mended it: look whether our own code is still needed."""
    monkeypatch.setattr("tests.gateway.wire.PATIENCE", 1.0)

    class Handler:
        async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
            if address.startswith("fail@"):
                raise RuntimeError("disk full: /var/spool/secret")
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, *_: Any) -> str:
            return "250 OK"

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    loop = asyncio.get_running_loop()
    stock = await loop.create_server(
        lambda: SMTP(Handler(), hostname="stock.test", auth_require_tls=False, authenticator=authenticate),
        "127.0.0.1",
        0,
    )
    async with stock:
        client = Client(*await asyncio.open_connection(*stock.sockets[0].getsockname()[:2]))
        with pytest.raises((AssertionError, TimeoutError, ConnectionError)):
            await converse(client, FAULTS_OF_STOCK[fault])
        await client.close()


# Who may send


async def test_a_stranger_must_log_in() -> None:
    async with serving() as server, server.client() as client:
        await client.ask("EHLO app", "250")
        await client.ask(MAIL, r"530 5\.7\.0")


async def test_a_trusted_client_need_not() -> None:
    async with serving(TRUSTING) as server, server.client() as client:
        await converse(client, [("HELO app", "250 "), *SENT])
        [taken] = server.pipeline.taken
    assert (taken.origin.client, taken.origin.account, taken.origin.protocol) == ("127.0.0.1", "", "SMTP")


async def test_the_refusal_of_an_account_that_is_gone_names_it_in_the_log() -> None:
    """The session had forgotten it by then: nobody could tell which app has to be given the new password."""
    with capture_logs() as entries:
        async with serving() as server, server.client("") as client:
            await converse(client, LOGGED_IN)
            server.listeners.use(Gateway(hostname="relay.test", trusted_networks=()), None)
            await client.ask(MAIL, r"530 5\.7\.0 Account app is gone")
    [refusal] = [entry for entry in entries if entry["event"] == "refused"]
    assert refusal["account"] == "app"


@pytest.mark.parametrize(
    ("step", "lines"),
    [
        ("check_sender", [(f"{MAIL} SIZE=9", "550 ")]),
        ("check_recipient", [(MAIL, "250 "), (RCPT, "550 ")]),
        ("submit", [*SENT[:3], (BODY, "550 ")]),
    ],
)
async def test_the_log_tells_whose_mail_was_refused(step: str, lines: Dialogue) -> None:
    """It did so at RCPT alone: at MAIL the session knew of no message yet, and after the dot of none any more."""
    with capture_logs() as entries:
        async with serving(pipeline=refused(Reject(550, "7.1", "No"), step)) as server, server.client("") as client:
            await converse(client, [*LOGGED_IN, *lines])
    [refusal] = [entry for entry in entries if entry["event"] == "refused"]
    assert refusal["reverse_path"] == "a@example.com"
    assert refusal.get("recipient") == ("b@example.org" if step == "check_recipient" else None)


async def test_a_recipient_that_cannot_be_read_is_not_in_the_log() -> None:
    with capture_logs() as entries:
        async with serving() as server, server.client("") as client:
            await converse(client, [*LOGGED_IN, (MAIL, "250 "), ("RCPT TO:<b@>", "501 ")])
    [refusal] = [entry for entry in entries if entry["event"] == "refused"]
    assert (refusal["reverse_path"], "recipient" in refusal) == ("a@example.com", False)


@pytest.mark.parametrize("command", ["MAIL FROM:app@", "MAIL app@example.com", "RCPT TO:<b@example.org>"])
async def test_where_no_sender_can_be_read_the_log_tells_none(command: str) -> None:
    with capture_logs() as entries:
        async with serving() as server, server.client("") as client:
            await converse(client, [*LOGGED_IN, (command, "50")])
    [refusal] = [entry for entry in entries if entry["event"] == "refused"]
    assert refusal["reverse_path"] is None


async def test_a_name_at_ehlo_does_nothing_to_a_terminal() -> None:
    async with serving(TRUSTING) as server, server.client() as client:
        await client.ask("EHLO x\x1b[31m\x07\u202ey \xff", "250-")
        await converse(client, SENT)
        [taken] = server.pipeline.taken
    assert taken.origin.helo.startswith("x?[31m??y")
    assert taken.origin.helo.isprintable()


async def test_no_password_crosses_an_untrusted_network_in_plaintext() -> None:
    async with serving({"plaintext_auth_networks": []}) as server, server.client() as client:
        assert "AUTH" not in await client.ask("EHLO app", "250")
        await client.ask(f"AUTH PLAIN {PLAIN}", r"538 5\.7\.11")


@pytest.mark.parametrize("method", ["check_sender", "check_recipient", "submit"])
async def test_a_refusal_reaches_the_client_and_the_session_goes_on(method: str) -> None:
    pipeline = refused(Reject(550, "7.1", "Not you"), method)
    replies = {"check_sender": 0, "check_recipient": 1, "submit": 3}
    async with serving(pipeline=pipeline) as server, server.client("") as client:
        step = replies[method]
        await converse(client, [*LOGGED_IN, *SENT[:step], (SENT[step][0], r"550 5\.7\.1 Not you")])
        pipeline.refusal.clear()
        await converse(client, [("RSET", "250"), *SENT])


async def test_a_full_disk_is_452() -> None:
    async with (
        serving(pipeline=refused(Defer(452, "3.1", "full"), "check_sender")) as server,
        server.client("") as client,
    ):
        await converse(client, [*LOGGED_IN, (MAIL, r"452 4\.3\.1")])


async def test_a_refusal_is_one_line_for_helo_and_several_for_ehlo() -> None:
    pipeline = refused(Reject(550, "7.1", "First\nSecond"), "check_sender")
    async with serving(TRUSTING, pipeline=pipeline) as server, server.client() as client:
        await client.ask("HELO app", "250 ")
        await client.ask(MAIL, r"550 5\.7\.1 First Second$")
        await client.ask("EHLO app", "250-")
        await client.ask(MAIL, r"550-5\.7\.1 First\n550 5\.7\.1 Second$")


# Order of commands, and limits


@pytest.mark.parametrize(
    ("dialogue", "reply"),
    [
        ([], (MAIL, r"503 5\.5\.1")),
        ([("EHLO app", "250")], ("EHLO", r"501 5\.5\.4")),
        ([("EHLO app", "250")], ("AUTH CRAM-MD5", r"504 5\.5\.4")),
        ([("EHLO app", "250")], ("AUTH PLAIN !!!", r"501 5\.5\.2")),
        ([("EHLO app", "250")], (f"AUTH PLAIN {b64('only-two')}", r"501 5\.5\.2")),
        ([("EHLO app", "250")], ("AUTH PLAIN " + "x" * 3000, r"500 5\.5\.2")),
        ([("EHLO app", "250")], ("STARTTLS", r"502 5\.5\.1")),
        ([("EHLO app", "250")], ("EXPN list", r"502 5\.5\.1")),
        ([("EHLO app", "250")], (b"NOOP " + b"x" * 5000, r"500 5\.5\.2")),
        ([("EHLO app", "250")], (b"HELO \xb5\xe7\xc4\xd4", "250 ")),
        (LOGGED_IN[1:], (RCPT, r"503 5\.5\.1")),
        (LOGGED_IN[1:], (f"AUTH PLAIN {PLAIN}", r"503 5\.5\.1")),
        ([*LOGGED_IN[1:], (MAIL, "250")], (MAIL, r"503 5\.5\.1")),
        (LOGGED_IN[1:], (f"{MAIL} SIZE=2000", r"552 5\.3\.4")),
        (LOGGED_IN[1:], (b"MAIL FROM:<\xb5\xe7@example.com>", r"501 5\.5\.2")),
        (LOGGED_IN[1:], ("HELP", r"214 2\.0\.0")),
        (LOGGED_IN[1:], ("QUIT", r"221 2\.0\.0")),
    ],
)
async def test_reply(dialogue: Dialogue, reply: tuple[str, str]) -> None:
    async with serving({"max_message_size": "1000B"}) as server, server.client() as client:
        await converse(client, [*dialogue, reply])


async def test_a_message_over_the_limit_is_swallowed_and_refused() -> None:
    async with serving({"max_message_size": "1000B"}) as server, server.client("") as client:
        await converse(client, [*LOGGED_IN, *SENT[:3], (b"x" * 200_000 + b"\r\n.", r"552 5\.3\.4"), *SENT])


async def test_a_line_of_a_megabyte_is_no_command() -> None:
    async with serving() as server, server.client() as client:
        await client.ask(b"EHLO " + b"x" * 2**20, r"500 5\.5\.2")
        await client.ask("EHLO app", "250")


async def test_a_client_that_only_plays_is_sent_away() -> None:
    async with serving() as server, server.client() as client:
        await client.say("\r\n".join(["NOOP"] * (session.MAX_IDLE_COMMANDS + 1)))
        for _ in range(session.MAX_IDLE_COMMANDS):
            await client.hear("250")
        await client.hear(r"421 4\.7\.0")
        await client.hear_end()


async def test_an_app_whose_recipients_are_all_not_to_be_sent_to_keeps_its_session() -> None:
    """A refusal is the answer to such a recipient; 421 would have the app take the relay for broken, and those who come
    after them would be sent nothing."""
    nobody = refused(NotSentTo(550, "1.1", "No mail is sent to this address"), "check_recipient")
    async with serving(pipeline=nobody) as server, server.client("") as client:
        await converse(client, [*LOGGED_IN, SENT[0]])
        for _ in range(2 * session.MAX_IDLE_COMMANDS):
            await client.ask("RCPT TO:<a@example.org>", r"550 5\.1\.1")
        for _ in range(session.MAX_IDLE_COMMANDS):
            await converse(client, [("RSET", "250"), SENT[0], ("RCPT TO:<a@example.org>", r"550 5\.1\.1")])
        nobody.refusal.clear()
        await converse(client, SENT[1:])


async def test_data_without_a_recipient_is_no_message() -> None:
    """It would set the count of commands back, and a stranger could play for ever."""
    async with serving() as server, server.client() as client:
        for _ in range(session.MAX_IDLE_COMMANDS):
            await client.ask("DATA", "354")
            await client.ask(".", r"554 5\.5\.1")
        await client.ask("DATA", r"421 4\.7\.0")


async def test_too_many_unknown_commands_end_the_session() -> None:
    async with serving() as server, server.client() as client:
        for _ in range(session.MAX_UNKNOWN):
            await client.ask("WHAT", r"500 5\.5\.2")
        await client.ask("WHAT", r"421 4\.7\.0")
        await client.hear_end()


@pytest.mark.parametrize("limit", [{"max_connections": 2}, {"max_connections_per_client": 2}])
async def test_too_many_connections(limit: dict[str, int]) -> None:
    async with serving(limit) as server, server.client(), server.client(), server.client(r"421 4\.7\.0") as third:
        await third.hear_end()


async def test_a_place_is_free_again_after_a_connection_ends() -> None:
    async with serving({"max_connections": 1}) as server:
        for _ in range(5):
            async with server.client() as client:
                await client.ask("QUIT", "221")
                await client.hear_end()


async def test_silence_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "IDLE", 0.05)
    async with serving() as server, server.client() as client:
        await client.hear(r"421 4\.4\.2")
        await client.hear_end()


async def test_a_client_that_reads_no_replies_does_not_keep_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """close() waits until everything is sent, which here is never."""
    monkeypatch.setattr(session, "IDLE", 0.3)
    monkeypatch.setattr(session, "LINGER", 0.1)
    monkeypatch.setattr(session, "MAX_IDLE_COMMANDS", 10**9)
    loop = asyncio.get_running_loop()
    async with serving({"max_connections": 1}) as server:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, ("127.0.0.1", server.port))
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(5):
                    while True:
                        await loop.sock_sendall(deaf, b"EHLO app\r\n" * 10_000)
            async with server.client():
                pass


async def test_storing_a_message_is_not_the_clients_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """421 there would have the client send a second time what was stored."""
    monkeypatch.setattr(session, "IDLE", 0.2)
    pipeline = FakePipeline(gate=asyncio.Event())
    async with serving(TRUSTING, pipeline=pipeline) as server, server.client("") as client:
        await client.say("\r\n".join(["EHLO app", MAIL, RCPT, "DATA", BODY]))  # at once: it is not silent before
        await pipeline.submitting.wait()
        await asyncio.sleep(0.5)
        for pattern in ["220", "250", "250", "250", "354"]:
            await client.hear(pattern)
        assert pipeline.gate
        pipeline.gate.set()
        await client.hear("250")
        await client.hear(r"421 4\.4\.2")


async def test_strangers_take_no_memory() -> None:
    """DATA is never refused, so that anybody could hold all of it, and no app would hear 354."""
    async with serving({"max_message_size": "40MiB"}) as server, AsyncExitStack() as stack:
        for _ in range(2):
            stranger = await stack.enter_async_context(server.client())
            await stranger.ask("DATA", "354")
            await stranger.say(b"x" * 200_000)
        await asyncio.sleep(0.1)
        app = await stack.enter_async_context(server.client(""))
        await converse(app, [*LOGGED_IN, *SENT])


async def test_a_message_has_the_room_of_the_largest_that_it_may_be() -> None:
    """The fault: a reload between MAIL and DATA had it keep to the one limit, and gave it room by the other."""
    pipeline = FakePipeline(gate=asyncio.Event())
    async with serving({"max_message_size": "40MiB"}, pipeline=pipeline) as server, server.client("") as client:
        await converse(client, [*LOGGED_IN, *SENT[:2]])
        services = server.listeners._services
        server.listeners.use(services.config.model_copy(update={"max_message_size": 4 * 2**20}), None)
        await client.ask("DATA", "354")
        await client.say(b"x" * 200_000 + b"\r\n.")
        await asyncio.wait_for(pipeline.submitting.wait(), 10)
        room = services.memory._used
        assert pipeline.gate
        pipeline.gate.set()
        await client.hear("250")
        assert (room, services.memory._used) == (40 * 2**20, 0)


async def test_memory_is_held_until_the_message_is_stored() -> None:
    """Clients that drop after the dot, and come again, would fill it without end."""
    pipeline = FakePipeline(gate=asyncio.Event())
    async with serving({"max_message_size": "40MiB"}, pipeline=pipeline) as server:
        for _ in range(2):
            pipeline.submitting.clear()
            async with server.client("") as client:
                await converse(client, [*LOGGED_IN, *SENT[:3]])
                await client.say(b"x" * 200_000 + b"\r\n.")
                await pipeline.submitting.wait()
                with socket.fromfd(client.writer.get_extra_info("socket").fileno(), socket.AF_INET, 1) as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no FIN
                client.writer.transport.abort()
                await asyncio.sleep(0.1)
                assert not server.listeners._services.sessions
        async with server.client("") as client:
            await converse(client, [*LOGGED_IN, *SENT[:2]])
            await client.say("DATA")
            answer = asyncio.create_task(client.hear("354"))
            await asyncio.sleep(0.2)
            waited = not answer.done()
            assert pipeline.gate
            pipeline.gate.set()
            await answer
            assert waited


async def test_a_slow_upload_is_not_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock aiosmtpd sets its timer by the command, so that a live upload is cut."""
    monkeypatch.setattr(session, "IDLE", 1.0)
    async with serving(TRUSTING) as server, server.client() as client:
        await converse(client, [("EHLO app", "250"), *SENT[:3]])
        for _ in range(6):
            await client.say("a line")
            await asyncio.sleep(0.2)
        await client.ask(".", "250")


async def test_a_client_that_drips_octets_does_not_keep_its_place_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each octet is a sign of life, so that silence is never noticed."""
    monkeypatch.setattr(session, "MAX_TRANSFER", 0.2)
    async with serving() as server, server.client("") as client:
        await converse(client, [*LOGGED_IN, *SENT[:3]])
        dripping = asyncio.create_task(drip(client))
        await client.hear(r"421 4\.4\.2 The message took longer")
        dripping.cancel()
        assert not server.pipeline.taken


async def drip(client: Client) -> None:
    with suppress(ConnectionError):
        while True:
            await client.say(b"x", end=b"")
            await asyncio.sleep(0.02)


async def test_an_old_session_ends_between_two_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_SESSION", -1.0)
    async with serving() as server, server.client("") as client:
        await client.hear(r"220|421 4\.4\.2")
        await client.hear(r"421 4\.4\.2")
        await client.hear_end()


# Clients that talk ahead


async def test_a_whole_session_in_one_write() -> None:
    """PIPELINING (RFC 2920), and clients that never wait: the body comes without waiting for 354."""
    lines = ["EHLO app", f"AUTH PLAIN {PLAIN}", MAIL, RCPT, "DATA", BODY, MAIL, RCPT, "DATA", BODY, "QUIT"]
    async with serving() as server, server.client("") as client:
        await client.say("\r\n".join(lines))
        for pattern in ["220", "250", "235", *["250", "250", "354", "250"] * 2, "221"]:
            await client.hear(pattern)
        await client.hear_end()
        assert [taken.content for taken in server.pipeline.taken] == [b"Subject: hi\r\n\r\nHello\r\n"] * 2


async def test_the_client_that_is_one_reply_behind() -> None:
    """The platform's PHP sample does not read the greeting: at each step it sees the reply to the step before."""
    steps = [
        "HELO localhost",
        f"AUTH LOGIN {USER}",
        SECRET,
        MAIL,
        RCPT,
        "DATA",
        "Subject: hi\r\n\r\n.hidden\r\nHello\r\n.",
        "QUIT",
    ]
    async with serving() as server, server.client("") as client:
        for step in steps:
            await client.say(step)
            await client.hear("[23]")
        [taken] = server.pipeline.taken
    assert taken.content == b"Subject: hi\r\n\r\n.hidden\r\nHello\r\n"
    assert taken.unstuffed
    assert (taken.origin.account, taken.origin.protocol) == ("app", "ESMTPA")


async def test_bare_line_feeds_end_commands_and_reach_the_pipeline_as_they_are() -> None:
    async with serving() as server, server.client("") as client:
        await converse(client, LOGGED_IN)
        await client.say("\n".join([MAIL, RCPT, "DATA"]), end=b"\n")
        for pattern in ["250", "250", "354"]:
            await client.hear(pattern)
        await client.say(b"a\nb\n.\nc")
        await client.ask(".", "250")
        assert server.pipeline.taken[0].content == b"a\nb\n.\nc\r\n"


async def test_dsn_parameters_keep_their_case() -> None:
    async with serving() as server, server.client("") as client:
        await converse(client, LOGGED_IN)
        await client.ask(f"{MAIL} RET=FULL ENVID=QQ314159+2Bx", "250")
        await client.ask(f"{RCPT} NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@Example.org", "250")
        await converse(client, SENT[2:])
        [taken] = server.pipeline.taken
    assert (taken.envelope.ret, taken.envelope.envid) == ("FULL", "QQ314159+2Bx")
    [recipient] = taken.envelope.recipients
    assert (recipient.notify, recipient.orcpt) == ("SUCCESS,FAILURE", "rfc822;Bob@Example.org")


async def test_a_recipient_named_twice_gets_one_copy() -> None:
    """Apps put the same address into To: and Cc:."""
    async with serving() as server, server.client("") as client:
        await converse(client, [*LOGGED_IN, SENT[0], *[(RCPT, "250")] * 2, ("RCPT TO:<b@EXAMPLE.ORG>", "250")])
        await converse(client, SENT[2:])
        [taken] = server.pipeline.taken
    assert [recipient.address for recipient in taken.envelope.recipients] == ["b@example.org"]


# Clients that leave


async def test_a_client_that_drops_after_the_dot_has_its_message_stored() -> None:
    """Stock aiosmtpd cancels the handler, in the middle of the commit."""
    pipeline = FakePipeline(gate=asyncio.Event())
    async with serving(pipeline=pipeline) as server:
        async with server.client("") as client:
            await converse(client, [*LOGGED_IN, *SENT[:3]])
            await client.say(BODY)
            await pipeline.submitting.wait()
            client.writer.transport.abort()
        assert pipeline.gate
        pipeline.gate.set()
    assert len(pipeline.taken) == 1


async def test_a_client_that_half_closes_is_heard_to_the_end() -> None:
    async with serving() as server, server.client("") as client:
        await client.say("\r\n".join(["EHLO app", f"AUTH PLAIN {PLAIN}", MAIL, RCPT, "DATA", BODY]))
        client.writer.write_eof()
        for pattern in ["220", "250", "235", "250", "250", "354", "250"]:
            await client.hear(pattern)
        await client.hear_end()


async def test_a_client_that_drops_before_the_dot_has_sent_nothing() -> None:
    async with serving() as server:
        async with server.client("") as client:
            await converse(client, [*LOGGED_IN, *SENT[:3]])
            await client.say("Subject: half a message")
        assert not server.pipeline.taken


async def test_a_shutdown_ends_idle_sessions_and_waits_for_messages_under_way() -> None:
    pipeline = FakePipeline(gate=asyncio.Event())
    async with serving(pipeline=pipeline) as server, server.client() as idle, server.client("") as busy:
        await converse(busy, [*LOGGED_IN, *SENT[:3]])
        await busy.say(BODY)
        await pipeline.submitting.wait()
        stopping = asyncio.create_task(server.listeners.stop(grace=10.0))
        await idle.hear(r"421 4\.3\.2")
        assert pipeline.gate
        pipeline.gate.set()
        await busy.hear("250")
        await busy.hear(r"421 4\.3\.2")
        await stopping


async def test_a_shutdown_does_not_wait_for_a_log_in_that_has_begun() -> None:
    """A client that said no more held it up as long as a message under way may."""
    async with serving() as server, server.client() as silent:
        await silent.ask("EHLO app", "250")
        await silent.ask("AUTH LOGIN", "334")
        async with asyncio.timeout(10):
            await server.listeners.stop(grace=60.0)
            await silent.hear(r"421 4\.3\.2")
            await silent.hear_end()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], ssl.SSLContext]:
    authority = trustme.CA()
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("relay.test")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    settings = {"tls_certificate": str(folder / "certificate.pem"), "tls_key": str(folder / "key.pem")}
    return settings, context


async def test_starttls_then_auth(certificate: tuple[dict[str, str], ssl.SSLContext]) -> None:
    settings, context = certificate
    async with serving({**settings, "plaintext_auth_networks": []}) as server, server.client() as client:
        assert "STARTTLS" in await client.ask("EHLO app", "250")
        await client.ask("STARTTLS", r"220 2\.0\.0")
        await client.writer.start_tls(context, server_hostname="relay.test")
        await client.ask(MAIL, r"503 5\.5\.1")  # RFC 3207 §4.2: EHLO was forgotten
        offered = await client.ask("EHLO app", "250")
        assert "AUTH LOGIN PLAIN" in offered
        assert "STARTTLS" not in offered
        await converse(client, [(f"AUTH PLAIN {PLAIN}", "235"), *SENT, ("STARTTLS", r"503 5\.5\.1")])
        assert server.pipeline.taken[0].origin.protocol == "ESMTPSA"


async def test_commands_injected_before_tls_are_dropped(certificate: tuple[dict[str, str], ssl.SSLContext]) -> None:
    """RFC 3207 §6: what an attacker put behind STARTTLS must not be heard under TLS."""
    settings, context = certificate
    async with serving(settings) as server, server.client() as client:
        await client.ask("EHLO app", "250")
        await client.say("STARTTLS\r\nEHLO injected\r\nNOOP")
        await client.hear("220")
        await client.writer.start_tls(context, server_hostname="relay.test")
        await client.ask("RSET", "250")
        await client.ask(MAIL, "503")


async def test_auth_under_implicit_tls(certificate: tuple[dict[str, str], ssl.SSLContext]) -> None:
    """Stock aiosmtpd offers no AUTH there (its issue 281)."""
    settings, context = certificate
    async with (
        serving({**settings, "listen": [], "listen_tls": ["127.0.0.1:0"], "plaintext_auth_networks": []}) as server,
        server.client(ssl=context, server_hostname="relay.test") as client,
    ):
        assert "AUTH" in await client.ask("EHLO app", "250")
        await converse(client, [*LOGGED_IN[2:], *SENT])
        assert server.pipeline.taken[0].origin.protocol == "ESMTPSA"


@pytest.mark.parametrize("drops", [False, True])
async def test_a_failed_handshake_ends_the_session(
    certificate: tuple[dict[str, str], ssl.SSLContext], drops: bool
) -> None:
    """asyncio tells no protocol of the end where TLS never began: its place was never free again."""
    settings, _ = certificate
    async with serving({**settings, "max_connections": 1}) as server:
        async with server.client() as client:
            await client.ask("EHLO app", "250")
            await client.ask("STARTTLS", "220")
            if drops:
                client.writer.transport.abort()
            else:
                await client.say(b"this is no ClientHello at all, and long enough to be seen as none")
                await asyncio.wait_for(client.reader.read(), 10)
        await asyncio.sleep(0.1)
        async with server.client() as another:
            await another.ask("EHLO app", "250")


def smtps(certificate: tuple[dict[str, str], ssl.SSLContext], **settings: Any) -> AbstractAsyncContextManager[Server]:
    return serving({**certificate[0], "listen": [], "listen_tls": ["127.0.0.1:0"], **settings})


@pytest.mark.parametrize("limit", [{"max_connections": 2}, {"max_connections_per_client": 2}])
async def test_who_connects_for_tls_and_says_nothing_is_counted(
    certificate: tuple[dict[str, str], ssl.SSLContext], limit: dict[str, int]
) -> None:
    """asyncio waits a minute for a handshake and tells nobody: strangers could take all descriptors."""
    async with smtps(certificate, **limit) as server, server.client(""), server.client(""), server.client("") as third:
        await third.hear_end()


async def test_a_handshake_has_its_time(
    certificate: tuple[dict[str, str], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE", 0.05)
    async with smtps(certificate, max_connections=1) as server:
        for _ in range(3):
            async with server.client("") as silent:
                await silent.hear_end()
        monkeypatch.undo()
        async with server.client(ssl=certificate[1], server_hostname="relay.test") as client:
            await client.ask("EHLO app", "250")


async def test_a_session_under_tls_ends_without_a_word(certificate: tuple[dict[str, str], ssl.SSLContext]) -> None:
    """It closed twice: each QUIT of a client that closes its TLS too was a traceback among the logs."""
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: troubles.append(context))
    async with smtps(certificate) as server:
        async with server.client(ssl=certificate[1], server_hostname="relay.test") as client:
            await client.ask("QUIT", "221")
            await client.hear_end()
        await server.listeners.stop(grace=5.0)
    assert troubles == []


async def test_a_client_that_does_not_read_is_cut_under_tls_too(
    certificate: tuple[dict[str, str], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had closed twice, and what is closed twice could not be aborted."""
    monkeypatch.setattr(session, "LINGER", 0.1)
    async with smtps(certificate) as server, server.client(ssl=certificate[1], server_hostname="relay.test") as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # nor does it answer that TLS ends
        await client.say("QUIT")
        async with asyncio.timeout(10):
            while server.listeners._services.sessions:
                await asyncio.sleep(0.01)
        client.writer.transport.abort()


async def test_a_shutdown_does_not_wait_for_handshakes(certificate: tuple[dict[str, str], ssl.SSLContext]) -> None:
    """Nor does one that is done later begin a session with a relay that has stopped."""
    async with smtps(certificate) as server, server.client("") as silent:
        async with server.client(ssl=certificate[1], server_hostname="relay.test"):
            pass  # the silent one was accepted before
        async with asyncio.timeout(10):
            await server.listeners.stop(grace=60.0)
            await silent.hear_end()


async def test_a_shutdown_does_not_wait_for_starttls(certificate: tuple[dict[str, str], ssl.SSLContext]) -> None:
    """A client that said no more held it up as long as a message under way may."""
    async with serving(certificate[0]) as server, server.client() as silent:
        await silent.ask("EHLO app", "250")
        await silent.ask("STARTTLS", "220")
        async with asyncio.timeout(10):
            await server.listeners.stop(grace=60.0)
            await silent.hear_end()


@pytest.mark.parametrize("tls", [False, True])
async def test_a_session_that_begins_while_it_stops_ends(
    certificate: tuple[dict[str, str], ssl.SSLContext], tls: bool
) -> None:
    """Between its acceptance and its session, nobody knew of it: it was greeted by a relay that had stopped, or had its
    10 seconds for a handshake."""
    own = asyncio.get_running_loop().__class__.__module__.startswith("asyncio")
    for turns in range(8):  # of the loop, in which it is accepted, begins and is greeted
        if own and turns == 2:
            continue  # asyncio itself lets go of what it accepted for a server that is closed by then
        async with smtps(certificate) if tls else serving() as server:
            sock = socket.create_connection(("127.0.0.1", server.port))
            for _ in range(turns):
                await asyncio.sleep(0)
            began = time.monotonic()
            await server.listeners.stop(grace=60.0)
            assert time.monotonic() - began < connections.HANDSHAKE / 2
            reader, writer = await asyncio.open_connection(sock=sock)
            with suppress(ConnectionResetError):  # it was not accepted
                heard = await asyncio.wait_for(reader.read(), 10)
                assert re.fullmatch(b"" if tls else rb"(220 .*\r\n)?421 4\.3\.2 .*\r\n", heard)
            writer.close()


# Secrets


async def test_a_password_that_arrives_as_a_command_is_not_logged() -> None:
    """A client that talks ahead sends it after an AUTH that was refused."""
    with capture_logs() as entries:
        async with serving({"accounts": []}) as server, server.client() as client:
            await client.ask("EHLO app", "250")
            await client.say(f"AUTH LOGIN {USER}\r\n{SECRET}")
            await client.hear("502")
            await client.hear("500")
    assert len([entry for entry in entries if entry["event"] == "refused"]) == 2
    assert SECRET.upper() not in str(entries).upper()


async def test_nothing_of_an_auth_exchange_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """aiosmtpd's own logger shows base64 passwords."""
    log.configure(Log(level="debug"))
    structlog.reset_defaults()  # or the loggers would keep this test's captured output for the next tests
    caplog.set_level("DEBUG")
    secret = b64("hunter2")
    plain = b64(".app.hunter2".replace(".", chr(0)))
    with capture_logs() as entries:
        async with serving() as server, server.client() as client:
            await client.ask("EHLO app", "250")
            await client.ask(f"AUTH LOGIN {USER}", "334")
            await client.ask(secret, "535")
            await client.ask(f"AUTH PLAIN {plain}", "535")
            await client.say(f"AUTH LOGIN {USER}")
            await client.say("*")
            await client.hear("334")
            await client.hear("501")
    assert any(entry["event"] == "log-in refused" for entry in entries)
    printed = str(entries) + caplog.text
    for word in (secret, secret.upper(), "hunter2", plain):
        assert word not in printed


class RefusingPipeline(FakePipeline):
    """Refuses every message, and notices which refusals are still there."""

    refusals: list[weakref.ref[Reject]]

    async def submit(self, of: Submission) -> Accepted:
        refusal = Reject(550, "7.1", "There is no key")
        self.refusals = [*getattr(self, "refusals", []), weakref.ref(refusal)]
        try:
            raise refusal
        finally:
            del refusal


async def test_a_refused_message_is_let_go_at_once() -> None:
    """A refusal has the frames that hold the message; a cycle with one of them keeps it until the next collection."""
    pipeline = RefusingPipeline()
    gc.disable()
    try:
        async with serving(pipeline=pipeline) as server, server.client("") as client:
            await converse(client, [*LOGGED_IN, *SENT[:3]])
            await client.say(BODY)
            await client.hear("550")
            await client.ask("NOOP", "250")
            assert pipeline.refusals[0]() is None
    finally:
        gc.enable()

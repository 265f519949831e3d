"""One dialogue of the stand-in smarthost, and the rules by which it fails."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from smtprelay.sandbox.smarthost import Smarthost

END = b"\r\n.\r\n"


class Fault(Enum):
    """What a rule can do instead of a reply."""

    DROP = "drop"  # close the connection at once
    SILENCE = "silence"  # never say anything again


DROP, SILENCE = Fault.DROP, Fault.SILENCE


@dataclass(slots=True)
class Rule:
    """What is answered in place of the usual; of the rules that fit, the first counts.

    :param at: ``GREETING``, a verb (``MAIL``), ``CREDENTIALS`` (the last word of an AUTH), ``BODY`` (the first octets
        after 354; the rest is thrown away), ``DOT`` (all of the message is there), ``ACCEPTED`` (it is kept as well).
    :param reply: the lines of a reply, without the last <CRLF>; after a 421 the connection is closed.
    :param match: only where it is in the argument of the command; case does not count.
    :param times: how often at most.
    :param after: how many that fit are let through first.
    """

    at: str
    reply: str | Fault
    match: str = ""
    times: int = 1_000_000
    after: int = 0

    def applies(self, at: str, argument: str) -> bool:
        if self.at != at or self.match.lower() not in argument.lower():
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it was accepted.

    :param mail_params: of the MAIL command: keyword → value, as they were written.
    :param recipients: address → parameters of its RCPT command.
    :param content: without the stuffing of dots.
    :param received_at: Unix time in seconds.
    """

    envelope_from: str
    mail_params: Mapping[str, str]
    recipients: Mapping[str, Mapping[str, str]]
    content: bytes
    username: str
    tls: bool
    received_at: float


@dataclass(slots=True)
class _Transaction:
    sender: str
    params: Mapping[str, str]
    recipients: dict[str, Mapping[str, str]] = field(default_factory=dict)


class Session(asyncio.Protocol):
    """One connection: octets in, replies out. Commands may come in one packet (RFC 2920)."""

    def __init__(self, host: Smarthost) -> None:
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._searched = 0  # octets of the buffer that are known not to hold the end of the message
        self._in_body = False
        self._body_begun = False
        self._deaf = False  # nothing is said or heard any more
        self._tls = False
        self._username = ""
        self._auth: list[str] | None = None  # the words of an AUTH exchange so far
        self._transaction: _Transaction | None = None
        self._upgrade: asyncio.Task[None] | None = None

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._tls = transport.get_extra_info("sslcontext") is not None
        self._host.sessions.add(self)
        self._host.connections += 1
        self._answer("GREETING", "", f"220 {self._host.hostname} ESMTP sandbox")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._host.sessions.discard(self)

    def drop(self) -> None:
        if self._transport:
            self._transport.abort()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        if not self._deaf:
            self._buffer += data
            self._work()

    def _work(self) -> None:
        while self._transport and not self._deaf and not self._upgrade:
            if not (self._take_body() if self._in_body else self._take_line()):
                break

    def _take_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self._buffer[:end].decode("utf-8", "replace")
        del self._buffer[: end + 2]
        if self._auth is not None:
            self._auth_continues(line)
        else:
            self._command(line)
        return True

    def _take_body(self) -> bool:
        if not self._body_begun:
            if not self._buffer:
                return False
            # The <CRLF> before the body is that of the DATA command: with it, every line begins after one.
            self._buffer[:0] = b"\r\n"
            self._body_begun, self._searched = True, 0
            ruling = self._host.ruling("BODY", "")
            if ruling is not None:
                self._refuse_body(ruling)
                return False
        end = self._buffer.find(END, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(END) + 1)
            return False
        # RFC 5321 §4.5.2: the first character of a line is removed where it is a dot.
        content = bytes(self._buffer[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        del self._buffer[: end + len(END)]
        self._in_body = self._body_begun = False
        self._dot(content)
        return True

    def _refuse_body(self, ruling: str | Fault) -> None:
        """Answer before the dot, and read on: to close with octets unread could destroy the reply on its way."""
        assert self._transport is not None
        self._deaf = True
        if ruling is SILENCE:
            self._transport.pause_reading()
        elif isinstance(ruling, Fault):
            self.drop()
        else:
            self._transport.write(ruling.encode() + b"\r\n")
            if ruling.startswith("421"):
                self._transport.write_eof()

    # Replies

    def _answer(self, at: str, argument: str, usual: str) -> bool:
        """Say the usual, or what a rule says in its place. :returns: whether the command succeeded."""
        ruling = self._host.ruling(at, argument)
        reply = usual if ruling is None else ruling
        self._obey(reply)
        return isinstance(reply, str) and reply[0] in "23"

    def _obey(self, reply: str | Fault) -> None:
        if reply is DROP:
            self.drop()
        elif reply is SILENCE:
            self._deaf = True
        elif self._transport:
            assert isinstance(reply, str)
            self._transport.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")
            if reply.startswith(("421", "221")):
                self._hang_up()

    def _hang_up(self) -> None:
        if self._transport:
            self._transport.close()
            self._transport = None

    # Commands

    def _command(self, line: str) -> None:
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        if verb != "AUTH":
            self._host.commands.append(line)
        match verb:
            case "EHLO" | "HELO":
                self._hello(verb, argument)
            case "STARTTLS" if self._host.tls and not self._tls:
                self._starttls()
            case "AUTH":
                self._auth_begins(argument)
            case "MAIL" | "RCPT" | "DATA" if self._host.credentials and not self._username:
                self._answer(verb, argument, "530 5.7.0 Authentication required")
            case "MAIL":
                self._mail(argument)
            case "RCPT":
                self._rcpt(argument)
            case "DATA":
                self._data()
            case "RSET":
                self._transaction = None
                self._answer(verb, argument, "250 2.0.0 Ok")
            case "NOOP":
                self._answer(verb, argument, "250 2.0.0 Ok")
            case "QUIT":
                self._answer(verb, argument, "221 2.0.0 Bye")
            case _:
                self._answer(verb, argument, "500 5.5.1 Command not known")

    def _hello(self, verb: str, argument: str) -> None:
        self._transaction = None
        lines = [self._host.hostname]
        if verb == "EHLO":
            lines += self._host.extensions
            if self._host.tls and not self._tls:
                lines.append("STARTTLS")
            if self._host.credentials:
                lines.append("AUTH " + " ".join(self._host.mechanisms))
        *before, last = lines
        self._answer(verb, argument, "".join(f"250-{line}\r\n" for line in before) + f"250 {last}")

    def _starttls(self) -> None:
        if not self._answer("STARTTLS", "", "220 2.0.0 Go ahead"):
            return
        self._buffer.clear()  # RFC 3207 §4.2, and CVE-2011-0411
        self._upgrade = asyncio.create_task(self._put_tls_in_place())

    async def _put_tls_in_place(self) -> None:
        assert self._transport is not None
        assert self._host.tls is not None
        plain = self._transport
        try:
            self._transport = await asyncio.get_running_loop().start_tls(plain, self, self._host.tls, server_side=True)
        except OSError:  # the client did not like the certificate
            self.drop()
        else:
            self._tls, self._username, self._upgrade = True, "", None
            self._work()  # asyncio hands over what came with the end of the handshake before that end

    # AUTH (RFC 4954), LOGIN and PLAIN

    def _auth_begins(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() not in self._host.mechanisms or not self._host.credentials:
            self._answer("AUTH", mechanism, "504 5.5.4 Mechanism not supported")
            return
        ruling = self._host.ruling("AUTH", mechanism)
        if ruling is not None:
            self._obey(ruling)
            return
        self._auth = [mechanism.upper()]
        if initial and not (self._host.reprompts and mechanism.upper() == "LOGIN"):
            self._auth_continues(initial)
        else:
            self._ask()

    def _ask(self) -> None:
        """The challenge for the next word; PLAIN's is empty."""
        assert self._auth is not None
        challenge = {1: b"Username:", 2: b"Password:"}[len(self._auth)] if self._auth[0] == "LOGIN" else b""
        self._obey(f"334 {base64.b64encode(challenge).decode()}")

    def _auth_continues(self, word: str) -> None:
        assert self._auth is not None
        try:
            self._auth.append(base64.b64decode(word, validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            self._auth = None
            self._obey("501 5.5.2 This is not base64")
            return
        if self._auth[0] == "LOGIN" and len(self._auth) < 3:
            self._ask()
            return
        *_, username, password = self._auth if self._auth[0] == "LOGIN" else ["", "", *self._auth[1].split("\0")]
        self._auth = None
        right = self._host.credentials.get(username) == password
        usual = "235 2.7.0 Authentication successful" if right else "535 5.7.8 Authentication failed"
        if self._answer("CREDENTIALS", username, usual):
            self._username = username

    # The transaction

    def _mail(self, argument: str) -> None:
        sender, params = _path(argument)
        if self._transaction:
            self._obey("503 5.5.1 A transaction is open already")
        elif not argument.upper().startswith("FROM:<"):
            self._obey("501 5.5.4 MAIL FROM:<address> is wanted")
        elif unknown := params.keys() - self._known_params("MAIL"):
            self._obey(f"555 5.5.4 Not offered: {' '.join(sorted(unknown))}")
        elif self._answer("MAIL", argument, "250 2.1.0 Ok"):
            self._transaction = _Transaction(sender, params)

    def _rcpt(self, argument: str) -> None:
        recipient, params = _path(argument)
        if not self._transaction:
            self._obey("503 5.5.1 MAIL comes first")
        elif not argument.upper().startswith("TO:<"):
            self._obey("501 5.5.4 RCPT TO:<address> is wanted")
        elif unknown := params.keys() - self._known_params("RCPT"):
            self._obey(f"555 5.5.4 Not offered: {' '.join(sorted(unknown))}")
        elif self._answer("RCPT", argument, "250 2.1.5 Ok"):
            self._transaction.recipients[recipient] = params

    def _known_params(self, verb: str) -> set[str]:
        offered = {line.split()[0] for line in self._host.extensions}
        if verb == "RCPT":
            return {"NOTIFY", "ORCPT"} if "DSN" in offered else set()
        params = {"SIZE": {"SIZE"}, "8BITMIME": {"BODY"}, "SMTPUTF8": {"SMTPUTF8"}, "DSN": {"RET", "ENVID"}}
        return set().union(*(params.get(keyword, set()) for keyword in offered))

    def _data(self) -> None:
        if not self._transaction or not self._transaction.recipients:
            self._answer("DATA", "", "503 5.5.1 No valid recipients")
        else:
            self._in_body = self._answer("DATA", "", "354 End data with <CR><LF>.<CR><LF>")

    def _dot(self, content: bytes) -> None:
        transaction, self._transaction = self._transaction, None
        assert transaction is not None
        ruling = self._host.ruling("DOT", "")
        if ruling is not None:
            self._obey(ruling)
            return
        received = Received(
            transaction.sender,
            transaction.params,
            transaction.recipients,
            content,
            self._username,
            self._tls,
            time.time(),
        )
        refusal = self._host.take(received)
        if refusal is not None:
            self._obey(refusal)
            return
        self._host.keep(received)
        self._answer("ACCEPTED", "", f"250 2.0.0 Ok: queued as {len(self._host.messages)}")


def _path(argument: str) -> tuple[str, dict[str, str]]:
    """``FROM:<a@example.com> SIZE=5`` → the address, and the parameters by their keyword."""
    path, _, rest = argument.partition("<")[2].partition("> ")
    words = (word.partition("=") for word in rest.split())
    return path.removesuffix(">"), {keyword.upper(): value for keyword, _, value in words}

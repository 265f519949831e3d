"""`smtprelay selftest`: a message to an address of the operator, sent as an app sends and followed to the end."""

from __future__ import annotations

import os
import signal
import smtplib
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.configuration import load_config
from smtprelay.cli.remote import Relay, running
from smtprelay.config import Config
from smtprelay.instructions import read_queued
from smtprelay.message import parse_address
from smtprelay.outcome import BEFORE_MAIL, Phase
from smtprelay.spool import DNS, DOMAIN, State
from smtprelay.story import Story, tell
from smtprelay.values import parse_duration
from smtprelay.words import local_time

ANSWER = 60.0  # seconds that the gateway gets for an answer
LOOK_AGAIN = 0.2  # seconds between two looks at what became of the message
TAG = "selftest"
INTERRUPTED = 128 + signal.SIGINT  # as a shell tells it
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - where a gateway listens everywhere, it is here too

# Neither Date nor Message-ID: like what an old app sends, so that the relay has something to repair.
_MESSAGE = """\
From: {sender}
To: {to}
Subject: {subject}
X-SMTPRelay-Tag: {tag}

'smtprelay selftest' sent this to see whether mail leaves. It did; there is nothing to do.
"""


def selftest(
    config: ConfigOption = None,
    to: Annotated[
        str, typer.Option(help="An address that you read. Default: where notifications go (send_to), if that is one.")
    ] = "",
    sender: Annotated[str, typer.Option("--from", help="Default: postmaster of the first domain.")] = "",
    timeout: Annotated[str, typer.Option(help="How long to follow the message.")] = "5m",
    gateway: Annotated[str, typer.Option(metavar="HOST:PORT", help="Default: where the daemon listens first.")] = "",
    user: Annotated[str, typer.Option(help="Log in as this account, as clients do that are not trusted.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="The file with its password; else it is asked for.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message to yourself through the running relay, and follow it until somebody has it."""
    settings = load_config(config)
    test = _Test(settings, quiet=as_json)
    try:
        order = _Order.of(settings, to, sender)
        patience = parse_duration(timeout) / 1000
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        test.run(order, gateway, _account(user, password_file), patience)
    except _End as end:
        if as_json:
            print_json({"ok": end.code == os.EX_OK, "id": test.id, "subject": order.subject, "steps": test.steps})
        raise typer.Exit(end.code) from None


def _account(user: str, password_file: Path | None) -> tuple[str, str] | None:
    from smtprelay.credentials import read_secret_file

    if not user:
        return None
    if password_file is None:
        return user, typer.prompt("Password", hide_input=True, err=True)
    try:
        return user, read_secret_file(password_file)
    except ValueError as error:
        raise typer.BadParameter(f"the password cannot be read: {error}") from None


class _End(Exception):
    """The test is over.

    :param code: one of sysexits', or `INTERRUPTED`.
    """

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass(frozen=True, slots=True)
class _Order:
    """Who writes to whom."""

    to: str
    sender: str
    subject: str

    @classmethod
    def of(cls, config: Config, to: str, sender: str) -> _Order:
        """:raises ValueError: it is not known to whom."""
        to = to or (config.bounces.send_to if "@" in config.bounces.send_to else "")
        if not to:
            raise ValueError("say who reads the message: --to ADDRESS, or [bounces] send_to")
        subject = time.strftime("smtprelay selftest %Y-%m-%d %H:%M:%S")
        return cls(parse_address(to), parse_address(sender or f"postmaster@{config.domains[0].name}"), subject)

    @property
    def content(self) -> bytes:
        text = _MESSAGE.format(to=self.to, sender=self.sender, subject=self.subject, tag=TAG)
        return text.replace("\n", "\r\n").encode()


@dataclass
class _Test:
    """One message on its way.

    :ivar id: its id, once it has one.
    :ivar steps: what was printed.
    """

    config: Config
    quiet: bool
    id: str = ""
    steps: list[str] = field(default_factory=list)
    _begin: float = field(default_factory=time.monotonic)

    def run(self, order: _Order, gateway: str, account: tuple[str, str] | None, patience: float) -> NoReturn:
        """Send it and follow it. :raises _End: always."""
        try:
            self._send_and_follow(order, gateway, account, patience)
        except KeyboardInterrupt:
            self._end(INTERRUPTED, self._goes_on() if self.id else "interrupted before the gateway had answered")

    def _send_and_follow(
        self, order: _Order, gateway: str, account: tuple[str, str] | None, patience: float
    ) -> NoReturn:
        control = self.config.status.control
        relay = running(control)
        if relay is None:
            self._end(
                os.EX_TEMPFAIL, f"no daemon answers on {control}: 'systemctl start smtprelay', or 'smtprelay run'"
            )
        figures = relay.stats()
        if figures["mode"]:
            self._say(figures["mode"])
        where = gateway or next(iter(figures["listen"]), "")
        if not where:
            self._end(os.EX_CONFIG, "the daemon listens nowhere: set [gateway] listen")
        self._hand_over(order, where, account)
        self._follow(relay, order, patience)

    def _hand_over(self, order: _Order, where: str, account: tuple[str, str] | None) -> None:
        try:
            with self._connect(where) as smtp:
                smtp.ehlo()
                if smtp.has_extn("starttls"):
                    smtp.starttls(context=_unverified())
                    smtp.ehlo()
                self._say(f"gateway at {where} answers{', with TLS' if isinstance(smtp.sock, ssl.SSLSocket) else ''}")
                if account:
                    smtp.login(*account)
                utf8 = ["SMTPUTF8"] if not (order.sender + order.to).isascii() else []
                code, words = smtp.mail(order.sender, utf8)
                if code == 250:
                    code, words = smtp.rcpt(order.to)
                if code in (250, 251):
                    code, words = smtp.data(order.content)
        except smtplib.SMTPResponseException as error:
            code, words = error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b""
        except smtplib.SMTPNotSupportedError as error:
            self._end(os.EX_CONFIG, f"the gateway at {where} does not offer what is needed: {error}")
        except (OSError, ValueError, smtplib.SMTPException) as error:
            self._end(os.EX_TEMPFAIL, f"the gateway at {where} cannot be reached: {error}")
        text = words.decode("utf-8", "replace")
        if code != 250:
            self._refused(code, text, account)
        self.id, _ = read_queued(text)
        self._say(f"accepted and on disk as {self.id}: <{order.sender}> to <{order.to}>, subject: {order.subject}")

    def _connect(self, where: str) -> smtplib.SMTP:
        """To the gateway; its addresses with TLS from the first octet on come last, see `Listeners.start`."""
        host, _, port = where.rpartition(":")
        host = _EVERYWHERE.get(host, host).strip("[]")
        if self.config.gateway.listen:
            return smtplib.SMTP(host, int(port), timeout=ANSWER)
        return smtplib.SMTP_SSL(host, int(port), timeout=ANSWER, context=_unverified())

    def _refused(self, code: int, text: str, account: tuple[str, str] | None) -> NoReturn:
        self._say(f"the gateway refuses it: {code} {text}")
        if code == 530 or (code == 550 and not account and "5.7.1" in text):
            self._end(os.EX_NOPERM, "who is not in trusted_networks needs an account: --user and --password-file")
        if code == 535:
            self._end(os.EX_NOPERM, "check username and password of the account in [[gateway.accounts]]")
        self._end(os.EX_TEMPFAIL if code < 500 else os.EX_CONFIG, "do what it says, and try again")

    def _follow(self, relay: Relay, order: _Order, patience: float) -> NoReturn:
        deadline = time.monotonic() + patience
        told: set[str] = set()
        while True:
            message = relay.show(self.id)
            story = tell(message)
            for line in (*_lines(story), *_waiting(message, story)):
                if line not in told:
                    told.add(line)
                    self._say(line)
            self._end_where_done(message, story, order)
            if time.monotonic() >= deadline:
                self._give_up(message, story)
            time.sleep(LOOK_AGAIN)

    def _end_where_done(self, message: Mapping[str, Any], story: Story, order: _Order) -> None:
        [recipient], [told] = message["recipients"], story.recipients
        match recipient["state"]:
            case State.DELIVERED:
                _, redirected, to = recipient["reply"].rpartition("(redirected to ")
                mailbox = to.removesuffix(")") if redirected else order.to
                self._end(os.EX_OK, f"{told.standing}. Look into the mailbox of {mailbox} for: {order.subject}")
            case State.CAPTURED:
                self._end(os.EX_OK, told.standing)
            case State.HELD:
                self._end(_HELD.get(recipient["reason"], os.EX_TEMPFAIL), _with_advice(told.standing, told.advice))
            case State.QUEUED if story.warnings:  # nothing will happen for longer than anybody waits
                *before, last = story.warnings
                for warning in before:
                    self._say(warning)
                self._end(os.EX_UNAVAILABLE, last)
            case State.BOUNCED | State.CANCELLED | State.SUPPRESSED:
                code = os.EX_CONFIG if _last_phase(recipient) == Phase.POLICY else os.EX_UNAVAILABLE
                self._end(code, _with_advice(told.standing, told.advice))

    def _give_up(self, message: Mapping[str, Any], story: Story) -> NoReturn:
        [recipient], [told] = message["recipients"], story.recipients
        code = os.EX_UNAVAILABLE if _last_phase(recipient) in BEFORE_MAIL else os.EX_TEMPFAIL
        self._say(_with_advice(told.standing, told.advice))
        self._end(code, self._goes_on())

    def _goes_on(self) -> str:
        return f"it goes on without being watched: 'smtprelay queue why {self.id}'"

    def _say(self, text: str) -> None:
        self.steps.append(text)
        if not self.quiet:
            typer.echo(f"{time.monotonic() - self._begin:6.1f}s  {text}")

    def _end(self, code: int, text: str) -> NoReturn:
        self._say(text)
        raise _End(code)


_HELD: Mapping[str, int] = {DNS: os.EX_TEMPFAIL, DOMAIN: os.EX_CONFIG, "ambiguous": os.EX_UNAVAILABLE}


def _lines(story: Story) -> Iterator[str]:
    """What is worth a line as soon as it is known: what was done to the message, and each attempt that has ended."""
    yield from story.head[2:]
    for recipient in story.recipients:
        yield from (str(attempt) for attempt in (*recipient.first, *recipient.last) if attempt.reply)


def _waiting(message: Mapping[str, Any], story: Story) -> Iterator[str]:
    """When it goes on, where an attempt has ended without success."""
    [recipient] = message["recipients"]
    if recipient["state"] == State.QUEUED and recipient["attempts"] and not story.warnings:
        yield f"next attempt {local_time(recipient['next_at'])}"
        yield "Ctrl-C ends the watching, and nothing else: the message stays in the queue"


def _last_phase(recipient: Mapping[str, Any]) -> str:
    return str(next((attempt["phase"] for attempt in reversed(recipient["history"]) if attempt["ended_at"]), ""))


def _with_advice(standing: str, advice: str) -> str:
    return f"{standing}. What to do: {advice}" if advice else standing


def _unverified() -> ssl.SSLContext:
    """For this machine's own gateway, which a certificate does not call by its address."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

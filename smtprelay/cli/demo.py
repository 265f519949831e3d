"""`smtprelay demo`: the main job on loopback, shown step by step."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import signal
import smtplib
import sys
import tempfile
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smtprelay.cli.demo_apps import DOMAIN, PASSWORD, SENDER, App, apps
from smtprelay.words import octets

if TYPE_CHECKING:
    from smtprelay.sandbox.nameserver import NameServer
    from smtprelay.sandbox.smarthost import Smarthost

API_USER = "sandbox"
NEW_DOMAIN = "shop.example.com"
DNS = (
    f'{DOMAIN}. IN TXT "v=spf1 include:spf.bestedm.org -all"',
    f"{DOMAIN}. IN MX 10 mail.bestedm.org.",
    f'_dmarc.{DOMAIN}. IN TXT "v=DMARC1; p=none"',
    'spf.bestedm.org. IN TXT "v=spf1 ip4:192.0.2.0/24 -all"',
)
PATIENCE = 30.0  # seconds for the daemon to start, and for all mail to arrive
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_CONFIG = """\
[gateway]
listen = ["127.0.0.1:0"]
hostname = "relay.{domain}"

[[gateway.accounts]]
username = "{sender}"
password_hash = "{password_hash}"
senders = ["*@{domain}"]

[spool]
url = "sqlite:///spool.db"
min_free = "16MiB"

[upstream]
host = "127.0.0.1"
port = {port}

[[upstream.credentials]]
name = "demo"
username = "{sender}"
password_file = "platform.password"

[retry]
schedule = "1s"

[domain_rules]
nameservers = ["{dns}"]

[[domains]]
name = "{new_domain}"
[[domains]]
name = "{domain}"
[[domains.keys]]
selector = "relay1"
file = "relay1.pem"
[[domains.keys]]
selector = "relay2"
file = "relay2.pem"

[templates]
directory = "{templates}"

[status]
control = "control.sock"
listen = "127.0.0.1:0"
show_bodies = true
[[status.accounts]]
username = "{sender}"
password_hash = "{password_hash}"

[log]
format = "json"
"""


_PROVIDER = """\
[upstream]
host = "127.0.0.1"
port = {port}
[[upstream.credentials]]
username = "{sender}"
password_file = "{folder}/platform.password"
[domain_rules]
nameservers = ["{dns}"]
[[platform.accounts]]
base_url = "{api}"
allow_insecure = true
username = "{api_user}"
password_file = "{folder}/platform.password"
"""


def demo(
    stay: Annotated[bool, typer.Option("--stay", help="Leave everything running, to send mail of your own.")] = False,
) -> None:
    """A stand-in for the provider, the real daemon before it, and real apps that send: see what arrives."""
    try:
        ok = asyncio.run(_demonstrate(stay))
    except asyncio.CancelledError:
        typer.echo("ended before everything was shown", err=True)
        ok = False
    raise typer.Exit(0 if ok else 1)


async def _demonstrate(stay: bool) -> bool:
    _end_at_a_signal()
    with tempfile.TemporaryDirectory(prefix="smtprelay-demo-") as folder:
        return await _Demo(Path(folder)).run(stay)


def _end_at_a_signal() -> None:
    """Have a signal cancel this task, so that what it started ends with it."""
    task = asyncio.current_task()
    assert task is not None
    # What is ignored from the start on stays so: the demo was to go on beyond its terminal (nohup).
    for number in (one for one in _ENDS if signal.getsignal(one) is not signal.SIG_IGN):
        # Once: a terminal that closes sends several, and the daemon's end is waited for meanwhile.
        asyncio.get_running_loop().add_signal_handler(number, lambda: task.cancelling() or task.cancel())


class _Demo:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, str] = {}
        self._log: list[dict[str, Any]] = []
        self._begin = time.monotonic()

    async def run(self, stay: bool) -> bool:
        from smtprelay.sandbox.nameserver import NameServer
        from smtprelay.sandbox.platform import Platform
        from smtprelay.sandbox.smarthost import Rule, Smarthost

        fails_once = Rule("DOT", "451 4.3.0 Mailbox busy, try again", times=1)
        async with (
            NameServer(*DNS) as dns,
            Platform(username=API_USER, password=PASSWORD, mailboxes={SENDER: PASSWORD}, dns=dns) as platform,
            Smarthost(fails_once, credentials=platform.credentials, take=platform.take) as smarthost,
        ):
            self._say(f"sandbox smarthost on 127.0.0.1:{smarthost.port}: wants AUTH LOGIN, verifies DKIM, fails once")
            self._say(f"sandbox DNS on {dns.address}: {DOMAIN} is set up, {NEW_DOMAIN} is not")
            self._prepare(smarthost.port, dns)
            daemon = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "smtprelay", "run", "-c", "config.toml",
                cwd=self._folder, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert daemon.stdout is not None
            reading = asyncio.create_task(self._read_log(daemon.stdout))
            ok = False
            try:
                if ready := await self._ready(reading):
                    port = int(ready["listen"][0].rpartition(":")[2])
                    self._say(f"smtprelay run: gateway on 127.0.0.1:{port}, spool in {self._folder}")
                    ok = await self._send_and_show(smarthost, port)
                    ok = await self._set_up_a_domain(smarthost, dns, port) and ok
                    if stay:
                        self._invite(port, ready["status"][0], smarthost.port, dns.address, platform.url)
                        with suppress(asyncio.CancelledError):  # all has been shown: that is how it is to end
                            await daemon.wait()
            finally:
                if not reading.done():  # else it ends by itself, and a signal would have asyncio lose its status
                    daemon.terminate()
                await daemon.wait()
                await reading
            self._say(f"the daemon ended with {daemon.returncode}")
            return ok and daemon.returncode == 0

    def _say(self, text: str) -> None:
        typer.echo(f"{time.monotonic() - self._begin:5.1f}s  {text}")

    def _invite(self, port: int, page: str, smarthost_port: int, dns: str, api: str) -> None:
        self._say(f"staying; send to 127.0.0.1:{port} as {SENDER}, password {PASSWORD}; Ctrl-C ends it")
        self._say(f"the page: http://{page}/, same name and password")
        self._say(f"the provider's HTTP API: {api}, as {API_USER}, password {PASSWORD}")
        self._say(
            "a daemon of your own has the smarthost, the DNS and the API of the demo with this in its config.toml:"
        )
        provider = _PROVIDER.format(
            port=smarthost_port, sender=SENDER, folder=self._folder, dns=dns, api=api, api_user=API_USER
        )
        typer.echo(textwrap.indent(provider, " " * 8), nl=False)
        self._say(f"the commands: smtprelay queue list -c {self._folder}/config.toml")

    def _prepare(self, smarthost_port: int, dns: NameServer) -> None:
        """Keys and their records, password and configuration, as an operator would make them."""
        from smtprelay.accounts import hash_password
        from smtprelay.domains.verdict import Record
        from smtprelay.signing import generate_key, load_key
        from smtprelay.templating.examples import examples

        for selector, kind in (("relay1", "rsa"), ("relay2", "ed25519")):
            pem = generate_key("rsa" if kind == "rsa" else "ed25519")
            (self._folder / f"{selector}.pem").write_bytes(pem)
            key = load_key(pem, DOMAIN, selector)
            self._records[key.record_name] = key.record
            dns.publish(Record(key.record_name, "TXT", key.record).zone_line)
        (self._folder / "platform.password").write_text(PASSWORD + "\n", encoding="utf-8")
        (self._folder / "config.toml").write_text(
            _CONFIG.format(
                domain=DOMAIN,
                new_domain=NEW_DOMAIN,
                sender=SENDER,
                port=smarthost_port,
                dns=dns.address,
                templates=examples(),
                password_hash=hash_password(PASSWORD),
            ),
            encoding="utf-8",
        )

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            try:
                self._log.append(json.loads(line))
            except ValueError:
                typer.echo(line.decode("utf-8", "replace"), err=True)

    async def _ready(self, reading: asyncio.Task[None]) -> dict[str, Any] | None:
        """The line of the log that says so; None where the log ends without it."""
        async with asyncio.timeout(PATIENCE):
            while not reading.done():
                for entry in self._log:
                    if entry["event"] == "ready":
                        return entry
                await asyncio.sleep(0.02)
        return None

    async def _send_and_show(self, smarthost: Smarthost, port: int) -> bool:
        senders = apps(port)
        for app in senders:
            await asyncio.to_thread(app.send)
            self._say(f"sent: {app.name}")
        await smarthost.wait_for(len(senders), PATIENCE)
        await self._all_recorded(len(senders))
        connections = f"{smarthost.connections} connection{'s' * (smarthost.connections != 1)}"
        self._say(f"all {len(senders)} arrived, over {connections}:")
        shown = [self._show(smarthost, app) for app in senders]
        retried = next(entry for entry in self._log if entry["event"] == "attempt" and entry["status"] == "deferred")
        self._say(f"the one that failed once, as 'smtprelay queue why {retried['id']}' tells it:")
        told = await self._command("queue", "why", str(retried["id"]))
        return all(shown) and told

    async def _command(self, *arguments: str) -> bool:
        """Show what a command prints. :returns: whether it ended with 0."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smtprelay", *arguments, "-c", "config.toml",
            cwd=self._folder, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await process.communicate()
        typer.echo("".join(f"        {line}".rstrip() + "\n" for line in output.decode().splitlines()), nl=False)
        return process.returncode == os.EX_OK

    async def _set_up_a_domain(self, smarthost: Smarthost, dns: NameServer, port: int) -> bool:
        """An app sends from a domain that nobody has set up for the provider, until somebody has."""
        from smtprelay.sandbox.apps import Endpoint, plain_mail

        def send() -> str:
            try:
                plain_mail(Endpoint("127.0.0.1", port), "customer@example.org", f"orders@{NEW_DOMAIN}")
            except smtplib.SMTPSenderRefused as refusal:
                return f"{refusal.smtp_code} {refusal.smtp_error.decode()}"
            return ""

        self._say(f"an app sends from {NEW_DOMAIN}, whose mail the provider would lose; it is told:")
        reply = await asyncio.to_thread(send)
        typer.echo("".join(f"        {line}\n" for line in reply.splitlines()), nl=False)
        records = [line.partition(" ")[2] for line in reply.splitlines() if " IN " in line]
        for record in records:
            dns.publish(record)
        self._say(f"these {len(records)} records published, 'smtprelay domain check {NEW_DOMAIN}' says:")
        passes = await self._command("domain", "check", NEW_DOMAIN)
        arrived = len(smarthost.messages)
        refused = await asyncio.to_thread(send)
        if refused:
            self._say(f"BAD  {refused}")
            return False
        await smarthost.wait_for(arrived + 1, PATIENCE)
        self._say(f"the next mail from {NEW_DOMAIN} arrived")
        return bool(records) and passes

    async def _all_recorded(self, count: int) -> None:
        """The smarthost hears of a message a moment before the spool does."""
        async with asyncio.timeout(PATIENCE):
            while sum(entry.get("status") == "delivered" for entry in self._log) < count:
                await asyncio.sleep(0.02)

    def _show(self, smarthost: Smarthost, app: App) -> bool:
        from smtprelay.sandbox.smarthost import verify

        received = next(message for message in smarthost.messages if app.recipient in message.recipients)
        message = email.message_from_bytes(received.content, policy=email.policy.default)
        signatures = verify(received, self._records)
        ok = message["Subject"].endswith(app.subject) and len(signatures) == 2 and all(signatures)
        words = ", ".join("verified" if good else "BROKEN" for good in signatures)
        self._say(
            f"  {'ok ' if ok else 'BAD'} {octets(len(received.content)):>9}  {message['Subject']}  | DKIM: {words}"
        )
        return ok

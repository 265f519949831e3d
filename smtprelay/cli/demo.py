"""`smtprelay demo`: the main job on loopback, shown step by step."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from smtprelay.cli.demonstration.apps import DOMAIN, PASSWORD, SENDER
from smtprelay.cli.demonstration.configuration import API_USER, DNS, NEW_DOMAIN, prepare, provider
from smtprelay.cli.demonstration.daemon import Daemon, Ended
from smtprelay.cli.demonstration.stage import Stage

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        return await _play(Path(folder), stay)


def _end_at_a_signal() -> None:
    """Have a signal cancel this task, so that what it started ends with it."""
    task = asyncio.current_task()
    assert task is not None
    # What is ignored from the start on stays so: the demo was to go on beyond its terminal (nohup).
    for number in (one for one in _ENDS if signal.getsignal(one) is not signal.SIG_IGN):
        # Once: a terminal that closes sends several, and the daemon's end is waited for meanwhile.
        asyncio.get_running_loop().add_signal_handler(number, lambda: task.cancelling() or task.cancel())


async def _play(folder: Path, stay: bool) -> bool:
    """:returns: whether all that was shown is as it should be."""
    from smtprelay.sandbox.nameserver import NameServer
    from smtprelay.sandbox.platform import Platform
    from smtprelay.sandbox.smarthost import Rule, Smarthost

    fails_once = Rule("DOT", "451 4.3.0 Mailbox busy, try again", times=1)
    async with (
        NameServer(*DNS) as dns,
        Platform(username=API_USER, password=PASSWORD, mailboxes={SENDER: PASSWORD}, dns=dns) as platform,
        Smarthost(fails_once, credentials=platform.credentials, take=platform.take) as smarthost,
    ):
        stage = Stage(folder, smarthost, dns, platform, Daemon(folder))
        stage.say(f"sandbox smarthost on 127.0.0.1:{smarthost.port}: wants AUTH LOGIN, verifies DKIM, fails once")
        stage.say(f"sandbox DNS on {dns.address}: {DOMAIN} is set up, {NEW_DOMAIN} is not")
        stage.records = prepare(stage)
        ok = False
        with suppress(Ended):
            async with stage.daemon:
                ok = await _show(stage, stay)
        status = await stage.daemon.end()
        stage.say(f"the daemon ended with {status}")
        return ok and status == os.EX_OK


async def _show(stage: Stage, stay: bool) -> bool:
    from smtprelay.cli.demonstration.mail import send_and_show, set_up_a_domain
    from smtprelay.cli.demonstration.platform import learn_who_does_not_exist, run_a_campaign

    ready = await stage.daemon.ready()
    stage.port = int(ready["listen"][0].rpartition(":")[2])
    stage.say(f"smtprelay run: gateway on 127.0.0.1:{stage.port}, spool in {stage.folder}")
    ok = True
    for act in (send_and_show, set_up_a_domain, learn_who_does_not_exist, run_a_campaign):
        ok = await act(stage) and ok
    if stay:
        _invite(stage, ready["status"][0])
        with suppress(asyncio.CancelledError):  # all has been shown: that is how it is to end
            await stage.daemon.end()
    return ok


def _invite(stage: Stage, page: str) -> None:
    stage.say(f"staying; send to 127.0.0.1:{stage.port} as {SENDER}, password {PASSWORD}; Ctrl-C ends it")
    stage.say(f"the page: http://{page}/, same name and password")
    stage.say(f"the provider's HTTP API: {stage.platform.url}, as {API_USER}, password {PASSWORD}")
    stage.say("a daemon of your own has the smarthost, the DNS and the API of the demo with this in its config.toml:")
    stage.quote(provider(stage))
    stage.say(f"the commands: smtprelay queue list -c {stage.folder}/config.toml")

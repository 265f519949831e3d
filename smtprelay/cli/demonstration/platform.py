"""What SMTP never tells, and the platform's HTTP API does; then a campaign of the platform's own servers."""

from __future__ import annotations

import asyncio
import os
import re
import smtplib

from smtprelay.cli.demonstration.apps import DOMAIN, SENDER
from smtprelay.cli.demonstration.stage import Stage
from smtprelay.suppression import named
from smtprelay.words import in_language, language_of

NO_SUCH_MAILBOX = "1"  # the platform's type of such a failure
GONE = "nosuch.li@example.org"  # the stand-in tells by the name what becomes of the mail
CONTACTS = "address,fullname\nwang@example.org,王芳\nopens@example.org,李雷\n"
SUBJECT = "{{ fullname }}, the new teas are in\n"
BODY = '<p>{{ fullname }}, <a href="https://www.example.com/tea">here they are</a>.</p>\n'


async def learn_who_does_not_exist(stage: Stage) -> bool:
    """The provider takes the mail and its bounce; the relay asks what became of it.

    :returns: whether all of it was as it should be.
    """
    from smtprelay.sandbox.apps import Endpoint, plain_mail

    def send() -> str:
        try:
            plain_mail(Endpoint("127.0.0.1", stage.port), GONE, SENDER)
        except smtplib.SMTPRecipientsRefused as refused:
            code, text = refused.recipients[GONE]
            return f"{code} {text.decode()}"
        return ""

    ok = not await asyncio.to_thread(send)
    first = await stage.daemon.attempt(GONE, "delivered")
    taken = first["reply"].partition(" ")[2]
    stage.say(f"the provider took a mail to {GONE} ({taken}) and could not deliver it, which SMTP never tells;")
    stage.say("'smtprelay suppress sync' asks its HTTP API:")
    ok = bool(await stage.show("suppress", "sync")) and ok
    stage.say("the app sends there again, and is told:")
    reply = await asyncio.to_thread(send)
    stage.quote(reply)
    stage.say(f"and of the first mail, 'smtprelay queue why {first['id']}' now tells:")
    told = await stage.show("queue", "why", first["id"])
    return ok and reply.startswith("550 5.1.1") and named(NO_SUCH_MAILBOX, in_language(language_of(os.environ))) in told


async def run_a_campaign(stage: Stage) -> bool:
    """A template and contacts of ours, sent by the platform.

    :returns: whether all of it was as it should be.
    """
    template = stage.folder / "campaigns" / "autumn"
    template.mkdir(parents=True)
    (template / "subject.j2").write_text(SUBJECT, encoding="utf-8")
    (template / "body.html.j2").write_text(BODY, encoding="utf-8")
    (stage.folder / "contacts.csv").write_text(CONTACTS, encoding="utf-8")
    stage.say("a campaign that the provider sends by itself, 'smtprelay platform tasks create --template autumn …':")
    state = stage.platform.state
    lag, state.lag = state.lag, 0  # the command waits half a second at each thing that it finds in work
    made = await stage.show(
        "platform", "tasks", "create", "--template", "autumn", "--directory", "campaigns", "--contacts", "contacts.csv",
        "--sender", SENDER, "--sender-name", DOMAIN, "--tracking", "1", "--now",
    )  # fmt: skip
    state.lag = lag
    advice = re.search(r"smtprelay (platform stats batches --id \d+)", made)
    if not advice:
        return False
    stage.say(f"'{advice[0]}' tells:")
    figures = await stage.show(*advice[1].split())
    return state.batches[-1].ident in figures

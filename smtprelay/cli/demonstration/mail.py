"""Apps send, and what arrives is shown; then one sends from a domain that is not set up."""

from __future__ import annotations

import asyncio
import email
import email.policy
import smtplib

from smtprelay.cli.demonstration.apps import App, apps
from smtprelay.cli.demonstration.configuration import NEW_DOMAIN
from smtprelay.cli.demonstration.stage import Stage
from smtprelay.words import octets


async def send_and_show(stage: Stage) -> bool:
    """:returns: whether all of it was as it should be."""
    senders = apps(stage.port)
    for app in senders:
        await asyncio.to_thread(app.send)
        stage.say(f"sent: {app.name}")
    for app in senders:
        await stage.daemon.attempt(app.recipient, "delivered")
    connections = f"{stage.smarthost.connections} connection{'s' * (stage.smarthost.connections != 1)}"
    stage.say(f"all {len(senders)} arrived, over {connections}:")
    shown = [_show(stage, app) for app in senders]
    retried = await stage.daemon.attempt(senders[0].recipient, "deferred")
    stage.say(f"the one that failed once, as 'smtprelay queue why {retried['id']}' tells it:")
    told = await stage.show("queue", "why", retried["id"])
    return all(shown) and bool(told)


def _show(stage: Stage, app: App) -> bool:
    from smtprelay.sandbox.smarthost import verify

    received = next(message for message in stage.smarthost.messages if app.recipient in message.recipients)
    message = email.message_from_bytes(received.content, policy=email.policy.default)
    signatures = verify(received, stage.records)
    ok = message["Subject"].endswith(app.subject) and len(signatures) == 2 and all(signatures)
    words = ", ".join("verified" if good else "BROKEN" for good in signatures)
    stage.say(f"  {'ok ' if ok else 'BAD'} {octets(len(received.content)):>9}  {message['Subject']}  | DKIM: {words}")
    return ok


async def set_up_a_domain(stage: Stage) -> bool:
    """An app sends from a domain that nobody has set up for the provider, until somebody has.

    :returns: whether all of it was as it should be.
    """
    from smtprelay.sandbox.apps import Endpoint, plain_mail

    to = "customer@example.org"

    def send() -> str:
        try:
            plain_mail(Endpoint("127.0.0.1", stage.port), to, f"orders@{NEW_DOMAIN}")
        except smtplib.SMTPSenderRefused as refusal:
            return f"{refusal.smtp_code} {refusal.smtp_error.decode()}"
        return ""

    stage.say(f"an app sends from {NEW_DOMAIN}, whose mail the provider would lose; it is told:")
    reply = await asyncio.to_thread(send)
    stage.quote(reply)
    records = [line.partition(" ")[2] for line in reply.splitlines() if " IN " in line]
    for record in records:
        stage.dns.publish(record)
    stage.say(f"these {len(records)} records published, 'smtprelay domain check {NEW_DOMAIN}' says:")
    passes = await stage.show("domain", "check", NEW_DOMAIN)
    if refused := await asyncio.to_thread(send):
        stage.say(f"BAD  {refused}")
        return False
    await stage.daemon.attempt(to, "delivered")
    stage.say(f"the next mail from {NEW_DOMAIN} arrived")
    return bool(records) and bool(passes)

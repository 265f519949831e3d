"""The real daemon before real servers: the same mails arrive whole, and verify as these servers have stored them."""

from __future__ import annotations

import asyncio
import re
import smtplib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
import trustme

from tests.debian import needs
from tests.peers import smarthosts
from tests.peers.mails import MAILS, TOO_LARGE, Mail
from tests.peers.smarthosts import RECIPIENT_LIMIT, SERVERS, SIZE_LIMIT, WITH_LOGIN, Smarthost, arrival, maildir
from tests.process.relay import ACCOUNT, LOGIN, Relay, make_relay
from tests.verifiers import dkimpy_verify, opendkim_verify

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), needs("libopendkim.so.11")]

# The words of each: for nobody@…, for later@…, and for the recipients after RECIPIENT_LIMIT (aiosmtpd has no limit).
REFUSAL = {
    "aiosmtpd": "550 5.1.1 No such user",
    "exim": "550 5.1.1 No such user",
    "postfix": "550 5.1.1 <nobody@example.org>: Recipient address rejected: No such user",
    "opensmtpd": "550 Invalid recipient: <nobody@example.org>",
}
PUT_OFF = {
    "aiosmtpd": "450 4.2.1 Not now",
    "exim": "451 4.2.1 Not now",
    "postfix": "450 4.2.1 <later@example.org>: Recipient address rejected: Not now",
}
TOO_MANY = {
    "exim": "452 too many recipients",
    "postfix": "452 4.5.3 Error: too many recipients",
    "opensmtpd": "451 4.5.3 Too many recipients: Too many recipients",
}


@dataclass
class Route:
    """The daemon, and the server it sends through."""

    name: str
    relay: Relay
    server: Smarthost

    async def send(self, mail: Mail, *recipients: str, sender: str = ACCOUNT) -> str:
        """As an app with an account. :returns: the message's id."""

        def hand_over() -> str:
            with smtplib.SMTP(self.relay.endpoint.host, self.relay.port) as smtp:
                smtp.login(self.relay.endpoint.username, self.relay.endpoint.password)
                smtp.mail(sender)
                for recipient in recipients:
                    assert smtp.rcpt(recipient)[0] == 250
                code, reply = smtp.data(mail.content)
                assert code == 250, reply
                return reply.decode().rpartition(" ")[2]

        return await asyncio.to_thread(hand_over)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SERVERS)
async def route(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Route]:
    """Mail is tried again after an hour, so that what arrives in a test was not left to the schedule."""
    folder, authority = tmp_path_factory.mktemp(request.param), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    encrypted = request.param != "opensmtpd"
    async with smarthosts.START[request.param](authority.issue_cert("127.0.0.1")) as server:
        relay = make_relay(
            folder,
            server.port,
            keys=["rsa", "ed25519"],
            schedule="1h",
            timeout="30s",
            login=LOGIN if encrypted else "",
            upstream='tls = "starttls"\ntls_ca_file = "ca.pem"' if encrypted else "",
            more="[suppression]\nown_bounces = false",  # nobody@… is refused by them, again and again
        )
        await relay.start()
        try:
            yield Route(request.param, relay, server)
        finally:
            await relay.stop()


@pytest.mark.parametrize("name", MAILS)
async def test_a_mail_arrives_whole_and_verifies(route: Route, name: str) -> None:
    await route.send(MAILS[name], f"{name}@example.org")
    [delivered] = await arrival(route.server, f"{name}@example.org")
    assert delivered.envelope_from == ACCOUNT
    assert delivered.recipients == {f"{name}@example.org"}
    MAILS[name].assert_read_in(delivered.message)
    for verify in (dkimpy_verify, opendkim_verify):
        assert verify(delivered.content, route.relay.records) == [True, True]


async def test_twenty_recipients_and_none_learns_of_the_bcc(route: Route) -> None:
    recipients = [f"twenty-{number}@example.org" for number in range(20)]
    mail = Mail(b"Bcc: twenty-19@example.org\r\n" + MAILS["ascii"].content, MAILS["ascii"].subject, "")
    message_id = await route.send(mail, *recipients)
    for recipient in recipients:
        [delivered] = await arrival(route.server, recipient)
        assert b"\r\nBcc:" not in delivered.content
        assert dkimpy_verify(delivered.content, route.relay.records) == [True, True]
    await route.relay.logged("attempt", id=message_id, attempt=1, status="delivered", count=20)


async def test_a_refused_recipient_among_accepted_ones(route: Route) -> None:
    recipients = ["one@example.org", "nobody@example.org", "two@example.org"]
    sender = "refused@example.com"
    message_id = await route.send(MAILS["ascii"], *recipients, sender=sender)
    await arrival(route.server, recipients[0])
    await arrival(route.server, recipients[2])
    [returned] = await arrival(route.server, sender)
    assert returned.envelope_from == ""
    assert returned.message.get_content_type() == "multipart/report"
    assert re.findall(rb"^Final-Recipient: rfc822;(.*)\r$", returned.content, re.MULTILINE) == [b"nobody@example.org"]
    for verify in (dkimpy_verify, opendkim_verify):
        assert verify(returned.content, route.relay.records) == [True, True]
    refusal = await route.relay.logged("attempt", id=message_id, status="bounced")
    assert refusal["recipient"] == recipients[1]
    assert REFUSAL[route.name] in refusal["reply"]


async def test_the_only_recipient_is_refused(route: Route) -> None:
    """DATA may have gone out before the refusal came; the DSN, the next message of the connection, arrives."""
    sender = "alone@example.com"
    message_id = await route.send(MAILS["ascii"], "nobody@example.org", sender=sender)
    await arrival(route.server, sender)
    refusal = await route.relay.logged("attempt", id=message_id)
    assert (refusal["status"], refusal["phase"]) == ("bounced", "rcpt")
    assert REFUSAL[route.name] in refusal["reply"]


@pytest.mark.parametrize("route", WITH_LOGIN, indirect=True)
async def test_what_is_put_off_is_tried_again(route: Route) -> None:
    (route.server.folder / "later").touch()
    message_id = await route.send(MAILS["ascii"], "later@example.org")
    attempt = await route.relay.logged("attempt", id=message_id)
    assert attempt["status"] == "deferred"
    assert PUT_OFF[route.name] in attempt["reply"]
    await route.relay.settled(queued=1, sending=0)
    (route.server.folder / "later").unlink()
    await route.relay.run("queue", "retry", message_id)
    await arrival(route.server, "later@example.org")
    await route.relay.logged("attempt", id=message_id, attempt=2, status="delivered")


async def test_more_recipients_than_a_transaction_may_have(route: Route) -> None:
    """The rest goes at once, and none waits for the schedule."""
    recipients = [f"many-{number}@example.org" for number in range(RECIPIENT_LIMIT + 10)]
    message_id = await route.send(MAILS["ascii"], *recipients)
    for recipient in recipients:
        assert len(await arrival(route.server, recipient)) == 1
    if words := TOO_MANY.get(route.name):
        tenth = await route.relay.logged("attempt", id=message_id, status="deferred", count=10)
        assert tenth["reply"].endswith(words)


async def test_a_message_over_its_size_is_returned_and_not_sent(route: Route) -> None:
    sender = "large@example.com"
    message_id = await route.send(TOO_LARGE, "size@example.org", sender=sender)
    [returned] = await arrival(route.server, sender)
    assert b"\r\nStatus: 5.3.4\r\n" in returned.content
    assert not [delivered for delivered in maildir(route.server) if "size@example.org" in delivered.recipients]
    refusal = await route.relay.logged("attempt", id=message_id, status="bounced")
    assert f"takes messages of at most {SIZE_LIMIT} octets" in refusal["reply"]

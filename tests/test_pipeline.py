"""submit(): the steps in their order, without sockets or disk."""

from __future__ import annotations

import asyncio
import email
import email.message
import email.policy
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from smtprelay import bounce, metrics
from smtprelay.config import parse_config
from smtprelay.domains.verdict import Finding, Status, Verdict
from smtprelay.errors import TemplateError
from smtprelay.message import Envelope, Message, Origin, Recipient, share_of_key
from smtprelay.offload import Offload
from smtprelay.pipeline import Accepted, Pipeline
from smtprelay.policy import Gate, Limits, Policy
from smtprelay.preparation import Preparer, Submission
from smtprelay.reply import Defer, Reject
from smtprelay.signing import Signer, SigningKey, generate_key, load_key
from smtprelay.spool import SpoolError, SpoolFull, Suppression
from smtprelay.steps import AT_ONCE, Places, Steps
from smtprelay.suppression import mark
from smtprelay.templating.job import Job
from tests.gateway.wire import PASSWORD_HASH
from tests.verifiers import dkimpy_verify

KEY = load_key(generate_key("rsa"), "example.com", "relay1")
RECORDS = {KEY.record_name: KEY.record}
CONFIG = f"""
[gateway]
hostname = "relay.example.com"
[[gateway.accounts]]
username = "app"
password_hash = "{PASSWORD_HASH}"
senders = ["*@example.com"]
# more
[[gateway.accounts]]
username = "narrow"
password_hash = "{PASSWORD_HASH}"
senders = ["a@example.com", "rewrite@example.com"]
[[upstream.credentials]]
name = "rewritten"
senders = ["rewrite@example.com"]
username = "mailbox@example.com"
password_env = "X"
rewrite_sender = "from"
[[upstream.credentials]]
name = "news"
senders = ["*@example.com", "*@sub.example.com", "*@example.net"]
username = "news@example.com"
password_env = "X"
[[domains]]
name = "example.com"
[[domains.keys]]
selector = "relay1"
file = "k.pem"
[[domains]]
name = "sub.example.com"
[[domains.keys]]
selector = "its-own-is-not-loaded-here"
file = "k.pem"
[[domains]]
name = "example.net"
[[domains.keys]]
selector = "nor-is-this"
file = "k.pem"
"""
APP = Origin("10.0.0.1", "app", "ESMTPA", "app")
TRUSTED = Origin("127.0.0.1", "cron", "SMTP")
NOW = 1_790_000_000_000


@dataclass
class MemorySpool:
    """Keeps messages in a list, or fails."""

    kept: list[Message] = field(default_factory=list)
    error: Exception | None = None
    room: int = 10**12
    suppressed: dict[str, Suppression] = field(default_factory=dict)

    async def suppression(self, address: str, now: int) -> Suppression | None:
        return self.suppressed.get(address)

    async def with_key(self, sender: str, idempotency_key: str) -> list[str]:
        shares = share_of_key(idempotency_key, "")
        mine = [message for message in self.kept if message.origin.key == sender]
        return [m.id for m in mine if m.idempotency_key == idempotency_key or m.idempotency_key.startswith(shares)]

    async def put(self, messages: Sequence[Message]) -> list[str]:
        if self.error:
            raise self.error
        self.kept += messages
        return [message.id for message in messages]

    def free(self) -> int:
        return self.room


@dataclass
class Parts:
    pipeline: Pipeline
    offload: Offload
    spool: MemorySpool
    accepted: list[Message]


async def rendered(job: Job, limit: int) -> list[bytes]:
    """The template's work, in short: its name, its variables."""
    if job.template == "broken":
        raise TemplateError("broken", "'name' is undefined", file="broken/subject.j2", line=3, variable="name")
    author = b"From: a@example.com\r\n"
    return [
        (b"" if b"From:" in part.header else author)
        + part.header
        + f"Subject: {job.template}\r\n\r\n{json.dumps(dict(part.variables))}\r\n".encode()
        for part in job.whole_parts()
    ]


def parts(
    more: str = "",
    *,
    smtputf8: bool | None = None,
    statuses: Mapping[str, Status] | None = None,
    rules: str = "",
    accounts: str = "",
    keys: Sequence[SigningKey] = (KEY,),
    quota: Callable[[Message], str] = lambda message: "",
) -> Parts:
    """The pipeline.

    :param statuses: how SPF stands by domain; it passes for the others.
    :param accounts: of the account `APP`.
    :param rules: of `[domain_rules]`.
    """
    config = parse_config(
        (CONFIG.replace("# more", accounts) + f"[domain_rules]\n{rules}\n" + more).encode(), Path("/nowhere")
    )
    spool, accepted = MemorySpool(), list[Message]()

    async def ask(domain: str) -> Verdict:
        finding = Finding("spf", (statuses or {}).get(domain, Status.PASS), problem="there is no SPF record")
        return Verdict(domain, True, NOW, NOW, (finding,))

    preparer, gate = Preparer(config, Signer(keys)), Gate(config, ask)
    offload = Offload(preparer)
    pipeline = Pipeline(
        config,
        Policy(config),
        gate,
        Limits(config.gateway, {}, {"suspended"}, NOW),
        offload,
        Steps(Policy(config), gate, preparer, offload, rendered, Places()),
        preparer.signer,
        spool,  # type: ignore[arg-type]
        quota=quota,
        accepted=accepted.append,
        smtputf8=lambda _: smtputf8,
        clock=lambda: NOW,
    )
    return Parts(pipeline, offload, spool, accepted)


def envelope(sender: str, *recipients: str) -> Envelope:
    return Envelope(sender, tuple(map(Recipient, recipients or ("b@example.org",))))


async def submitted(of: Parts, origin: Origin, sender: str, content: str) -> Message:
    accepted = await of.pipeline.submit(Submission(origin, envelope(sender), content.encode(), NOW))
    [message] = of.spool.kept
    assert accepted == Accepted((message.id,))
    assert of.accepted == [message]
    return message


async def test_what_is_repaired_is_what_is_signed_is_what_is_kept() -> None:
    message = await submitted(parts(), APP, "a@example.com", "From: a@example.com\nSubject: 测试\n\n内容\n")
    assert dkimpy_verify(message.content, RECORDS) == [True]
    assert message.content.isascii()
    parsed = email.message_from_bytes(message.content, policy=email.policy.default)
    assert parsed["Subject"] == message.subject == "测试"
    assert (message.domain, message.credential, message.size) == ("example.com", "news", len(message.content))
    assert message.repairs


async def test_an_account_may_not_write_another_author() -> None:
    """The reverse-path is what MAIL checked; From: is what people read."""
    of = parts()
    with pytest.raises(Reject, match=r"550 5\.7\.1 Account app may not send as boss@example\.net"):
        await submitted(of, APP, "a@example.com", "From: boss@example.net\n\nx\n")
    assert not of.spool.kept


async def test_an_account_may_not_hide_another_author_behind_its_own() -> None:
    """RFC 5322 §3.6.2 allows several; a reader may see any of them, and we would sign for all."""
    with pytest.raises(Reject, match=r"may not send as ceo@example\.net"):
        await submitted(parts(), APP, "a@example.com", "From: a@example.com, ceo@example.net\n\nx\n")


async def test_the_username_of_a_credential_is_no_free_author() -> None:
    """It is in nobody's senders here, and only a credential that rewrites makes it everybody's."""
    origin = Origin("10.0.0.1", "app", "ESMTPA", "narrow")
    with pytest.raises(Reject, match="may not send as news@example"):
        await submitted(parts(), origin, "a@example.com", "From: news@example.com\n\nx\n")
    message = await submitted(parts(), origin, "rewrite@example.com", "To: b@example.org\n\nx\n")
    assert b"From: mailbox@example.com" in message.content


async def test_mail_from_the_null_reverse_path_is_judged_by_its_author() -> None:
    message = await submitted(parts(), TRUSTED, "", "From: a@example.com\n\nx\n")
    assert message.credential == "news"
    with pytest.raises(Reject, match="No log-in at the smarthost"):
        await submitted(parts(), TRUSTED, "", "From: a@example.org\n\nx\n")


async def test_a_parent_domain_signs() -> None:
    message = await submitted(parts(), TRUSTED, "a@sub.example.com", "From: a@sub.example.com\n\nx\n")
    assert (message.domain, message.selectors) == ("example.com", ("relay1",))
    assert message.author_domain == "sub.example.com"
    assert dkimpy_verify(message.content, RECORDS) == [True]


async def test_without_a_key_mail_is_refused_or_leaves_unsigned() -> None:
    content = "From: a@example.net\n\nx\n"
    with pytest.raises(Reject, match=r"550 5\.7\.1 There is no DKIM key for example\.net: run 'smtprelay dkim keygen"):
        await submitted(parts(), TRUSTED, "a@example.net", content)
    unsigned = parts('[signing]\non_missing_key = "send-unsigned"')
    message = await submitted(unsigned, TRUSTED, "a@example.net", content)
    assert message.domain == ""
    assert b"DKIM-Signature" not in message.content


async def test_a_credential_that_rewrites_signs_what_it_made() -> None:
    message = await submitted(parts(), APP, "rewrite@example.com", "From: A <rewrite@example.com>\n\nx\n")
    parsed = email.message_from_bytes(message.content, policy=email.policy.default)
    assert parsed["From"] == "A <mailbox@example.com>"
    assert "rewrite@example.com" in parsed["Reply-To"]
    assert dkimpy_verify(message.content, RECORDS) == [True]
    assert message.envelope.reverse_path == "rewrite@example.com", "rewritten when it is sent; a DSN goes to the app"


@pytest.mark.parametrize(("error", "code"), [(SpoolFull("full"), 452), (SpoolError("broken"), 451)])
async def test_what_cannot_be_stored_is_not_taken(error: Exception, code: int) -> None:
    of = parts()
    of.spool.error = error
    with pytest.raises(Defer) as refusal:
        await submitted(of, APP, "a@example.com", "From: a@example.com\n\nx\n")
    assert refusal.value.reply.code == code
    assert not of.accepted


async def test_the_disk_floor_counts_the_declared_size() -> None:
    of = parts()
    of.spool.room = 2**30 + 1000
    await of.pipeline.check_sender(APP, "a@example.com", 1000)
    with pytest.raises(Defer, match=r"452 4\.3\.1"):
        await of.pipeline.check_sender(APP, "a@example.com", 1001)


@pytest.mark.parametrize("offered", [True, None])
async def test_a_non_ascii_local_part_is_taken_where_the_smarthost_may_take_it(offered: bool | None) -> None:
    await parts(smtputf8=offered).pipeline.check_recipient("a@example.com", Recipient("用户@example.org"))


async def test_a_non_ascii_local_part_is_refused_where_the_smarthost_cannot_take_it() -> None:
    with pytest.raises(Reject, match=r"553 5\.6\.7"):
        await parts(smtputf8=False).pipeline.check_recipient("a@example.com", Recipient("用户@example.org"))


LI = Suppression("li@example.org", "1", 0, source="platform news")


@pytest.mark.parametrize("reverse_path", ["a@example.com", ""])
async def test_an_address_that_is_not_to_be_sent_to_is_refused(reverse_path: str) -> None:
    of = parts()
    of.spool.suppressed["li@example.org"] = LI
    with pytest.raises(Reject, match=r"550 5\.1\.1 .* smtprelay suppress remove li@example\.org"):
        await of.pipeline.check_recipient(reverse_path, Recipient("li@example.org"))
    bo = Recipient("bo@example.org", "NEVER")
    assert await of.pipeline.check_recipient(reverse_path, bo) == bo


async def test_where_it_is_taken_its_message_is_kept_with_the_mark() -> None:
    of = parts('[suppression]\naction = "discard"')
    of.spool.suppressed["li@example.org"] = LI
    before = metrics.SUPPRESSED.values.get(("1",), 0)
    li = await of.pipeline.check_recipient("a@example.com", Recipient("li@example.org", "NEVER"))
    assert li == Recipient("li@example.org", "NEVER", suppressed=mark(LI))
    envelope = Envelope("a@example.com", (li, Recipient("bo@example.org")))
    with capture_logs() as entries:
        await of.pipeline.submit(Submission(APP, envelope, b"From: a@example.com\r\n\r\nx\r\n", NOW))
    [kept] = of.spool.kept
    assert kept.envelope.recipients == envelope.recipients
    assert metrics.SUPPRESSED.values[("1",)] == before + 1
    [told] = [entry for entry in entries if entry["event"] == "attempt"]
    assert (told["recipient"], told["status"], told["reason"]) == ("li@example.org", "suppressed", "1")


async def test_what_goes_to_nobody_is_not_held() -> None:
    """It has ended: as held, it would be told of as an error, and nobody could ever release it."""
    of = parts('[suppression]\naction = "discard"', quota=lambda message: "quota")
    of.spool.suppressed["li@example.org"] = LI
    li = await of.pipeline.check_recipient("a@example.com", Recipient("li@example.org"))
    for recipients in ((li,), (li, Recipient("bo@example.org"))):
        envelope = Envelope("a@example.com", recipients)
        await of.pipeline.submit(Submission(APP, envelope, b"From: a@example.com\r\n\r\nx\r\n", NOW))
    assert [kept.hold for kept in of.spool.kept] == ["", "quota"]


async def test_what_goes_to_many_is_kept_as_such() -> None:
    of = parts()
    for fields in (b"", b"List-Unsubscribe: <https://example.com/u>\r\n"):
        content = b"From: a@example.com\r\n" + fields + b"\r\nx\r\n"
        envelope = Envelope("a@example.com", (Recipient("b@example.org"),))
        await of.pipeline.submit(Submission(APP, envelope, content, NOW))
    assert [message.bulk for message in of.spool.kept] == [False, True]


async def test_smtputf8_is_asked_for_only_where_it_is_needed() -> None:
    content = "From: a@example.com\nSubject: 测试\n\nx\n".encode()
    of = parts()
    declared = Envelope("a@example.com", (Recipient("b@example.org"),), smtputf8=True)
    await of.pipeline.submit(Submission(APP, declared, content, NOW))
    needed = Envelope("a@example.com", (Recipient("用户@example.org"),), smtputf8=True)
    await of.pipeline.submit(Submission(APP, needed, content, NOW))
    assert [message.envelope.smtputf8 for message in of.spool.kept] == [False, True]


async def test_over_a_limit_it_is_taken_and_held() -> None:
    message = await submitted(parts(), Origin("suspended"), "a@example.com", "From: a@example.com\n\nx\n")
    assert message.hold == "suspended"


# The domain rules


async def test_mail_is_held_while_nothing_is_known_of_its_domain() -> None:
    of = parts(statuses={"example.com": Status.TEMPORARY})
    await of.pipeline.check_sender(APP, "a@example.com", 0)
    message = await submitted(of, APP, "a@example.com", "From: a@example.com\n\nx\n")
    assert message.hold == "dns"


async def test_the_domain_of_the_reverse_path_is_judged_at_mail() -> None:
    with pytest.raises(Reject, match="there is no SPF record"):
        await parts(statuses={"example.com": Status.FAIL}).pipeline.check_sender(APP, "a@example.com", 0)


async def test_the_domain_of_the_author_is_judged_after_the_dot() -> None:
    of = parts(statuses={"example.com": Status.FAIL})
    await of.pipeline.check_sender(TRUSTED, "a@sub.example.com", 0)
    with pytest.raises(Reject, match="there is no SPF record"):
        await submitted(of, TRUSTED, "a@sub.example.com", "From: a@example.com\n\nx\n")
    assert not of.spool.kept


async def test_what_is_held_for_its_sender_is_not_let_go_by_dns() -> None:
    """The fault: a suspended account's mail carries a reason that passes by itself."""
    of = parts(statuses={"example.com": Status.TEMPORARY})
    message = await submitted(of, Origin("suspended"), "a@example.com", "From: a@example.com\n\nx\n")
    assert message.hold == "suspended"


async def test_what_waits_for_want_of_quota_is_held_and_what_is_held_anyway_takes_none_of_it() -> None:
    asked: list[Message] = []

    def quota(message: Message) -> str:
        asked.append(message)
        return "quota"

    unknown = {"example.com": Status.TEMPORARY}
    for of, origin, hold in (
        (parts(quota=quota), TRUSTED, "quota"),
        (parts(quota=quota), Origin("suspended"), "suspended"),
        (parts(quota=quota, statuses=unknown), APP, "dns"),
    ):
        message = await submitted(of, origin, "a@example.com", "From: a@example.com\n\nx\n")
        assert message.hold == hold
    assert [message.origin for message in asked] == [TRUSTED]


REWRITING = """
[[upstream.credentials]]
name = "old-app"
senders = ["*@intranet.local"]
username = "app@example.com"
password_env = "X"
rewrite_sender = "from"
"""


async def test_the_domain_that_counts_is_the_one_that_leaves() -> None:
    """An app whose addresses its credential rewrites: nobody ever sees its own domain."""
    of = parts(REWRITING)
    await of.pipeline.check_sender(TRUSTED, "root@intranet.local", 0)
    message = await submitted(of, TRUSTED, "root@intranet.local", "From: root@intranet.local\n\nx\n")
    assert message.author_domain == "example.com"
    failing = parts(REWRITING, statuses={"example.com": Status.FAIL})
    with pytest.raises(Reject, match="there is no SPF record"):
        await failing.pipeline.check_sender(TRUSTED, "root@intranet.local", 0)


@pytest.mark.parametrize("rewrite", ["envelope", "from"])
async def test_a_username_is_an_address_however_it_is_written(rewrite: str) -> None:
    """The fault: nobody could send through a credential whose username has capital letters."""
    rewriting = REWRITING.replace("app@example.com", "App@Example.COM").replace('"from"', f'"{rewrite}"')
    of = parts(rewriting)
    await of.pipeline.check_sender(TRUSTED, "root@intranet.local", 0)
    message = await submitted(of, TRUSTED, "root@intranet.local", "From: a@example.com\n\nx\n")
    assert (message.author_domain, message.hold) == ("example.com", "")


@pytest.mark.parametrize("domain", ["example.org", "other.example.com"])
async def test_a_domain_that_is_not_listed_may_not_send(domain: str) -> None:
    anybody = '[[upstream.credentials]]\nname = "any"\n'
    with pytest.raises(Reject, match=rf"550 5\.7\.1 {domain} is not among .*add it to \[\[domains\]\]"):
        await parts(anybody).pipeline.check_sender(TRUSTED, f"a@{domain}", 0)
    await parts(anybody, rules="allow_other_domains = true").pipeline.check_sender(TRUSTED, f"a@{domain}", 0)


MISTAKES = (
    *(b"From: a@example.com", b"From: =?utf-8?q?=E6?= <a@example.com>", b"Subject: \xb2\xe2\xca\xd4", b"To: b;c@d.e;"),
    *(b"", b" folded", b"no field", b":", b"X-A:\x00\x0b", b"text \xe6\xb5\x8b", b"y" * 1200, b"  \t "),
    *(b"Subject: =?utf-16-le?b?ANg=?= =?utf-8?q?=ED=A0=80?= =?utf-7?q?+2AA-?=", b"Message-ID: <\xff@\xed\xa0\x80>"),
    *(b"Content-Type: multipart/mixed; boundary=x", b"--x", b"--x--", b"Content-Transfer-Encoding: base64"),
    b"DKIM-Signature: v=1",
)
PREPARER = Preparer(parse_config(CONFIG.encode(), Path("/nowhere")), Signer([KEY]))
LINES = st.lists(st.sampled_from(MISTAKES) | st.binary(max_size=60), max_size=20)
ENDS = st.sampled_from([b"\r\n", b"\n", b"\r"])


@given(LINES, ENDS)
def test_any_octets_are_refused_or_leave_with_a_signature_that_holds(lines: list[bytes], end: bytes) -> None:
    content = end.join(lines)
    try:
        message = PREPARER.prepare(Submission(TRUSTED, envelope("a@example.com"), content, NOW))
    except Reject:
        return
    assert dkimpy_verify(message.content, RECORDS)[0]
    for text in (message.subject, message.message_id, *message.repairs):
        text.encode()  # what is no UTF-8 could not be stored


# Notifications

STATUS = bounce.Status(Recipient("b@example.org"), "failed", "5.1.1", "550 5.1.1 No such user")


async def notification(of: Parts, sender: str = "a@example.com") -> Message | str:
    message = await submitted(of, TRUSTED, sender, "From: a@example.com\n\nx\n")
    return await of.pipeline.notification(message, [STATUS], b"From: a@example.com\r\n", None)


async def test_a_notification_to_an_address_that_is_not_to_be_sent_to_is_recorded_and_not_sent() -> None:
    of = parts()
    of.spool.suppressed["a@example.com"] = Suppression("a@example.com", "2", 0, source="bounce of id1")
    made = await notification(of)
    assert isinstance(made, Message)
    [recipient] = made.envelope.recipients
    assert recipient.suppressed
    assert recipient.suppressed.cause == "2"


async def test_a_notification_inherits_credential_and_domain_and_is_signed() -> None:
    made = await notification(parts())
    assert isinstance(made, Message)
    assert (made.credential, made.domain) == ("news", "example.com")
    assert made.envelope == Envelope("", (Recipient("a@example.com", "NEVER"),))
    assert dkimpy_verify(made.content, RECORDS) == [True]
    assert email.message_from_bytes(made.content)["From"].endswith("<postmaster@example.com>")


async def test_a_notification_is_signed_with_the_keys_of_its_moment() -> None:
    """The message about which it tells was signed for a sub-domain that has no key any more."""
    before = parts(keys=[load_key(generate_key("rsa", 1024), "sub.example.com", "old")])
    message = await submitted(before, TRUSTED, "a@sub.example.com", "From: a@sub.example.com\n\nx\n")
    made = await parts().pipeline.notification(message, [STATUS], b"", None)
    assert isinstance(made, Message)
    assert (made.domain, made.selectors) == ("example.com", ("relay1",))
    assert dkimpy_verify(made.content, RECORDS) == [True]


@pytest.mark.parametrize(
    ("more", "sender", "reason"),
    [
        ("", "", "none: the reverse-path is null"),
        ('[bounces]\nsend_to = "none"', "a@example.com", "none: [bounces] send_to is none"),
    ],
)
async def test_where_there_is_no_notification_the_books_say_why(more: str, sender: str, reason: str) -> None:
    assert await notification(parts(more), sender) == reason


async def test_a_notification_can_go_to_a_person_from_the_credential() -> None:
    made = await notification(parts('[bounces]\nsend_to = "ops@example.net"\nenvelope = "credential"'), "")
    assert isinstance(made, Message)
    assert made.envelope.reverse_path == "news@example.com"
    assert made.envelope.recipients[0].address == "ops@example.net"


# Instructions by header

TEMPLATED = "From: a@example.com\nTo: Ann <ann@example.org>, bob@example.org\nSubject: app's\nX-MC-Template: welcome\n"
MERGE = 'X-MC-MergeVars: {"shop": "s"}\nX-MC-MergeVars: {"_rcpt": "ANN@example.org", "name": "Ann"}\n'
KEY_FIELD = "X-SMTPRelay-Idempotency-Key: order-7\n"


async def taken(of: Parts, content: str, *recipients: str, origin: Origin = APP) -> Accepted:
    return await of.pipeline.submit(Submission(origin, envelope("a@example.com", *recipients), content.encode(), NOW))


def fields(message: Message) -> email.message.EmailMessage:
    return email.message_from_bytes(message.content, policy=email.policy.default)


async def test_a_template_is_rendered_as_the_message() -> None:
    of = parts()
    content = "DKIM-Signature: v=1; d=example.com; s=relay1; a=rsa-sha256; h=from; bh=eA==; b=eA==\n"
    content += TEMPLATED + 'X-SMTPRelay-Vars: {"name": "李"}\nX-Mailer: old\nContent-Type: text/plain\n\nbody\n'
    accepted = await taken(of, content, "ann@example.org", "bob@example.org")
    [message] = of.spool.kept
    assert accepted.ids == (message.id,)
    assert dkimpy_verify(message.content, RECORDS) == [True]
    made = fields(message)
    assert (made["Subject"], made["X-Mailer"], made["To"]) == (
        "welcome",
        "old",
        "Ann <ann@example.org>, bob@example.org",
    )
    assert not [name for name in made if name.lower().startswith(("x-mc-", "x-smtprelay-"))]
    assert json.loads(made.get_content()) == {"name": "李"}
    assert "rendered from template welcome" in message.repairs


async def test_variables_of_one_recipient_make_a_message_for_each() -> None:
    of = parts()
    content = TEMPLATED + MERGE + "Cc: c@example.org\nMessage-ID: <1@example.com>\n" + KEY_FIELD + "\nx\n"
    accepted = await taken(of, content, "ann@example.org", "bob@example.org")
    assert accepted.ids == tuple(message.id for message in of.spool.kept)
    assert len(set(accepted.ids)) == 2
    ann, bob = map(fields, of.spool.kept)
    assert [ann["To"], bob["To"]] == ["Ann <ann@example.org>", "bob@example.org"]
    assert json.loads(ann.get_content()) == {"shop": "s", "name": "Ann"}
    assert json.loads(bob.get_content()) == {"shop": "s"}
    assert ann["Cc"] is bob["Cc"] is None
    assert ann["Message-ID"] != bob["Message-ID"]
    assert [m.envelope.recipients for m in of.spool.kept] == [
        (Recipient(f"{who}@example.org"),) for who in ("ann", "bob")
    ]
    assert await taken(of, content, "ann@example.org", "bob@example.org") == Accepted(accepted.ids, before=True)
    assert len(of.accepted) == 2


async def test_what_all_recipients_share_is_not_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: a megabyte of header and a thousand recipients took gigabytes, and stopped the loop for seconds."""
    sizes = []

    async def weighed(job: Job, limit: int) -> list[bytes]:
        sizes.append(len(pickle.dumps(job)))
        return [b"From: a@example.com\r\n\r\nx\r\n" for _ in job.parts]

    monkeypatch.setattr("tests.test_pipeline.rendered", weighed)
    shared = "X-SMTPRelay-Vars: " + json.dumps({f"v{n}": n for n in range(9999)}).replace(", ", ",\n ") + "\n"
    content = TEMPLATED + MERGE + shared + f"X-Notes: {'x' * 900}\n" * 200 + "\nx\n"
    await taken(parts(), content, *(f"{n}@example.org" for n in range(1000)))
    assert sizes[0] < 3 * len(content)


async def test_with_one_recipient_what_the_app_wrote_stays() -> None:
    of = parts()
    await taken(of, TEMPLATED + MERGE + "Message-ID: <1@example.com>\n\nx\n", "ann@example.org")
    [made] = map(fields, of.spool.kept)
    assert (made["Message-ID"], made["To"]) == ("<1@example.com>", "Ann <ann@example.org>, bob@example.org")


async def test_a_template_that_cannot_be_rendered_is_refused_with_its_place() -> None:
    of = parts()
    with pytest.raises(Reject) as caught:
        await taken(of, "From: a@example.com\nX-SMTPRelay-Template: broken\n\nx\n")
    assert str(caught.value) == "550 5.6.0 Template broken (broken/subject.j2, line 3): 'name' is undefined"
    assert not of.spool.kept


async def test_who_leaves_the_author_to_the_template_gets_the_bounces_there() -> None:
    of = parts()
    for header in ("To: b@example.org\n", "From: Shop <b@example.com>\n"):
        content = f"{header}X-SMTPRelay-Template: signed\n\nx\n".encode()
        await of.pipeline.submit(Submission(APP, envelope(""), content, NOW))
    left, given = of.spool.kept
    assert (left.envelope.reverse_path, fields(left)["From"]) == ("a@example.com", "a@example.com")
    assert (given.envelope.reverse_path, fields(given)["From"]) == ("", "Shop <b@example.com>")


async def test_an_account_may_be_limited_to_some_templates() -> None:
    of = parts(accounts='templates = ["receipt", "shop-*"]')
    for allowed in ("receipt", "shop-news"):
        await taken(of, f"From: a@example.com\nX-SMTPRelay-Template: {allowed}\n\nx\n")
    with pytest.raises(Reject, match=r"550 5\.7\.1 Account app may not use the template welcome: add it to templates"):
        await taken(of, TEMPLATED + "\nx\n")
    await taken(of, TEMPLATED + "\nx\n", origin=TRUSTED)
    assert len(of.accepted) == 3


async def test_the_same_key_of_the_same_sender_is_answered_with_the_first_id() -> None:
    of = parts()
    content = f"From: a@example.com\n{KEY_FIELD}\nx\n"
    first = await taken(of, content)
    assert not first.before
    # Also where the app would be refused by now: what was accepted was accepted.
    assert await taken(of, content + "X-MC-Template: broken\n") == Accepted(first.ids, before=True)
    assert (await taken(of, content, origin=TRUSTED)).ids != first.ids
    assert [message.idempotency_key for message in of.spool.kept] == ["order-7", "order-7"]


async def test_tags_and_the_time_to_send_go_with_the_message() -> None:
    of = parts()
    at = NOW // 1000 + 3600
    await taken(of, f"From: a@example.com\nX-SMTPRelay-Send-At: {at}\nX-MC-Tags: a, b\n\nx\n")
    [message] = of.spool.kept
    assert (message.due_at, message.received_at, message.tags) == (at * 1000, NOW, ("a", "b"))


async def test_one_message_that_becomes_many_counts_as_many() -> None:
    of = parts(accounts='rate = "2/h"')
    await taken(of, TEMPLATED + MERGE + "\nx\n", "ann@example.org", "bob@example.org", "c@example.org")
    assert [message.hold for message in of.spool.kept] == ["", "", "rate"]


async def test_rendered_messages_wait_for_those_that_are_not_stored_yet() -> None:
    """A template makes much of little: what it made must not pile up in memory."""
    of = parts()
    going = asyncio.Event()

    async def put(messages: Sequence[Message]) -> list[str]:
        waiting.append(messages)
        await going.wait()
        return [message.id for message in messages]

    waiting: list[Sequence[Message]] = []
    of.spool.put = put  # type: ignore[method-assign]
    tasks = [asyncio.create_task(taken(of, TEMPLATED + "\nx\n")) for _ in range(AT_ONCE + 2)]
    async with asyncio.timeout(10):
        while len(waiting) < AT_ONCE:
            await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert len(waiting) == AT_ONCE
        going.set()
        await asyncio.gather(*tasks)
    assert len(waiting) == AT_ONCE + 2

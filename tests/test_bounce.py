"""Delivery status notifications, read back by the standard library's parser."""

from __future__ import annotations

import email
import quopri
from email.message import EmailMessage
from email.message import Message as StdMessage
from email.policy import default
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.bounce import Action, Status, notification, wants
from smtprelay.bounce_text import CHINESE, ENGLISH
from smtprelay.message import Envelope, Message, Origin, Recipient

ARRIVED = 1_763_888_520_000  # Sun, 23 Nov 2025 09:02:00 UTC
NOW = ARRIVED + 3_600_000
HEADER = b"From: App <app@example.com>\r\nSubject: Invoice 4711\r\n"
REFUSED = Status(
    Recipient("bob@example.org"),
    "failed",
    "5.1.1",
    diagnostic="550 5.1.1 No such user",
    remote_mta="smtp.bestedm.org",
    last_attempt=NOW - 1000,
)


def message(envid: str = "", subject: str = "Invoice 4711", message_id: str = "<m1@example.com>") -> Message:
    return Message(
        id="0000000000000001",
        envelope=Envelope("app@example.com", (REFUSED.recipient,), envid=envid),
        origin=Origin("127.0.0.1"),
        content=b"",
        size=0,
        received_at=ARRIVED,
        due_at=ARRIVED,
        credential="news",
        subject=subject,
        message_id=message_id,
    )


def build(*statuses: Status, about: Message | None = None, **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "message": about or message(),
        "statuses": statuses or (REFUSED,),
        "header": HEADER,
        "body": None,
        "sender": "postmaster@example.com",
        "to": "app@example.com",
        "hostname": "relay.example.com",
        "id": "0000000000000002",
        "now": NOW,
    }
    return notification(**(arguments | changes))


def parse(octets: bytes) -> tuple[EmailMessage, EmailMessage, EmailMessage, EmailMessage]:
    """The notification and its three parts."""
    whole = email.message_from_bytes(octets, policy=default)
    assert isinstance(whole, EmailMessage)
    text, status, returned = whole.iter_parts()
    assert isinstance(text, EmailMessage)
    assert isinstance(status, EmailMessage)
    assert isinstance(returned, EmailMessage)
    return whole, text, status, returned


def groups(octets: bytes) -> list[StdMessage]:
    """The field groups of a message/delivery-status: the message's, then one a recipient."""
    payload = parse(octets)[2].get_payload()
    assert isinstance(payload, list)
    return [group for group in payload if isinstance(group, StdMessage) and group.keys()]


def words(octets: bytes) -> str:
    text: str = parse(octets)[1].get_content()
    return text.replace("\r\n", "\n")


def section(octets: bytes, content_type: str) -> bytes:
    """The decoded content of a part; the parser leaves message/* as it is."""
    head, _, content = octets.partition(f"Content-Type: {content_type}\r\n".encode())[2].partition(b"\r\n\r\n")
    content = content.partition(b"\r\n--=_")[0]
    return quopri.decodestring(content) if b"quoted-printable" in head else content


def assert_well_formed(octets: bytes) -> None:
    assert octets.isascii()
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")
    assert b"\0" not in octets


def test_header_of_the_notification() -> None:
    whole = parse(build())[0]
    assert whole["From"] == "Mail Delivery System <postmaster@example.com>"
    assert whole["To"] == "app@example.com"
    assert whole["Subject"] == "Undelivered Mail Returned to Sender"
    assert whole["Date"] == "Sun, 23 Nov 2025 10:02:00 +0000"
    assert whole["Message-ID"] == "<0000000000000002@example.com>"
    assert whole["In-Reply-To"] == "<m1@example.com>"
    assert whole["Auto-Submitted"] == "auto-replied"
    assert whole["MIME-Version"] == "1.0"
    assert whole.get_content_type() == "multipart/report"
    assert whole.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in whole.iter_parts()] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert not whole.defects


@pytest.mark.parametrize(
    ("actions", "subject"),
    [
        (("failed",), "Undelivered Mail Returned to Sender"),
        (("delayed",), "Delayed Mail (still being retried)"),
        (("relayed",), "Mail Relayed (no further notification will follow)"),
        (("relayed", "delayed", "failed"), "Undelivered Mail Returned to Sender"),
    ],
)
def test_subject_says_what_happened(actions: tuple[Action, ...], subject: str) -> None:
    statuses = [Status(Recipient("bob@example.org"), action, "5.0.0") for action in actions]
    assert parse(build(*statuses))[0]["Subject"] == subject


def test_message_id_that_is_none_is_not_replied_to() -> None:
    assert parse(build(about=message(message_id="<a@b>\r\nBcc: eve@example.org")))[0]["In-Reply-To"] is None


def test_sender_without_a_domain_takes_the_hostname() -> None:
    assert parse(build(sender=""))[0]["Message-ID"] == "<0000000000000002@relay.example.com>"


def test_status_of_a_refusal() -> None:
    about, recipient = groups(build())
    assert about.items() == [
        ("Reporting-MTA", "dns; relay.example.com"),
        ("Arrival-Date", "Sun, 23 Nov 2025 09:02:00 +0000"),
    ]
    assert recipient.items() == [
        ("Final-Recipient", "rfc822;bob@example.org"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; smtp.bestedm.org"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 No such user"),
        ("Last-Attempt-Date", "Sun, 23 Nov 2025 10:01:59 +0000"),
    ]


def test_status_of_a_delay() -> None:
    delayed = Status(
        Recipient("bob@example.org"),
        "delayed",
        "4.4.1",
        explanation="No smarthost could be reached",
        last_attempt=NOW,
        will_retry_until=ARRIVED + 5 * 86_400_000,
    )
    octets = build(delayed)
    assert groups(octets)[1].items() == [
        ("Final-Recipient", "rfc822;bob@example.org"),
        ("Action", "delayed"),
        ("Status", "4.4.1"),
        ("Last-Attempt-Date", "Sun, 23 Nov 2025 10:02:00 +0000"),
        ("Will-Retry-Until", "Fri, 28 Nov 2025 09:02:00 +0000"),
    ]
    assert "Reason: No smarthost could be reached" in words(octets)
    assert "it is tried until Fri, 28 Nov 2025 09:02:00 +0000" in words(octets)
    assert "What to do" not in words(octets)


def test_of_what_failed_it_is_not_said_until_when_it_is_tried() -> None:
    """RFC 3464 §2.3.9."""
    octets = build(Status(Recipient("bob@example.org"), "failed", "5.1.1", will_retry_until=NOW))
    assert "Will-Retry-Until" not in groups(octets)[1]


def test_envid_and_orcpt_are_decoded() -> None:
    status = Status(Recipient("bob@example.org", orcpt="rfc822;Bob+2Bx+40y@Example.com"), "failed", "5.1.1")
    about, recipient = groups(build(status, about=message(envid="QQ+3D+2B314159")))
    assert about["Original-Envelope-Id"] == "QQ=+314159"
    assert recipient["Original-Recipient"] == "rfc822;Bob+x@y@Example.com"


@pytest.mark.parametrize("orcpt", ["", "no-type", ";bob@example.org", "rfc 822;bob", "rfc822;"])
def test_orcpt_that_cannot_be_read_is_left_out(orcpt: str) -> None:
    assert (
        "Original-Recipient" not in groups(build(Status(Recipient("b@example.org", orcpt=orcpt), "failed", "5.1.1")))[1]
    )


@pytest.mark.parametrize(
    "encoded",
    [
        "rfc822;a+0D+0AAction:+20delivered@example.com",
        "rfc822;a+0AAction: delivered",
        "rfc822;a\r\n\r\nAction: delivered",
    ],
)
def test_nothing_is_injected_by_orcpt(encoded: str) -> None:
    recipient = groups(build(Status(Recipient("bob@example.org", orcpt=encoded), "failed", "5.1.1")))[1]
    assert recipient.get_all("Action") == ["failed"]


def test_nothing_is_injected_by_a_reply() -> None:
    injected = Status(
        Recipient("bob@example.org"),
        "failed",
        "5.1.1",
        diagnostic="550 no\r\nAction: delivered\r\n\r\n--=_0000000000000002--\r\n\u2028X: y\u0085Z: z",
        remote_mta="mx\r\nAction: delivered",
    )
    octets = build(injected)
    assert_well_formed(octets)
    assert len(groups(octets)) == 2
    assert groups(octets)[1].get_all("Action") == ["failed"]


def test_long_reply_is_folded_between_words() -> None:
    diagnostic = "550 " + "very long words " * 40
    octets = build(Status(Recipient("bob@example.org"), "failed", "5.0.0", diagnostic=diagnostic))
    section = octets[octets.index(b"Diagnostic-Code") :].partition(b"\r\n\r\n")[0]
    assert all(len(line) <= 78 for line in section.split(b"\r\n"))
    assert section.replace(b"\r\n", b"").decode() == f"Diagnostic-Code: smtp; {diagnostic.strip()}"


def test_endless_reply_is_cut() -> None:
    octets = build(Status(Recipient("bob@example.org"), "failed", "5.0.0", diagnostic="x" * 1_000_000))
    assert_well_formed(octets)
    assert len(octets) < 20_000


def test_chinese_reply_stands_in_the_text() -> None:
    octets = build(Status(Recipient("bob@example.org"), "failed", "5.1.1", diagnostic="550 用户不存在"))
    assert_well_formed(octets)
    assert groups(octets)[1]["Diagnostic-Code"] == "smtp; 550 ?????"
    assert words(octets).count("550 用户不存在") == 2


def test_text_tells_what_whom_why_and_what_to_do() -> None:
    text = words(build(about=message(subject="Invoice 4711 发票\r\n\r\nforged")))
    english, chinese = text.split("-" * 72)
    assert "relay.example.com" in english
    assert "Subject: Invoice 4711 发票 forged" in english
    assert "Number: 0000000000000001" in english
    assert ENGLISH.happened["failed"] in english
    assert "<bob@example.org>" in english
    assert "The mail server smtp.bestedm.org answered:\n    550 5.1.1 No such user" in english
    assert "What to do: Check the address for typing errors." in english
    assert CHINESE.happened["failed"] in chinese
    assert "<bob@example.org>" in chinese
    assert CHINESE.remedies["1"] in chinese


def test_text_without_words_of_a_named_server() -> None:
    text = words(
        build(Status(Recipient("bob@example.org"), "failed", "5.0.0", diagnostic="554 no"), about=message("", ""))
    )
    assert "The mail server answered:\n    554 no" in text
    assert "Subject:" not in text


def test_recipients_of_one_fate_share_a_paragraph() -> None:
    text = words(build(*(Status(Recipient(f"r{n}@example.org"), "failed", "5.4.7") for n in range(1000))))
    assert text.count("What to do") == 1
    assert "<r0@example.org>" in text
    assert "<r999@example.org>" in text


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("5.1.1", "typing errors"),
        ("5.1.10", "takes no mail at all"),
        ("5.2.1", "takes no mail at present"),
        ("5.2.2", "mailbox is full"),
        ("5.3.4", "smaller"),
        ("5.4.4", "after the @"),
        ("5.4.7", "send again later"),
        ("5.6.7", "plain Latin letters"),
        ("5.6.3", "plain text"),
        ("5.7.1", "refused by a rule"),
        ("5.7.26", "refused by a rule"),
        ("5.0.0", "mail administrator"),
        ("nonsense", "mail administrator"),
    ],
)
def test_remedy_fits_the_status(status: str, remedy: str) -> None:
    assert remedy in ENGLISH.remedy(status)
    assert ENGLISH.remedies.keys() == CHINESE.remedies.keys()
    key = next(key for key, text in ENGLISH.remedies.items() if text == ENGLISH.remedy(status))
    assert CHINESE.remedy(status) == CHINESE.remedies[key]


def test_header_alone_is_returned() -> None:
    returned = parse(build())[3]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert returned.get_content() == HEADER.decode()


def test_whole_message_is_returned_octet_for_octet() -> None:
    body = b".\r\nFrom here\r\n--=_0000000000000002--\r\n trailing space \r\n"
    octets = build(body=body)
    assert parse(octets)[3].get_content_type() == "message/rfc822"
    assert HEADER + b"\r\n" + body in octets
    boundary = parse(octets)[0].get_boundary()
    assert boundary
    assert boundary.encode() not in body


@pytest.mark.parametrize(
    "body", ["grün\r\n".encode(), b"x" * 999 + b"\r\n", b"nul \0\r\n", b"bare \r cr\r\n", b"bare\nlf\r\n"]
)
def test_body_that_is_not_7bit_is_not_returned(body: bytes) -> None:
    octets = build(body=body)
    assert_well_formed(octets)
    assert parse(octets)[3].get_content_type() == "text/rfc822-headers"


def test_header_with_utf8_is_returned_as_global_headers() -> None:
    header = "To: 张@example.org\r\nSubject: x\r\n".encode()
    octets = build(header=header)
    assert_well_formed(octets)
    assert section(octets, "message/global-headers") == header


def test_non_ascii_address_makes_it_international() -> None:
    """RFC 6533 §4: message/global-delivery-status, the address types are utf-8, and UTF-8 stands in the fields."""
    orcpt = r"utf-8;\x{5F20}\x{2B}x@example.org"
    status = Status(Recipient("张@example.org", orcpt=orcpt), "failed", "5.6.7", diagnostic="553 不支持")
    octets = build(status)
    assert_well_formed(octets)
    assert b"report-type=delivery-status" in octets
    fields = section(octets, "message/global-delivery-status").decode()
    assert "\r\nOriginal-Recipient: utf-8;张+x@example.org\r\n" in fields
    assert "\r\nFinal-Recipient: utf-8;张@example.org\r\n" in fields
    assert "\r\nDiagnostic-Code: smtp; 553 不支持\r\n" in fields


def test_non_ascii_sender_is_told_by_utf8_header() -> None:
    """RFC 6532: only here are octets above 127 unavoidable, and the envelope needs SMTPUTF8 anyway."""
    assert "\r\nTo: <张@example.com>\r\n".encode() in build(to="张@example.com")


@pytest.mark.parametrize(
    ("notify", "failed", "delayed", "relayed"),
    [
        ("", True, True, False),
        ("NEVER", False, False, False),
        ("FAILURE", True, False, False),
        ("DELAY", False, True, False),
        ("SUCCESS", False, False, True),
        ("SUCCESS,FAILURE,DELAY", True, True, True),
    ],
)
def test_notify(notify: str, failed: bool, delayed: bool, relayed: bool) -> None:
    recipient = Recipient("bob@example.org", notify=notify)
    assert (wants(recipient, "failed"), wants(recipient, "delayed"), wants(recipient, "relayed")) == (
        failed,
        delayed,
        relayed,
    )


HEADER_FIELDS = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}
FIELDS = {
    b"Reporting-MTA",
    b"Original-Envelope-Id",
    b"Arrival-Date",
    b"Original-Recipient",
    b"Final-Recipient",
    b"Action",
    b"Status",
    b"Remote-MTA",
    b"Diagnostic-Code",
}
ANY_TEXT = st.text(st.characters(), max_size=300)
STATUSES = st.builds(
    Status,
    recipient=st.builds(
        Recipient,
        address=ANY_TEXT,
        orcpt=ANY_TEXT | st.text("rfc82utf-;+\\x{}0123456789ABCDEF", max_size=60).map(lambda text: "utf-8;" + text),
    ),
    action=st.sampled_from(["failed", "delayed", "relayed"]),
    status=st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True),
    diagnostic=ANY_TEXT | st.integers(900, 3000).map(lambda length: "界" * length),
    remote_mta=ANY_TEXT,
    explanation=ANY_TEXT,
)


@given(
    statuses=st.lists(STATUSES, min_size=1, max_size=3),
    envid=ANY_TEXT,
    subject=ANY_TEXT,
    message_id=ANY_TEXT,
    header=st.binary(max_size=200),
    body=st.none() | st.binary(max_size=200),
)
def test_nothing_from_outside_breaks_the_structure(
    statuses: list[Status], envid: str, subject: str, message_id: str, header: bytes, body: bytes | None
) -> None:
    octets = build(*statuses, about=message(envid, subject, message_id), header=header, body=body)
    assert_well_formed(octets)
    whole, text, status, _ = parse(octets)
    assert set(whole.keys()) - {"In-Reply-To"} == HEADER_FIELDS
    assert text.get_content_type() == "text/plain"
    assert not text.defects
    fields = section(octets, status.get_content_type())
    names = [line.partition(b": ")[0] for line in fields.split(b"\r\n") if line and not line.startswith(b" ")]
    assert names.count(b"Final-Recipient") == names.count(b"Action") == names.count(b"Status") == len(statuses)
    assert set(names) <= FIELDS

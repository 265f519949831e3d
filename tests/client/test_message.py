"""What `send` makes of its arguments."""

from __future__ import annotations

import email
import email.policy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay import Attachment, InvalidMessage, Message, Refused, TemplateError
from smtprelay.client.message import Fields
from smtprelay.client.parcel import Parcel
from smtprelay.instructions import IDEMPOTENCY_KEY, SEND_AT, TAG, TEMPLATE, VARS

SHOP = "shop@example.com"


def packed(**fields: Any) -> Parcel:
    return Message(**{"to": "ann@example.net", **fields}).pack(SHOP)


def parsed(parcel: Parcel) -> EmailMessage:
    return email.message_from_bytes(parcel.content, policy=email.policy.default)


def test_the_arguments_of_send_are_the_fields_of_a_message() -> None:
    hints = get_type_hints(Message)
    assert get_type_hints(Fields) == {name: hints[name] for name in Message.__dataclass_fields__}


def test_chinese_everywhere() -> None:
    parcel = packed(
        to=["王芳 <wang@例子.example>", '"Müller, Hans" <hans@example.net>'],
        cc="李雷 <li@example.net>, bob@example.net",
        from_="网上商店 <shop@example.com>",
        subject="您的验证码是 123456，十分钟内有效，请勿告诉他人，如非本人操作请忽略本邮件",
        text="您好\n",
        html="<p>您好</p>",
        attachments=[Attachment("发票 2026.pdf", b"%PDF"), Attachment("logo.png", b"PNG", content_id="logo")],
        headers={"X-Note": "备注", "Comments": "plain"},
    )
    assert parcel.content.isascii()
    assert parcel.recipients == ("wang@xn--fsqu00a.example", "hans@example.net", "li@example.net", "bob@example.net")
    assert parcel.reverse_path == SHOP
    message = parsed(parcel)
    assert [address.display_name for address in message["To"].addresses] == ["王芳", "Müller, Hans"]
    assert [address.display_name for address in message["Cc"].addresses] == ["李雷", ""]
    assert message["From"].addresses[0].display_name == "网上商店"
    assert message["Subject"] == "您的验证码是 123456，十分钟内有效，请勿告诉他人，如非本人操作请忽略本邮件"
    assert message["X-Note"] == "备注"
    assert (text := message.get_body(["plain"])) is not None
    assert text.get_content() == "您好\r\n"
    assert "发票 2026.pdf" in [part.get_filename() for part in message.walk()]


def test_nobody_is_told_of_bcc() -> None:
    parcel = packed(cc="bob@example.net", bcc=["eve@example.net", "ann@example.net"], text="hello")
    assert parcel.recipients == ("ann@example.net", "bob@example.net", "eve@example.net")
    assert b"eve@" not in parcel.content


def test_what_the_relay_is_told() -> None:
    parcel = packed(
        template="shop/welcome",
        vars={"name": "王芳", "sum": 12.5, "items": [1, 2]},
        tag=["welcome", "新客户"],
        send_at=datetime(2026, 11, 24, 18, tzinfo=timezone(timedelta(hours=8))),
        idempotency_key="order-1",
    )
    message = parsed(parcel)
    assert message[TEMPLATE] == "shop/welcome"
    assert message[VARS] == '{"name": "\\u738b\\u82b3", "sum": 12.5, "items": [1, 2]}'
    assert message.get_all(TAG) == ["welcome", "新客户"]
    assert datetime.fromisoformat(message[SEND_AT]) == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert message[IDEMPOTENCY_KEY] == parcel.key == "order-1"
    assert "Subject" not in message  # it is the template's
    assert parcel.content.endswith(b"\r\n\r\n")


def test_a_time_without_a_zone_is_local() -> None:
    local = datetime(2026, 11, 24, 18)
    assert datetime.fromisoformat(parsed(packed(send_at=local))[SEND_AT]) == local.astimezone()


def test_a_template_may_say_who_writes() -> None:
    parcel = Message(to="ann@example.net", template="welcome").pack()
    assert parcel.reverse_path == ""
    assert "From" not in parsed(parcel)


def test_a_url_in_a_header() -> None:
    url = "<https://example.com/u?c=1>, <mailto:leave@example.com>"
    message = parsed(packed(text="x", headers={"List-Unsubscribe": url, "List-Unsubscribe-Post": "One-Click"}))
    assert message["List-Unsubscribe"] == url


BREAK = "a\r\nBcc: eve@example.net"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to": "nobody"}, "to: 'nobody' is not an address"),
        ({"to": "Müller, Hans <hans@example.net>"}, "to:"),
        ({"to": []}, "no recipient"),
        ({"to": f"ann@example.net{BREAK}"}, "to holds '\\r' at 16"),
        ({"from_": BREAK}, "from_ holds"),
        ({"reply_to": BREAK}, "reply_to holds"),
        ({"cc": "a@b@c"}, "cc:"),
        ({"subject": BREAK}, "subject holds"),
        ({"subject": "a\0"}, "subject holds"),
        ({"headers": {"X-Note": BREAK}}, "headers: X-Note holds"),
        ({"headers": {BREAK: "x"}}, "no name of a header field"),
        ({"headers": {"X Note": "x"}}, "no name of a header field"),
        ({"headers": {"Subject": "x"}}, "headers: Subject is made of subject"),
        ({"headers": {"BCC": "x"}}, "headers: BCC is made of bcc"),
        ({"headers": {"Content-Type": "x"}}, "made of text, html and attachments"),
        ({"tag": BREAK}, "tag holds"),
        ({"template": BREAK}, "template holds"),
        ({"idempotency_key": BREAK}, "idempotency_key holds"),
        ({"attachments": [Attachment(BREAK, b"")]}, "attachment"),
        ({"attachments": [Attachment("a", b"", type=BREAK)]}, "attachment"),
        ({"attachments": [Attachment("a", b"", content_id=BREAK)], "html": "x"}, "attachment"),
        ({"vars": {"name": "Ann"}}, "vars are for a template"),
        ({"template": "welcome", "vars": {"at": datetime(2026, 11, 24)}}, "vars must be JSON values"),
        ({"subject": "\ud800"}, "subject holds"),
        ({"to": "\ud800@example.net"}, "to holds"),
    ],
)
def test_what_cannot_be_sent(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        packed(**{"text": "hello"} | fields)
    assert words in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_nobody_writes() -> None:
    with pytest.raises(InvalidMessage, match="from_ is missing"):
        Message(to="ann@example.net", text="hello").pack()


LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120)
WORDS = LINES.map(str.strip)
NOTES = WORDS.filter(lambda text: "=?" not in text)  # what is encoded already leaves as it is
BODIES = st.lists(LINES, max_size=5).map("\n".join)


@given(
    LINES.map(str.strip),
    LINES.map(str.strip).filter(lambda text: "=?" not in text),
    BODIES,
    BODIES,
    st.binary(max_size=300),
    LINES,
)
def test_what_goes_in_comes_out(subject: str, note: str, text: str, html: str, content: bytes, filename: str) -> None:
    parcel = packed(
        subject=subject,
        text=text,
        html=html,
        headers={"X-Note": note},
        attachments=[Attachment(filename or "x", content)],
    )
    assert parcel.content.isascii()
    assert all(len(line) <= 998 for line in parcel.content.split(b"\r\n"))
    assert b"\n" not in parcel.content.replace(b"\r\n", b"")
    message = parsed(parcel)
    assert message.get("Subject", "") == subject
    assert message.get("X-Note", "") == note
    bodies = [message.get_body([kind]) for kind in ("plain", "html")]
    contents = [body.get_content().replace("\r\n", "\n").rstrip("\r\n") for body in bodies if body]
    assert contents == [text.rstrip("\n"), html.rstrip("\n")]
    [attachment] = message.iter_attachments()
    assert attachment.get_payload(decode=True) == content


@given(st.text(), st.text(), st.text(), st.text())
def test_no_value_makes_a_header_field(subject: str, note: str, tag: str, name: str) -> None:
    try:
        parcel = packed(
            subject=subject, headers={"X-Note": note}, tag=tag, to=f"{name} <ann@example.net>", text="hello"
        )
    except InvalidMessage:
        return
    names = {field.lower() for field in email.message_from_bytes(parcel.content)}
    known = {"from", "to", "subject", "x-note", TAG.lower(), "mime-version", "content-type"}
    assert names <= known | {"content-transfer-encoding"}


@pytest.mark.parametrize(
    "error",
    [
        Refused(550, "5.1.1", "No such user", {"ann@example.net": Refused(550, "", "No")}),
        TemplateError("welcome", "no name", file="body.html.j2", line=3),
        InvalidMessage("no"),
    ],
)
def test_errors_travel_between_processes(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    assert getattr(copy, "recipients", {}).keys() == getattr(error, "recipients", {}).keys()


def test_a_time_is_no_text() -> None:
    with pytest.raises(InvalidMessage, match=r"send_at is a datetime, not 'tomorrow'"):
        Message(to="a@example.org", text="x", send_at="tomorrow").pack("b@example.com")  # type: ignore[arg-type]

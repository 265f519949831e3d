"""Messages that are made already: their octets stay, their header tells the envelope."""

from __future__ import annotations

from email.message import EmailMessage
from email.mime.text import MIMEText

import pytest

from smtprelay import InvalidMessage
from smtprelay.client.parcel import pack
from smtprelay.instructions import IDEMPOTENCY_KEY

SHOP = "shop@example.com"
HEADER = b"From: shop@example.com\r\nTo: ann@example.net\r\n"


def test_the_envelope_is_that_of_the_header() -> None:
    content = (
        b"From: Shop <shop@example.com>\r\nTo: Ann <ann@example.net>; bob@example.net\r\n"
        b"CC: =?utf-8?b?546L6Iqz?= <wang@example.net>\r\nBcc: eve@example.net,\r\n ann@example.net\r\n\r\nhello\r\n"
    )
    parcel = pack(content)
    assert parcel.content is content
    assert parcel.reverse_path == SHOP
    assert parcel.recipients == ("ann@example.net", "bob@example.net", "wang@example.net", "eve@example.net")


@pytest.mark.parametrize(
    ("header", "from_", "expected"),
    [
        (b"From: a@example.com\r\n", "", "a@example.com"),
        (b"From: a@example.com\r\nSender: b@example.com\r\n", "", "b@example.com"),
        (b"From: a@example.com\r\n", "Bounces <c@example.com>", "c@example.com"),
        (b"", "", SHOP),
    ],
)
def test_the_reverse_path(header: bytes, from_: str, expected: str) -> None:
    assert pack(header + b"To: ann@example.net\r\n\r\n", from_=from_, default=SHOP).reverse_path == expected


def test_recipients_that_are_given_take_the_place_of_those_in_the_header() -> None:
    assert pack(HEADER + b"\r\n", to="bob@example.net").recipients == ("bob@example.net",)


def test_a_message_that_is_sent_on() -> None:
    content = HEADER + b"Resent-From: eve@example.com\r\nResent-To: bob@example.net\r\n\r\nhello\r\n"
    parcel = pack(content)
    assert (parcel.reverse_path, parcel.recipients) == ("eve@example.com", ("bob@example.net",))


def test_only_the_ends_of_lines_are_changed() -> None:
    content = HEADER.replace(b"\r\n", b"\n") + b"Subject: \xc4\xe3\xba\xc3\n\n\xc4\xe3\n.\n\0"
    assert pack(content).content == content.replace(b"\n", b"\r\n") + b"\r\n"


def test_its_key_is_known() -> None:
    assert pack(HEADER + f"{IDEMPOTENCY_KEY}: =?utf-8?q?order-1?=\r\n\r\n".encode()).key == "order-1"


@pytest.mark.parametrize("content", [b"", b"hello", b"From: a@example.com\r\n\r\nhello\r\n"])
def test_no_recipient(content: bytes) -> None:
    with pytest.raises(InvalidMessage, match="no recipient"):
        pack(content, default=SHOP)


def test_a_recipient_that_is_none() -> None:
    with pytest.raises(InvalidMessage, match="To: 'undisclosed' is not an address"):
        pack(b"To: undisclosed, ann@example.net\r\n\r\n", default=SHOP)


def test_a_header_that_is_too_large() -> None:
    with pytest.raises(InvalidMessage, match="header is too large"):
        pack(b"To: ann@example.net\r\n" + b"X: y\r\n" * 2000 + b"\r\n")


def message(to: str, sender: str = SHOP) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, to, "你好"
    made.set_content("From here on\n.\n您好\n")
    return made


def test_a_message_of_the_email_package() -> None:
    parcel = pack(message("王芳 <wang@example.net>"))
    assert parcel.recipients == ("wang@example.net",)
    assert parcel.content.partition(b"\r\n\r\n")[0].isascii()
    assert b"\n" not in parcel.content.replace(b"\r\n", b"")


def test_one_with_addresses_that_need_smtputf8() -> None:
    parcel = pack(message("王芳@例子.example"))
    assert parcel.recipients == ("王芳@xn--fsqu00a.example",)
    assert "王芳@例子.example".encode() in parcel.content


def test_one_of_its_old_kind() -> None:
    made = MIMEText("From here on", _charset="us-ascii")
    made["From"], made["To"] = SHOP, "ann@example.net"
    assert pack(made).content.endswith(b"\r\n\r\nFrom here on\r\n")

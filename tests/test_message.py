"""Addresses, domains and ids."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.message import (
    AddressError,
    Envelope,
    Message,
    Origin,
    Recipient,
    domain_of,
    first_id,
    new_id,
    normalise_domain,
    parse_address,
)

NOW = 1_763_888_520_000


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("bob@example.com", "bob@example.com"),
        ("Bob.Smith+tag@EXAMPLE.Com.", "Bob.Smith+tag@example.com"),
        (".bob..smith.@example.com", ".bob..smith.@example.com"),
        ("o'hara/x=y@example.com", "o'hara/x=y@example.com"),
        ('"bob smith"@example.com', '"bob smith"@example.com'),
        (r'"bob\"@\\smith"@example.com', r'"bob\"@\\smith"@example.com'),
        ("root@localhost", "root@localhost"),
        ("bob@[192.0.2.1]", "bob@[192.0.2.1]"),
        ("bob@[IPv6:2001:db8::1]", "bob@[IPv6:2001:db8::1]"),
        ("bob@例子.中国", "bob@xn--fsqu00a.xn--fiqs8s"),
        ("bob@例子。中国。", "bob@xn--fsqu00a.xn--fiqs8s"),
        ("bob@BÜCHER.example", "bob@xn--bcher-kva.example"),
        ("张伟@example.com", "张伟@example.com"),
        ("b@mail_79.example.com", "b@mail_79.example.com"),
        ("b" * 242 + "@example.com", "b" * 242 + "@example.com"),
    ],
)
def test_parse_address(text: str, address: str) -> None:
    assert parse_address(text) == address
    assert parse_address(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "@example.com",
        "bob@",
        "bob@@example.com",
        "bob@example..com",
        "bob@.example.com",
        "bob@-example.com",
        "bob@example-.com",
        "bob@exa mple.com",
        "bob smith@example.com",
        "<bob@example.com>",
        "bob@example.com\n",
        "bob\r\n@example.com",
        "bob\x85@example.com",
        "bob@exam\udce9ple.com",
        "b\udce9b@example.com",
        '"bob"smith@example.com',
        '"bob@example.com',
        "bob@[192.0.2.1",
        "bob@[]",
        "hello<bob@example.com",
        "bob@" + "a" * 64 + ".com",
        "bob@" + "界" * 60 + ".com",
        "b" * 243 + "@example.com",
        "bob@\u200d.com",
        "bob@xn--fsqu00a例.com",
    ],
)
def test_parse_address_refuses(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


@given(st.text(st.characters()) | st.tuples(st.text(st.characters()), st.text(st.characters())).map("@".join))
def test_parse_address_raises_nothing_else(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert len(address.encode()) <= 254
    assert "\r" not in address
    assert "\n" not in address
    assert parse_address(address) == address


@given(st.text(st.characters()))
def test_normalise_domain_raises_nothing_else(text: str) -> None:
    try:
        domain = normalise_domain(text)
    except AddressError:
        return
    assert domain.isascii()


def test_domain_of() -> None:
    assert domain_of("bob@example.com") == "example.com"
    assert domain_of('"bob@home"@example.com') == "example.com"
    assert domain_of("") == ""


def test_ids_are_in_order_of_time() -> None:
    ids = [new_id(at) for at in (0, 1, NOW, NOW + 1, 2**44 - 1)]
    assert ids == sorted(ids)
    assert all(len(id_) == 16 and set(id_) <= set("0123456789abcdefghijklmnopqrstuv") for id_ in ids)


def test_ids_of_one_moment_differ() -> None:
    assert len({new_id(NOW) for _ in range(1000)}) == 1000


@given(st.integers(0, 2**44 - 2))
def test_first_id_bounds_a_moment(at: int) -> None:
    assert first_id(at) <= new_id(at) < first_id(at + 1)


def test_first_id_before_1970_is_the_smallest() -> None:
    assert first_id(-1) == first_id(0) == "0" * 16


def test_origin_key_is_the_account_or_the_client() -> None:
    assert Origin("10.0.0.1", account="billing").key == "billing"
    assert Origin("10.0.0.1").key == "10.0.0.1"


def test_values_can_be_pickled() -> None:
    envelope = Envelope("a@example.com", (Recipient("b@example.com", "NEVER", "rfc822;b"),), "HDRS", "QQ", True)
    message = Message(new_id(NOW), envelope, Origin("10.0.0.1"), b"x", 1, NOW, NOW, "news")
    assert pickle.loads(pickle.dumps(message)) == message

"""Our verifier judges signatures as others do, and says what is wrong."""

from __future__ import annotations

import pytest
from dkim import MessageFormatError
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from smtprelay.verifier import MAX_SIGNATURES, signatures
from tests.test_signing import DOMAIN, KEYS, MESSAGE, key_of, signed
from tests.verifiers import dkimpy_verify


@pytest.mark.parametrize("names", KEYS.values(), ids=KEYS)
def test_what_we_sign_holds(names: tuple[str, ...]) -> None:
    content, records = signed(MESSAGE, *map(key_of, names))
    found = signatures(content)
    assert [(s.domain, s.verify(records[s.record_name])) for s in found] == [(DOMAIN, "")] * len(names)


def test_signatures_over_signatures_hold() -> None:
    once, records = signed(MESSAGE, key_of("rsa-1024"))
    twice, more = signed(once, key_of("ed25519"))
    assert [s.verify({**records, **more}[s.record_name]) for s in signatures(twice)] == ["", ""]


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        (b"Dear Bob", b"Dear Eve", "the body is not the one that was signed"),
        (b"Your  invoice", b"Your refund", "the key does not fit, or the header was changed"),
        (b"From:", b"Subject: another\r\nFrom:", "the key does not fit, or the header was changed"),
        (b"d=example.com", b"d=example.org", "the key does not fit, or the header was changed"),
        (b" bh=", b" bh=!", "it is cut or mistyped"),
        (b" v=1;", b"", "it has no v="),
        (b" v=1;", b" v=1; v=1;", "it has the same tag twice"),
        (b"relaxed/relaxed", b"simple/simple", "it is of a kind that is not verified here"),
        (b"c=relaxed/relaxed;", b"c=relaxed/relaxed; l=0;", "it is of a kind that is not verified here"),
    ],
)
def test_what_was_changed_is_seen(was: bytes, becomes: bytes, problem: str) -> None:
    content, records = signed(MESSAGE, key_of("rsa-1024"))
    assert was in content
    [found] = signatures(content.replace(was, becomes, 1))
    assert found.verify(next(iter(records.values()))) == problem


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("k=rsa; p=", "says that its key was revoked"),
        ("nothing", "is no DKIM key"),
        (key_of("ed25519").record, "is of another kind"),
        (key_of("rsa-2048").record, "the key does not fit"),
    ],
    ids=["revoked", "none", "of another kind", "another"],
)
def test_another_key_does_not_do(record: str, problem: str) -> None:
    [found] = signatures(signed(MESSAGE, key_of("rsa-1024"))[0])
    assert problem in found.verify(record)


def test_a_message_without_a_signature_has_none() -> None:
    assert signatures(MESSAGE) == signatures(b"") == signatures(b"no header\r\n\r\n") == []


def test_a_flood_of_signatures_is_cut() -> None:
    assert len(signatures(b"DKIM-Signature: v=1\r\n" * 1000 + MESSAGE)) == MAX_SIGNATURES


@given(at=st.integers(0, len(MESSAGE) - 1), octet=st.sampled_from(b" \tAz"))
def test_it_says_what_dkimpy_says(at: int, octet: int) -> None:
    content, records = signed(MESSAGE, key_of("rsa-1024"))
    assume(MESSAGE[at] not in b"\r\n")
    at += len(content) - len(MESSAGE)
    changed = content[:at] + bytes([octet]) + content[at + 1 :]
    found = [s.verify(records.get(s.record_name, "")) == "" for s in signatures(changed)]
    try:
        theirs = dkimpy_verify(changed, records)
    except MessageFormatError:
        reject()
    assert found == theirs


@given(st.binary(max_size=300))
def test_any_octets_are_read(octets: bytes) -> None:
    for found in signatures(b"DKIM-Signature:" + octets + b"\r\n\r\nbody"):
        assert found.verify("") != ""

"""The DKIM rules: our keys', and the platform's."""

from __future__ import annotations

import asyncio
import base64
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.domains.dkim import BadKey, check_key, check_platform_key, holds, parse_key
from smtprelay.domains.verdict import Finding, Record, Status
from smtprelay.resolver import Absent, Failed
from smtprelay.signing import SigningKey, generate_key, load_key
from tests.domains.support import Zone

DOMAIN = "example.com"
NAME = "relay1._domainkey.example.com"
PLATFORM = "umail._domainkey.example.com"
SPKI_512 = (
    "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL9onjDde0m6XOlnWjLg3A6YKWUkDMHoSokOTy6GHdsaBKCu1K2LcGHedX96I/JNFcnxV8eS3pTa3mwj"
    "Lv+E5x0CAwEAAQ=="
)


def key(kind: str = "rsa") -> SigningKey:
    return _key(kind)


@cache
def _key(kind: str) -> SigningKey:
    pem = generate_key("ed25519") if kind == "ed25519" else generate_key("rsa", int(kind.removeprefix("rsa") or 2048))
    return load_key(pem, DOMAIN, "relay1")


@cache
def other() -> SigningKey:
    return load_key(generate_key("rsa", 2048), DOMAIN, "relay1")


def p(kind: str = "rsa") -> str:
    return key(kind).record.partition("p=")[2]


def split(text: str, size: int = 100) -> tuple[bytes, ...]:
    octets = text.encode()
    return tuple(octets[at : at + size] for at in range(0, len(octets), size))


async def checked(*texts: str | tuple[bytes, ...], kind: str = "rsa") -> Finding:
    """What is found where these records stand at the key's name."""
    zone = Zone({NAME: [text if isinstance(text, tuple) else split(text) for text in texts]})
    finding = await check_key(zone, key(kind))
    assert (finding.rule, finding.selector, finding.code) == ("dkim", "relay1", "7.20")
    assert finding.passes is (finding.problem == "") is holds(await zone.txt(NAME), key(kind))
    assert not finding.problem.endswith(".")
    return finding


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
async def test_what_we_print_passes(kind: str) -> None:
    finding = await checked(key(kind).record, kind=kind)
    assert (finding.status, finding.found, finding.warnings) == (Status.PASS, key(kind).record, ())


@pytest.mark.parametrize(
    "form",
    [
        "p={p}",
        "v=DKIM1; k=rsa; p={p}",
        "v=DKIM1;k=rsa;p={p};",
        " v = DKIM1 ; k = rsa ;\r\n\tp = {spaced} ; ",
        'v=DKIM1; h=sha1:sha256; s=email; t=s; n=notes "are" free\\; g=*; p={p}',
        "v=DKIM1; s=tlsrpt : * ; x-unknown=1; p={p}",
        "k=rsa; p={pkcs1}",
    ],
)
async def test_forms_that_are_the_same_key(form: str) -> None:
    public = key().private.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    pkcs1 = base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()
    spaced = " ".join(p()[at : at + 64] for at in range(0, len(p()), 64))
    finding = await checked(form.format(p=p(), spaced=spaced, pkcs1=pkcs1))
    assert (finding.status, finding.warnings) == (Status.PASS, ())


@pytest.mark.parametrize("size", [1, 7, 255])
async def test_strings_are_joined_without_a_space(size: int) -> None:
    assert (await checked(split(key().record, size))).status is Status.PASS


async def test_a_key_on_trial() -> None:
    finding = await checked(f"v=DKIM1; t=s : y; p={p()}")
    assert finding.status is Status.PASS
    assert "t=y" in finding.warnings[0]


async def test_a_short_key() -> None:
    finding = await checked(key("rsa1024").record, kind="rsa1024")
    assert finding.status is Status.PASS
    assert "1024 bits" in finding.warnings[0]


def ec_key() -> str:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("k=rsa; p=", "revoked"),
        ("v=DKIM1; p= ;", "revoked"),
        ("v=DKIM1; k=rsa", "p= is missing"),
        ("v=spf1 include:spf.bestedm.org -all", "is no DKIM key"),
        ("v=DKIM2; p={p}", "is no DKIM key"),
        ("v=dkim1; p={p}", "is no DKIM key"),
        ("hello", "is no DKIM key"),
        ("", "is no DKIM key"),
        ("k=rsa; v=DKIM1; p={p}", "does not begin with its v=DKIM1"),
        ("k=rsa; p={p}; p={p}", "the same tag twice"),
        ("k=rsa p={p}", "or the semicolon before it"),
        ("k=rsa; hello; p={p}", "('hello')"),
        ("k=rsa;; p={p}", "('')"),
        ("k=dsa; p={p}", "of a kind that receivers do not know (k=dsa)"),
        ("h=sha1; p={p}", "does not allow SHA-256 (h=sha1)"),
        ("h=sha2561; p={p}", "does not allow SHA-256 (h=sha2561)"),
        ("s=tlsrpt; p={p}", "is not meant for mail (s=tlsrpt)"),
        ("k=rsa; p={cut}", "not base64"),
        ("k=rsa; p=é{p}", "not base64"),
        ("k=rsa; p=#{p}", "not base64"),
        ("k=rsa; p={shorter}", "no RSA key"),
        ("k=rsa; p={ec}", "not RSA"),
        ("k=ed25519; p={p}", "Ed25519 key of 294 octets instead of 32"),
        ("k=rsa; p={ed25519}", "no RSA key"),
        (f"k=rsa; p={SPKI_512}", "512 bits, and receivers ignore fewer than 1024"),
        ('"k=rsa; p={p}"', "quotation marks"),
        ("v=DKIM1\\; k=rsa\\; p={p}", "backslashes"),
    ],
)
async def test_records_without_a_key_that_receivers_would_take(text: str, problem: str) -> None:
    text = text.format(p=p(), cut=p()[:-3], shorter=p()[:-8], ec=ec_key(), ed25519=p("ed25519"))
    finding = await checked(text)
    assert finding.status is Status.FAIL
    assert f"the record at {NAME} " in finding.problem
    assert problem in finding.problem
    assert finding.publish == (Record(NAME, "TXT", key().record),)
    assert len(finding.remove) == 1


async def test_another_key_than_the_one_we_sign_with() -> None:
    finding = await checked(other().record)
    assert finding.status is Status.FAIL
    assert finding.problem == f"the key at {NAME} is another one than our key"
    assert finding.publish == (Record(NAME, "TXT", key().record),)
    assert finding.remove == (Record(NAME, "TXT", other().record),)


@pytest.mark.parametrize("exists", [True, False])
async def test_it_is_not_published(exists: bool) -> None:
    finding = await check_key(Zone({NAME: ["A 192.0.2.1"]} if exists else {}), key())
    assert finding.status is Status.FAIL
    assert finding.problem == f"our key is not published at {NAME}"
    assert finding.publish == (Record(NAME, "TXT", key().record),)


async def test_several_records_where_one_is_right() -> None:
    finding = await checked(other().record, f"v=DKIM1; p={p()}")
    assert finding.status is Status.FAIL
    assert "2 TXT records stand at" in finding.problem
    assert finding.publish == ()  # it is there
    assert finding.remove == (Record(NAME, "TXT", other().record),)


async def test_several_records_of_the_same_key() -> None:
    finding = await checked(key().record, f"v=DKIM1; p={p()}")
    assert finding.status is Status.FAIL
    assert finding.publish == ()
    assert finding.remove == (Record(NAME, "TXT", f"v=DKIM1; p={p()}"),)


async def test_several_records_where_none_is_right() -> None:
    finding = await checked(other().record, "v=spf1 -all")
    assert finding.publish == (Record(NAME, "TXT", key().record),)
    assert [record.value for record in finding.remove] == [other().record, "v=spf1 -all"]


async def test_dns_that_fails() -> None:
    finding = await check_key(Zone({NAME: ["FAIL"]}), key())
    assert finding.status is Status.TEMPORARY
    assert NAME in finding.problem
    assert finding.publish == finding.remove == ()


def test_answers_without_records_hold_no_key() -> None:
    assert not holds(Absent(True, 0), key())
    assert not holds(Failed("x"), key())


async def platform(*texts: str, expected: str = "") -> Finding:
    zone = Zone({PLATFORM: [split(text) for text in texts]} if texts else {})
    finding = await check_platform_key(zone, DOMAIN, "umail", expected)
    assert (finding.rule, finding.selector, finding.code) == ("platform_dkim", "umail", "7.20")
    assert finding.passes is (finding.problem == "")
    return finding


@pytest.mark.parametrize("expected", ["", "{p}", "k=rsa;p={p}", "v=DKIM1; k=rsa; p={p}"])
async def test_the_platforms_key(expected: str) -> None:
    finding = await platform(f"k=rsa;p={p('rsa1024')}", expected=expected.format(p=p("rsa1024")))
    assert finding.status is Status.PASS
    assert "1024 bits" in finding.warnings[0]


async def test_the_platforms_key_is_another_one_than_is_expected() -> None:
    finding = await platform(other().record, expected=p())
    assert finding.status is Status.FAIL
    assert finding.problem == f"the key at {PLATFORM} is another one than the platform's key"
    assert finding.publish == (Record(PLATFORM, "TXT", f"k=rsa; p={p()}"),)


async def test_the_platforms_key_is_missing_and_unknown() -> None:
    finding = await platform()
    assert finding.status is Status.FAIL
    assert "is on the platform's page" in finding.problem
    assert finding.publish == ()


async def test_the_platforms_key_is_missing_and_known() -> None:
    finding = await platform(expected=f"k=rsa;p={p()}")
    assert finding.problem == f"the platform's key is not published at {PLATFORM}"
    assert finding.publish == (Record(PLATFORM, "TXT", f"k=rsa;p={p()}"),)


async def test_what_stands_in_the_platforms_keys_place_is_none() -> None:
    finding = await platform("v=spf1 -all")
    assert "is no DKIM key: the record to publish is on the platform's page" in finding.problem


async def test_several_keys_any_of_which_may_be_the_platforms() -> None:
    finding = await platform(key().record, other().record, "v=spf1 -all")
    assert finding.status is Status.FAIL
    assert finding.remove == (Record(PLATFORM, "TXT", "v=spf1 -all"),)


@pytest.mark.parametrize("expected", ["p=", "rubbish", "AAAA", "k=rsa; p=x", "k=рса; p=AAAA"])
async def test_a_configured_key_that_is_none(expected: str) -> None:
    finding = await platform(key().record, expected=expected)
    assert finding.status is Status.FAIL
    assert "[domain_rules] platform_dkim" in finding.problem


pieces = st.sampled_from(["v=DKIM1", "k=", "rsa", "ed25519", "p=", ";", "; ", "h=sha256", "t=y", "AAAA", "=", SPKI_512])


@given(st.lists(st.lists(pieces | st.text(max_size=20), max_size=10).map("".join), min_size=1, max_size=3))
def test_whatever_stands_there_is_judged(texts: list[str]) -> None:
    zone = Zone({NAME: [tuple(split(text)) for text in texts]})
    finding = asyncio.run(check_key(zone, key()))
    assert finding.status is Status.FAIL
    assert not holds(asyncio.run(zone.txt(NAME)), key())
    assert (finding.found + finding.problem).isprintable()


@given(st.sampled_from(["rsa", "ed25519"]), st.binary(max_size=400))
def test_whatever_octets_the_key_has_they_are_one_or_are_refused(kind: str, octets: bytes) -> None:
    text = f"k={kind}; p={base64.b64encode(octets).decode()}"
    if kind == "ed25519" and len(octets) == 32:
        assert parse_key(text)
    else:
        with pytest.raises(BadKey):
            parse_key(text)

"""DKIM: what is signed stays valid for verifiers of other make, and nothing can be added to it."""

from __future__ import annotations

import codecs
import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.signing import SIGNED_FIELDS, KeyProblem, Signer, SigningKey, body_hash, generate_key, load_key
from tests.debian import needs
from tests.verifiers import Verifier, dkimpy_verify, mail_dkim_verify, opendkim_verify

NOW = 1_700_000_000_999
DOMAIN = "example.com"
HEADER = (
    b"From: App <app@example.com>\r\n"
    b"To: Bob <bob@example.net>,\r\n\tCarol <carol@example.net>\r\n"
    b"Subject: Your  invoice\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"Message-ID: <1@example.com>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"X-Mailer: legacy\r\n"
)
MESSAGE = HEADER + b"\r\nDear Bob,  \r\n\r\n\tthe invoice is attached.\r\n\r\n\r\n"
KEYS = {
    "rsa-1024": ("rsa-1024",),
    "rsa-2048": ("rsa-2048",),
    # dkimpy's own folding would cut the CRLF of a signature of this length in two.
    "rsa-2112": ("rsa-2112",),
    "ed25519": ("ed25519",),
    "both": ("ed25519", "rsa-2048"),
}
VERIFIERS = [dkimpy_verify, pytest.param(opendkim_verify, marks=needs("libopendkim.so.11"))]

# A key too short for `cryptography` to make.
RSA_512 = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIIBOQIBAAJBAOGeGI4yXRMdKA0VacAmsF79qemDfMa+xqJLegHSMJgch5PCM6/G
HUZfti5K2cC5A4CTteNVgaZsNHN+0DU8TTUCAwEAAQJAENg54xv1gQDTRa7Ml3EM
B/uOXQXZIgmKUQGrmUk1IZYT0dWGof8p795HlWNT2sTJYJ9vPvg1Ys4c/+d++xCP
3QIhAPK8lAzNJ+32xivz4sRmEM4evFyyo0KqzW5rvePxyHCTAiEA7fIN8218INEU
XOJo2wM/7YahukY6alrrpC22NBGrEBcCIBH6caS5FToEywy6VZNiU+BQWncrK/hm
Gi0RgdD+OXBNAiAs2aA5jxyDjwVYkLCU/6LQIb1gQBaIr4SVGKysWdw1lwIgBq5C
9jJjES/D7ONJ+VLC37IyaPs9sMOr3RbFuUBGXP4=
-----END RSA PRIVATE KEY-----
"""


@cache
def pem_of(name: str) -> bytes:
    kind, _, bits = name.partition("-")
    return generate_key("rsa", int(bits)) if kind == "rsa" else generate_key("ed25519")


def key_of(name: str, domain: str = DOMAIN) -> SigningKey:
    return load_key(pem_of(name), domain, f"s-{name}")


def signed(content: bytes, *keys: SigningKey) -> tuple[bytes, dict[str, str]]:
    """The signed content, and the TXT records that go with it."""
    content = Signer(keys).sign(content, keys[0].domain, NOW) + content
    return content, {key.record_name: key.record for key in keys}


def tags_of(field: bytes) -> dict[str, str]:
    value = re.sub(rb"\s", b"", field.partition(b":")[2]).decode("ascii")
    return dict(tag.split("=", 1) for tag in value.split(";"))


class TestVerifiers:
    @pytest.mark.parametrize("names", KEYS.values(), ids=KEYS)
    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_every_signature_is_valid(self, verify: Verifier, names: tuple[str, ...]) -> None:
        content, records = signed(MESSAGE, *map(key_of, names))
        assert verify(content, records) == [True] * len(names)

    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_verdicts_come_in_the_order_of_the_signatures(self, verify: Verifier) -> None:
        content, records = signed(MESSAGE, first := key_of("rsa-2048"), key_of("ed25519"))
        assert verify(content, {first.record_name: first.record}) == [True, False]
        del records[first.record_name]
        assert verify(content, records) == [False, True]

    @needs("Mail::DKIM::Verifier")
    @pytest.mark.parametrize("name", ["rsa-1024", "rsa-2048", "rsa-2112"])
    def test_mail_dkim_finds_rsa_valid(self, name: str) -> None:
        assert mail_dkim_verify(*signed(MESSAGE, key_of(name))) == [True]

    @needs("Mail::DKIM::Verifier")
    def test_mail_dkim_does_not_mind_ed25519_beside_rsa(self) -> None:
        assert mail_dkim_verify(*signed(MESSAGE, key_of("ed25519"), key_of("rsa-2048"))) == [True, False]

    @pytest.mark.parametrize("content", [HEADER, HEADER + b"\r\n", HEADER + b"\r\n\r\n \r\n"])
    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_empty_bodies(self, verify: Verifier, content: bytes) -> None:
        assert verify(*signed(content, key_of("rsa-2048"))) == [True]

    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_repeated_fields(self, verify: Verifier) -> None:
        content = b"List-ID: <a.example.com>\r\nTo: first@example.net\r\n" + MESSAGE
        assert verify(*signed(content, key_of("rsa-2048"))) == [True]

    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_names_longer_than_a_line(self, verify: Verifier) -> None:
        label = "a" * 63
        key = load_key(pem_of("rsa-2048"), f"{label}.{label}.example.com", label)
        assert verify(*signed(MESSAGE, key)) == [True]


class TestChanges:
    """What may happen to a message on its way, and what may not."""

    @pytest.mark.parametrize("name", SIGNED_FIELDS)
    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_a_field_that_is_added_breaks_it(self, verify: Verifier, name: str) -> None:
        content, records = signed(MESSAGE, key_of("rsa-2048"))
        field = name.title().encode("ascii") + b": mallory@example.org\r\n"
        assert verify(field + content, records) == [False]
        assert verify(content.replace(b"X-Mailer:", field + b"X-Mailer:"), records) == [False]

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"Your  invoice", b"Your prize"),
            (b"bob@example.net", b"mallory@example.org"),
            (b"the invoice is attached", b"the invoice is  not attached"),
            (b"attached.\r\n", b"attached.\r\n.\r\n"),
            (b"Bob,  \r\n\r\n", b"Bob,  \r\n"),
            (b"\r\n\tthe", b"\r\nthe"),
        ],
    )
    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_what_breaks_it(self, verify: Verifier, old: bytes, new: bytes) -> None:
        content, records = signed(MESSAGE, key_of("rsa-2048"), key_of("ed25519"))
        assert verify(content.replace(old, new), records) == [False, False]

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"Your  invoice", b"\tYour\r\n \tinvoice \t"),
            (b"Subject:", b"SUBJECT:"),
            (b"Bob,  \r\n", b"Bob,\r\n"),
            (b"attached.\r\n", b"attached.\t \r\n"),
            (b"\r\n\tthe invoice", b"\r\n  the \t invoice"),
            (b"attached.\r\n\r\n\r\n", b"attached.\r\n"),
            (b"attached.\r\n", b"attached.\r\n\r\n \r\n"),
            (b"X-Mailer: legacy\r\n", b""),
            (b"DKIM-Signature:", b"Received: from relay by platform\r\nDKIM-Signature:"),
            (b"X-Mailer:", b"List-Help: <https://example.com>\r\nX-Mailer:"),
        ],
    )
    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_what_keeps_it(self, verify: Verifier, old: bytes, new: bytes) -> None:
        content, records = signed(MESSAGE, key_of("rsa-2048"), key_of("ed25519"))
        assert verify(content.replace(old, new, 1), records) == [True, True]

    @pytest.mark.parametrize("verify", VERIFIERS)
    def test_the_signatures_do_not_lean_on_each_other(self, verify: Verifier) -> None:
        keys = key_of("rsa-2048"), key_of("ed25519")
        records = {key.record_name: key.record for key in keys}
        fields = Signer(keys).sign(MESSAGE, DOMAIN, NOW)
        cut = fields.rindex(b"DKIM-Signature:")
        assert verify(fields[:cut] + MESSAGE, records) == [True]
        assert verify(fields[cut:] + MESSAGE, records) == [True]


class TestField:
    def test_tags(self) -> None:
        tags = tags_of(Signer([key_of("rsa-2048")]).sign(MESSAGE, DOMAIN, NOW))
        assert list(tags) == ["v", "a", "c", "d", "s", "t", "h", "bh", "b"]
        assert tags["a"] == "rsa-sha256"
        assert tags["c"] == "relaxed/relaxed"
        assert (tags["d"], tags["s"]) == (DOMAIN, "s-rsa-2048")
        assert tags["t"] == "1700000000"

    def test_every_field_is_signed_once_more_than_it_is_present(self) -> None:
        tags = tags_of(
            Signer([key_of("ed25519")]).sign(b"cc: a@b.example\r\nCC: c@d.example\r\n" + MESSAGE, DOMAIN, NOW)
        )
        names = tags["h"].split(":")
        assert {name: names.count(name) for name in ("cc", "from", "reply-to")} == {"cc": 3, "from": 2, "reply-to": 1}
        assert set(names) == set(SIGNED_FIELDS)

    def test_rsa_stands_first(self) -> None:
        fields = Signer([key_of("ed25519"), key_of("rsa-1024")]).sign(MESSAGE, DOMAIN, NOW)
        assert re.findall(rb" a=([\w-]+);", fields) == [b"rsa-sha256", b"ed25519-sha256"]

    @pytest.mark.parametrize("name", ["ed25519", "rsa-1024", "rsa-2048", "rsa-2112"])
    def test_lines_fit_78_columns(self, name: str) -> None:
        field = Signer([key_of(name)]).sign(MESSAGE, DOMAIN, NOW)
        assert field.endswith(b"\r\n")
        first, *others = field[:-2].split(b"\r\n")
        assert first.startswith(b"DKIM-Signature: v=1;")
        assert all(re.fullmatch(rb" \S.*\S", line) for line in others)
        assert max(map(len, [first, *others])) <= 78

    def test_threads_do_not_disturb_each_other(self) -> None:
        signer = Signer([key_of("rsa-1024"), key_of("ed25519")])
        contents = [MESSAGE + b"%d\r\n" % number for number in range(100)]
        with ThreadPoolExecutor(4) as pool:
            fields = list(pool.map(lambda content: signer.sign(content, DOMAIN, NOW), contents))
        assert fields == [signer.sign(content, DOMAIN, NOW) for content in contents]


class TestBodyHash:
    EMPTY = hashlib.sha256(b"").digest()
    BODIES = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"bc", b"\xff"])).map(b"".join)

    @given(BODIES, st.integers(1, 9))
    def test_is_that_of_dkimpy(self, body: bytes, slice_size: int) -> None:
        # dkimpy leaves the white space of a last line that has no <CRLF>.
        body += b"\r\n"
        assert body_hash(body, 0, slice_size) == hashlib.sha256(Relaxed.canonicalize_body(body)).digest()

    @given(BODIES, st.integers(1, 9))
    def test_adds_a_missing_last_line_end(self, body: bytes, slice_size: int) -> None:
        assert body_hash(body, 0, slice_size) == body_hash(body + b"\r\n", 0, slice_size)

    @pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n", b" \t", b"\t\r\n \r\n"])
    def test_of_nothing(self, body: bytes) -> None:
        assert body_hash(body) == self.EMPTY

    # The canonical forms are written out: on the third body dkimpy would work for minutes.
    @pytest.mark.parametrize(
        ("body", "canonical"),
        [
            (b"x" * 700_000 + b"\r\n", b"x" * 700_000 + b"\r\n"),
            (b"x\t " * 350_000 + b"\r\n", b"x " * 349_999 + b"x\r\n"),
            (b" " * 700_000 + b"x\r\n", b" x\r\n"),
            (b"\r\n" * 350_000 + b"x\r\n", b"\r\n" * 350_000 + b"x\r\n"),
            (b"x\r\n" + b" \r\n" * 350_000, b"x\r\n"),
        ],
        ids=["one line", "words", "spaces", "empty lines first", "empty lines last"],
    )
    def test_of_bodies_longer_than_a_slice(self, body: bytes, canonical: bytes) -> None:
        assert body_hash(body) == hashlib.sha256(canonical).digest()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "line", [b"Lorem ipsum  dolor sit amet, consectetur \r\n", b"<td> </td>"], ids=["lines", "one line"]
    )
    def test_a_large_body_lets_other_threads_run(self, line: bytes) -> None:
        content = HEADER + b"\r\n" + line * (25 * 2**20 // len(line)) + b"\r\n"
        signer = Signer([key_of("rsa-2048")])
        thread = threading.Thread(target=signer.sign, args=(content, DOMAIN, NOW))
        longest, last = 0.0, time.perf_counter()
        thread.start()
        while thread.is_alive():
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        assert longest < 0.1


class TestDomains:
    SIGNER = Signer(key_of("ed25519", domain) for domain in ("example.com", "eu.example.com"))

    @pytest.mark.parametrize(
        ("from_domain", "expected"),
        [
            ("example.com", "example.com"),
            ("mail79.example.com", "example.com"),
            ("eu.example.com", "eu.example.com"),
            ("a.b.eu.example.com", "eu.example.com"),
            ("notexample.com", None),
            ("com", None),
            ("", None),
            ("[192.0.2.1]", None),
        ],
    )
    def test_nearest_parent_with_keys(self, from_domain: str, expected: str | None) -> None:
        assert self.SIGNER.domain_for(from_domain) == expected
        assert [key.domain for key in self.SIGNER.keys_for(from_domain)] == ([expected] if expected else [])


def encoded(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey,
    *,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    passphrase: bytes = b"",
) -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption)


def rsa_key() -> rsa.RSAPrivateKey:
    private = key_of("rsa-1024").private
    assert isinstance(private, rsa.RSAPrivateKey)
    return private


class TestKeys:
    def test_pkcs1(self) -> None:
        pem = encoded(rsa_key(), form=serialization.PrivateFormat.TraditionalOpenSSL)
        assert load_key(pem, DOMAIN, "s").record == key_of("rsa-1024").record

    @pytest.mark.parametrize("name", ["rsa-1024", "ed25519"])
    def test_windows_line_ends_and_bom(self, name: str) -> None:
        pem = codecs.BOM_UTF8 + pem_of(name).replace(b"\n", b"\r\n")
        assert load_key(pem, DOMAIN, "s").record == key_of(name).record

    @pytest.mark.parametrize(("name", "kind"), [("rsa-2048", "rsa"), ("ed25519", "ed25519")])
    def test_record(self, name: str, kind: Literal["rsa", "ed25519"]) -> None:
        key = key_of(name)
        assert key.kind == kind
        assert key.algorithm == f"{kind}-sha256"
        assert key.record_name == f"s-{name}._domainkey.example.com"
        assert re.fullmatch(rf"k={kind}; p=[A-Za-z0-9+/]+=*", key.record)

    @pytest.mark.parametrize(
        ("pem", "reason"),
        [
            pytest.param(b"", "not a private key in PEM form", id="empty"),
            pytest.param(b"\xff\x00", "not a private key in PEM form", id="binary"),
            pytest.param(pem_of("rsa-1024")[:400], "not a private key in PEM form", id="cut off"),
            pytest.param(encoded(rsa_key(), passphrase=b"secret"), "encrypted", id="encrypted"),
            pytest.param(encoded(ec.generate_private_key(ec.SECP256R1())), "neither RSA nor Ed25519", id="EC"),
            pytest.param(encoded(ed448.Ed448PrivateKey.generate()), "neither RSA nor Ed25519", id="Ed448"),
            pytest.param(RSA_512, "512 bits", id="short"),
        ],
    )
    def test_what_cannot_sign(self, pem: bytes, reason: str) -> None:
        with pytest.raises(KeyProblem, match=reason) as problem:
            load_key(pem, DOMAIN, "relay1")
        assert "example.com, selector relay1," in str(problem.value)
        assert "smtprelay dkim keygen example.com" in str(problem.value)

    def test_the_private_key_is_never_shown(self) -> None:
        assert repr(key_of("rsa-1024")) == "SigningKey(domain='example.com', selector='s-rsa-1024')"
        secret = pem_of("rsa-1024").splitlines()[2]
        with pytest.raises(KeyProblem) as problem:
            load_key(pem_of("rsa-1024")[:400], DOMAIN, "s")
        assert secret.decode("ascii") not in f"{problem.value!r} {problem.value.__cause__!r}"

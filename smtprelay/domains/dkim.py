"""DKIM: the public keys that a domain publishes, ours and the platform's (RFC 6376 §3.6, RFC 8463)."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from smtprelay.domains.txt import listed, shown, split_tags, text_of
from smtprelay.domains.verdict import Finding, Record, Status
from smtprelay.resolver import TXT, Absent, Answer, Failed, Found, Lookup
from smtprelay.signing import GOOD_RSA_BITS, MIN_RSA_BITS, SigningKey

PublicKey = rsa.RSAPublicKey | Ed25519PublicKey

_CODE = "7.20"  # RFC 7372 §3.1: no passing DKIM signature found
_ED25519_OCTETS = 32  # RFC 8463 §4
_WHOLE_RECORD = re.compile(r"(?:^|;)\s*p\s*=")  # a key alone may end in "p="


class BadKey(Exception):
    """A record that receivers find no key in; the text is a clause about it."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What a key record says.

    :param testing: ``t=y``.
    """

    public: PublicKey
    testing: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not wrong yet."""
        found = []
        if isinstance(self.public, rsa.RSAPublicKey) and self.public.key_size < GOOD_RSA_BITS:
            found.append(f"its key has {self.public.key_size} bits, and {GOOD_RSA_BITS} are good practice")
        if self.testing:
            found.append("its t=y says that the key is on trial: receivers may treat the mail as unsigned")
        return tuple(found)


def parse_key(text: str) -> KeyRecord:
    """A key record's text (RFC 6376 §3.6.1).

    :raises BadKey: where receivers would not verify a signature of ours with it.
    """
    tags = _tags(text)
    if "h" in tags and "sha256" not in _items(tags["h"]):
        raise BadKey(f"does not allow SHA-256 (h={shown(tags['h'])})")
    if "s" in tags and not {"*", "email"} & set(_items(tags["s"])):
        raise BadKey(f"is not meant for mail (s={shown(tags['s'])})")
    if "p" not in tags:
        raise BadKey("has no key in it: p= is missing, or the semicolon before it")
    key = "".join(tags["p"].split())
    if not key:
        raise BadKey("says that its key was revoked (p= is empty)")
    try:
        octets = base64.b64decode(key, validate=True)
    except ValueError as error:
        raise BadKey("has a key that is cut or mistyped (p= is not base64)") from error
    return KeyRecord(_public_key(tags.get("k", "rsa"), octets), testing="y" in _items(tags.get("t", "")))


def _tags(text: str) -> dict[str, str]:
    specs = split_tags(text)
    tags = dict(specs)
    if any(mark in name + value for name, value in specs if name != "n" for mark in '"\\'):
        raise BadKey("holds quotation marks or backslashes, which belong in zone files only: publish it without them")
    if tags.get("v", "DKIM1") != "DKIM1" or not {"v", "k", "p"} & tags.keys():
        raise BadKey("is no DKIM key")
    if specs[0][0] != "v" and "v" in tags:
        raise BadKey("does not begin with its v=DKIM1")
    if "" in tags:
        raise BadKey(f"is no list of tags such as k=rsa with semicolons between them ({shown(tags[''])!r})")
    if len(tags) < len(specs):  # RFC 6376 §3.2: then the whole list is invalid
        raise BadKey("has the same tag twice")
    return tags


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(":")]


def _public_key(kind: str, octets: bytes) -> PublicKey:
    if kind == "ed25519":
        if len(octets) != _ED25519_OCTETS:
            raise BadKey(f"has an Ed25519 key of {len(octets)} octets instead of {_ED25519_OCTETS}")
        return Ed25519PublicKey.from_public_bytes(octets)
    if kind != "rsa":
        raise BadKey(f"has a key of a kind that receivers do not know (k={shown(kind)})")
    try:
        public = serialization.load_der_public_key(octets)  # SubjectPublicKeyInfo, and RSAPublicKey too
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("has a key that is cut or mistyped (p= is no RSA key)") from error
    if not isinstance(public, rsa.RSAPublicKey):
        raise BadKey("has a key that is not RSA, although it says so")
    if public.key_size < MIN_RSA_BITS:
        raise BadKey(f"has a key of {public.key_size} bits, and receivers ignore fewer than {MIN_RSA_BITS}")
    return public


def holds(answer: Answer[TXT], key: SigningKey) -> bool:
    """Whether receivers who got this answer for the key's name would verify what it signs: one record, and in it
    exactly this key. Whether the answer is stale does not matter."""
    return isinstance(answer, Found) and len(answer.records) == 1 and _has(text_of(answer.records[0]), _public(key))


def _public(key: SigningKey) -> PublicKey:
    return key.private.public_key()


def _has(text: str, public: PublicKey | None) -> bool:
    """Whether a record holds this key; None: any."""
    try:
        found = parse_key(text).public
    except BadKey:
        return False
    return public is None or found == public


async def check_key(lookup: Lookup, key: SigningKey) -> Finding:
    """Whether a key of ours is published, as receivers want it."""
    wanted = _Wanted("dkim", key.selector, key.record_name, _public(key), key.record)
    return _judge(wanted, await lookup.txt(key.record_name))


async def check_platform_key(lookup: Lookup, domain: str, selector: str, expected: str) -> Finding:
    """Whether the platform's key is published. Its private half is the platform's: all that can be seen is that it is
    a key, or the one that is expected.

    :param domain: as A-labels in lower case.
    :param expected: the public key in base64, or its whole record; ``""``: it is not known.
    """
    name = f"{selector}._domainkey.{domain}"
    record = expected if not expected or _WHOLE_RECORD.search(expected) else f"k=rsa; p={expected}"
    try:
        public = parse_key(record).public if record else None
    except BadKey as error:
        problem = f"[domain_rules] platform_dkim {error}: copy it from the platform's page again"
        return Finding("platform_dkim", Status.FAIL, problem=problem, selector=selector, code=_CODE)
    return _judge(_Wanted("platform_dkim", selector, name, public, record), await lookup.txt(name))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The key that is looked for.

    :param public: None: any.
    :param record: ``""`` where it is not known.
    """

    rule: Literal["dkim", "platform_dkim"]
    selector: str
    name: str
    public: PublicKey | None
    record: str

    @property
    def source(self) -> str:
        """Where its record is to be found, as the end of a sentence."""
        return "" if self.record else ": the record to publish is on the platform's page of the domain"

    def finding(self, status: Status, problem: str, texts: Sequence[str] = ()) -> Finding:
        """A key that is not there as it should be. What stands there has to go, but for a record that holds it."""
        good = [text for text in texts if _has(text, self.public)]
        remove = list(texts)
        for text in good if self.public is None else good[:1]:
            remove.remove(text)
        return Finding(
            self.rule,
            status,
            found=listed(texts) if len(texts) > 1 else "".join(map(shown, texts)),
            problem=problem,
            publish=(Record(self.name, "TXT", self.record),)
            if status is Status.FAIL and self.record and not good
            else (),
            remove=tuple(Record(self.name, "TXT", shown(text)) for text in remove),
            selector=self.selector,
            code=_CODE,
        )


def _judge(wanted: _Wanted, answer: Answer[TXT]) -> Finding:
    whose = "our key" if wanted.rule == "dkim" else "the platform's key"
    if isinstance(answer, Failed):
        return wanted.finding(Status.TEMPORARY, f"DNS does not answer: {answer.reason}")
    if isinstance(answer, Absent):
        return wanted.finding(Status.FAIL, f"{whose} is not published at {wanted.name}{wanted.source}")
    texts = [text_of(record) for record in answer.records]
    if len(texts) > 1:  # RFC 6376 §3.6.2.2: what receivers make of them is undefined
        problem = f"{len(texts)} TXT records stand at {wanted.name}, where only the one of {whose} may stand"
        return wanted.finding(Status.FAIL, problem, texts)
    try:
        key = parse_key(texts[0])
    except BadKey as error:
        return wanted.finding(Status.FAIL, f"the record at {wanted.name} {error}{wanted.source}", texts)
    if wanted.public not in (None, key.public):
        return wanted.finding(Status.FAIL, f"the key at {wanted.name} is another one than {whose}", texts)
    return Finding(
        wanted.rule, Status.PASS, shown(texts[0]), warnings=key.warnings, selector=wanted.selector, code=_CODE
    )

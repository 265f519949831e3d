"""Whether the signatures of a stored message hold (RFC 6376 §6.1).

For signatures as `smtprelay.signing` makes them, relaxed/relaxed; of others it says that they were not verified. dkimpy
knows those too, and holds the GIL for seconds over a large body, for minutes over a long run of spaces.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from smtprelay.domains.dkim import BadKey, PublicKey, parse_key
from smtprelay.domains.txt import readable, split_tags
from smtprelay.signing import body_hash, canonical, canonical_field, header_length

MAX_SIGNATURES = 10  # of one message

_NAME = b"dkim-signature"
_VALUE_OF_B = re.compile(rb"((?:^|;)[ ]?b[ ]?=)[^;]*")  # in canonical form
_ALGORITHMS = ("rsa-sha256", "ed25519-sha256")


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature field, and what it is over.

    :param domain: ``d=``, for a person.
    :param selector: ``s=``, for a person.
    :param algorithm: ``a=``, for a person.
    :param problem: why no key can verify it, as a clause; ``""`` where one may.
    """

    domain: str
    selector: str
    algorithm: str
    problem: str
    digest: bytes = field(default=b"", repr=False)
    octets: bytes = field(default=b"", repr=False)

    @property
    def record_name(self) -> str:
        """Where the key is published (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    def verify(self, record: str) -> str:
        """Try it with a key record's text. :returns: what is wrong, as a clause; ``""`` where it holds."""
        if self.problem:
            return self.problem
        try:
            public = parse_key(record).public
        except BadKey as error:
            return f"the record at {self.record_name} {error}"
        if isinstance(public, rsa.RSAPublicKey) != (self.algorithm == "rsa-sha256"):
            return f"the key at {self.record_name} is of another kind"
        return "" if _holds(public, self.octets, self.digest) else "the key does not fit, or the header was changed"


def signatures(content: bytes) -> list[Signature]:
    """The signatures of a message, from the top. CPU's work for a large body: to be done in a thread.

    :param content: every line ended by <CRLF>.
    """
    length = header_length(content)
    lines = (line.partition(b":") for line in canonical(content[:length]).split(b"\r\n"))
    fields = [(name.rstrip(b" ").lower(), value) for name, _, value in lines]
    found = [value for name, value in fields if name == _NAME][:MAX_SIGNATURES]
    body = body_hash(content, length + 2) if found else b""
    return [_signature(value, fields, body) for value in found]


def _signature(value: bytes, fields: Sequence[tuple[bytes, bytes]], body: bytes) -> Signature:
    specs = split_tags(readable(value))
    tags = dict(specs)
    domain, selector, algorithm = (tags.get(name, "") for name in ("d", "s", "a"))
    if problem := _problem(tags, len(specs), body):
        return Signature(domain, selector, algorithm, problem)
    own = canonical_field(_NAME, _VALUE_OF_B.sub(rb"\1", value))
    digest = hashlib.sha256(b"".join(_signed(tags["h"], fields)) + own).digest()
    return Signature(domain, selector, algorithm, "", digest, base64.b64decode(_without_space(tags["b"])))


def _problem(tags: dict[str, str], count: int, body: bytes) -> str:
    """Why it cannot be verified."""
    if missing := [name for name in ("v", "a", "b", "bh", "d", "h", "s") if not tags.get(name)]:
        return f"it has no {missing[0]}="
    if len(tags) < count:  # RFC 6376 §3.2
        return "it has the same tag twice"
    if tags["a"] not in _ALGORITHMS or tags.get("c") != "relaxed/relaxed" or "l" in tags:
        return "it is of a kind that is not verified here"
    try:
        base64.b64decode(_without_space(tags["b"]), validate=True)
        wanted = base64.b64decode(_without_space(tags["bh"]), validate=True)
    except ValueError:
        return "it is cut or mistyped"
    return "" if wanted == body else "the body is not the one that was signed"


def _signed(names: str, fields: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The fields that ``h=`` names; of several with one name, from the last to the first (RFC 6376 §5.4.2)."""
    left: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        left.setdefault(name, []).append(value)
    for wanted in names.split(":"):
        name = wanted.strip().lower().encode()
        if left.get(name):
            yield canonical_field(name, left[name].pop()) + b"\r\n"


def _without_space(text: str) -> str:
    return "".join(text.split())


def _holds(public: PublicKey, signature: bytes, digest: bytes) -> bool:
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, digest, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
        else:
            public.verify(signature, digest)  # RFC 8463 §3: over the digest
    except InvalidSignature:
        return False
    return True

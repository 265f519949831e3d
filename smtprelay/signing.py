"""DKIM signatures over the final bytes (RFC 6376, RFC 8301, RFC 8463).

dkimpy verifies, in the sandbox and in the tests, and does not sign. Its RSA is pure Python, ten times slower than
OpenSSL's, and holds the GIL; a key of ours gets in only by a patch, or dressed up as Ed25519. Its body canonicalisation
takes forty times the body's memory, and minutes for a long run of spaces, its header parser seconds for a long field,
and its folding cuts a long domain in two. To import it alone takes 4 MB. So all is made here, and OpenSSL signs.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

Kind = Literal["rsa", "ed25519"]  # ``k=`` of the record

# What a reader sees or a mail program acts on. Each is signed once more than it is present, so that one added later
# breaks the signature (RFC 6376 §8.15). RFC 8058 §4 wants both List-Unsubscribe fields signed. Everything else stays
# unsigned, because honest relays add, change or reorder it: Received, Return-Path, Authentication-Results, Resent-*,
# DKIM-Signature, X-* (RFC 6376 §5.4.1).
SIGNED_FIELDS = (
    *("from", "to", "cc", "subject", "date", "message-id", "reply-to", "sender"),
    *("mime-version", "content-type", "content-transfer-encoding"),
    *("in-reply-to", "references"),
    *("list-unsubscribe", "list-unsubscribe-post", "list-id"),
)
MIN_RSA_BITS = 1024  # RFC 8301 §3.2
GOOD_RSA_BITS = 2048  # RFC 8301 §3.2
MAX_RSA_BITS = 4096  # RFC 8301 §3.2: no receiver has to verify more

_CRLF = b"\r\n"
_SLICE = 256 * 1024  # octets of body in one C call: none holds the GIL for more than a millisecond or so
_LINE = 78  # RFC 5322 §2.1.1
_PKCS1 = padding.PKCS1v15()
_SHA256 = Prehashed(hashes.SHA256())


class KeyProblem(Exception):
    """A key that cannot sign; the text says whose it is and what to do."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and where its public half is published.

    :param domain: ``d=``, an A-label in lower case.
    :param selector: ``s=``.
    :param private: never shown.
    """

    domain: str
    selector: str
    private: rsa.RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @property
    def kind(self) -> Kind:
        """``k=`` of the record."""
        return "rsa" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519"

    @property
    def algorithm(self) -> Literal["rsa-sha256", "ed25519-sha256"]:
        """``a=`` of the signature."""
        return "rsa-sha256" if self.kind == "rsa" else "ed25519-sha256"

    @property
    def bits(self) -> int:
        """The length of the key."""
        return self.private.key_size if isinstance(self.private, rsa.RSAPrivateKey) else 256

    @property
    def warning(self) -> str:
        """What is not wrong yet, as one sentence without a full stop; ``""`` for nothing."""
        if self.kind != "rsa" or self.bits >= GOOD_RSA_BITS:
            return ""
        return (
            f"the DKIM key of {self.domain}, selector {self.selector}, has {self.bits} bits, and {GOOD_RSA_BITS} are "
            f"good practice (RFC 8301): replace it with 'smtprelay dkim rotate {self.domain}'"
        )

    @property
    def record_name(self) -> str:
        """The DNS name of the TXT record to publish (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record to publish. ``v=`` may be left out (RFC 6376 §3.6.1), as the platform's own records do."""
        return f"k={self.kind}; p={base64.b64encode(self._public()).decode('ascii')}"

    @property
    def pem(self) -> bytes:
        """The private half, as `load_key` takes it."""
        return _pem(self.private)

    def _public(self) -> bytes:
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            # RFC 6376 §3.6.1 speaks of RSAPublicKey, its erratum 3017 of what everybody publishes.
            return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return public.public_bytes_raw()  # RFC 8463 §4

    def sign(self, digest: bytes) -> bytes:
        """The signature over a SHA-256 digest; OpenSSL lets the GIL go meanwhile."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(digest, _PKCS1, _SHA256)
        return self.private.sign(digest)  # RFC 8463 §3: PureEdDSA over the digest


def load_key(pem: bytes, domain: str, selector: str) -> SigningKey:
    """A key from its file's octets: PEM, PKCS#1 or PKCS#8, not encrypted.

    :param domain: as A-label in lower case.
    :raises KeyProblem: where no receiver would accept what it signs, or it cannot be read.
    """
    owner = f"the DKIM key of {domain}, selector {selector},"
    remedy = f"make a new one with 'smtprelay dkim keygen {domain}'"
    try:
        private = serialization.load_pem_private_key(pem.removeprefix(codecs.BOM_UTF8), password=None)
    except TypeError as error:
        raise KeyProblem(f"{owner} is encrypted: remove its passphrase with 'openssl pkey', or {remedy}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyProblem(f"{owner} is not a private key in PEM form: {remedy}") from error
    if not isinstance(private, rsa.RSAPrivateKey | Ed25519PrivateKey):
        raise KeyProblem(f"{owner} is neither RSA nor Ed25519: {remedy}")
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < MIN_RSA_BITS:
        raise KeyProblem(
            f"{owner} has {private.key_size} bits, and receivers ignore fewer than {MIN_RSA_BITS} (RFC 8301): {remedy}"
        )
    return SigningKey(domain, selector, private)


def generate_key(kind: Kind, bits: int = 2048) -> bytes:
    """A new private key in PEM form (PKCS#8, not encrypted).

    :param bits: of an RSA key.
    :raises KeyProblem: receivers would not verify with a key of that length.
    """
    if kind == "rsa" and not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise KeyProblem(
            f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits (RFC 8301), not {bits}; {GOOD_RSA_BITS} are good"
        )
    private: rsa.RSAPrivateKey | Ed25519PrivateKey
    if kind == "rsa":
        private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    else:
        private = Ed25519PrivateKey.generate()
    return _pem(private)


def _pem(private: rsa.RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Signer:
    """Signs for the domains that it has keys of. Safe to call from several threads at once."""

    def __init__(self, keys: Iterable[SigningKey]) -> None:
        # RSA first: some verifiers look at the first signature only, and not all of them know Ed25519.
        self.keys = tuple(sorted(keys, key=lambda key: key.kind != "rsa"))
        self._keys: dict[str, list[SigningKey]] = {}
        for key in self.keys:
            self._keys.setdefault(key.domain, []).append(key)

    def domain_for(self, from_domain: str) -> str | None:
        """``d=`` for a ``From:`` domain: itself or else its nearest parent that has keys, which DMARC's relaxed
        alignment takes for it as a rule (RFC 9989; `check_dmarc` tells where not); None where no key is there.

        :param from_domain: as A-label in lower case.
        """
        domain = from_domain
        while domain and domain not in self._keys:
            domain = domain.partition(".")[2]
        return domain or None

    def keys_for(self, from_domain: str) -> tuple[SigningKey, ...]:
        """The keys that sign mail from a domain: those of `domain_for`; none where that is None."""
        return tuple(self._keys.get(self.domain_for(from_domain) or "", ()))

    def selectors(self, domain: str) -> tuple[str, ...]:
        """The selectors of the keys that sign for a domain.

        :param domain: one that `domain_for` gave.
        """
        return tuple(key.selector for key in self._keys[domain])

    def sign(self, content: bytes, domain: str, now: int) -> bytes:
        """The DKIM-Signature fields to put before the content, each ended by <CRLF>: one for every key of the domain,
        none of which signs another. CPU work: a millisecond for a small message, to be done in a thread.

        :param content: repaired: a block of header fields, and every line ended by <CRLF>.
        :param domain: one that `domain_for` gave.
        :param now: Unix time in milliseconds.
        """
        length = header_length(content)
        fields = _signed_fields(content[:length])
        names = [name for name in SIGNED_FIELDS for _ in range(len(fields[name]) + 1)]
        # RFC 6376 §5.4.2: several fields of one name are taken from the last to the first.
        header = hashlib.sha256(b"".join(field for name in SIGNED_FIELDS for field in reversed(fields[name])))
        digest = body_hash(content, length + len(_CRLF))
        return b"".join(_signature(key, header.copy(), names, digest, now) for key in self._keys[domain])


def header_length(content: bytes) -> int:
    """Octets of the header block, without the empty line, which is missing where there is no body (RFC 5322 §3.5)."""
    end = content.find(_CRLF + _CRLF)
    return end + len(_CRLF) if end >= 0 else len(content)


def _signed_fields(header: bytes) -> dict[str, list[bytes]]:
    """The fields to be signed, in canonical form and in their order, by name."""
    fields: dict[str, list[bytes]] = {name: [] for name in SIGNED_FIELDS}
    for line in canonical(header).split(_CRLF):
        name, _, value = line.partition(b":")
        found = fields.get(name.rstrip(b" ").lower().decode("ascii", "replace"))
        if found is not None:
            found.append(canonical_field(name, value) + _CRLF)
    return fields


def canonical(header: bytes) -> bytes:
    """Unfolded, one line a field, with white space reduced (RFC 6376 §3.4.2)."""
    return _reduce(header.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" "))


def canonical_field(name: bytes, value: bytes) -> bytes:
    return name.rstrip(b" ").lower() + b":" + value.strip(b" ")


def _signature(key: SigningKey, hasher: hashlib._Hash, names: Sequence[str], digest: bytes, now: int) -> bytes:
    """One DKIM-Signature field (RFC 6376 §3.5). It signs itself as it will stand there, but with an empty ``b=``.

    :param hasher: has read the signed fields.
    """
    pieces = [
        "DKIM-Signature:",
        " v=1;",
        f" a={key.algorithm};",
        " c=relaxed/relaxed;",
        f" d={key.domain};",
        f" s={key.selector};",
        f" t={now // 1000};",
        " h=",
        *(f"{name}:" for name in names[:-1]),
        f"{names[-1]};",
        f" bh={base64.b64encode(digest).decode('ascii')};",
    ]
    unsigned = f"{_fold(pieces)}\r\n b=".encode("ascii")
    name, _, value = canonical(unsigned).partition(b":")
    hasher.update(canonical_field(name, value))
    return unsigned + _fold_base64(key.sign(hasher.digest())) + _CRLF


def _fold(pieces: Iterable[str]) -> str:
    """The pieces on lines of 78 columns; none is ever cut, because most tags allow no white space inside."""
    lines = [""]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > _LINE - 1:  # 1: the space that a continuation line begins with
            lines.append(piece.lstrip())
        else:
            lines[-1] += piece
    return "\r\n ".join(lines)


def _fold_base64(octets: bytes) -> bytes:
    """``b=`` allows white space everywhere (RFC 6376 §3.5)."""
    text = base64.b64encode(octets)
    width = _LINE - len(" b=")
    return b"\r\n ".join(text[at : at + width] for at in range(0, len(text), width))


def body_hash(content: bytes, start: int = 0, slice_size: int = _SLICE) -> bytes:
    """SHA-256 of the body after relaxed canonicalisation (RFC 6376 §3.4.4), slice by slice.

    :param content: in which the body begins at `start`; line ends are <CRLF>.
    """
    so_far = hashlib.sha256()
    # The hash if only empty lines, which do not count, should follow what was read.
    whole = so_far.copy()
    undecided = b""  # white space at the end of a slice: what follows decides whether it stays
    for at in range(start, len(content), slice_size):
        reduced = _reduce(undecided + content[at : at + slice_size])
        decided = reduced.rstrip(b" \r")
        undecided = reduced[len(decided) :]
        text = decided.rstrip(_CRLF)
        if text:
            so_far.update(text)
            whole = so_far.copy()
            whole.update(_CRLF)
        so_far.update(decided[len(text) :])
    return whole.digest()


def _reduce(lines: bytes) -> bytes:
    """Runs of white space become one space, and none stays at the end of a line."""
    # Not with regular expressions: they take, and hold the GIL for, more than ten times as long.
    lines = lines.replace(b"\t", b" ")
    while b"  " in lines:
        lines = lines.replace(b"  ", b" ")
    return lines.replace(b" \r\n", _CRLF)

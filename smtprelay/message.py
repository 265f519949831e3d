"""Envelope and Message: immutable values over bytes. Every value here can be pickled."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

_BASE32HEX = "0123456789abcdefghijklmnopqrstuv"
_RANDOM_BITS = 36
MAX_ADDRESS = 254  # RFC 5321 §4.5.3.1.3 (256 octets for a path, less its angle brackets)
MAX_LABEL = 63  # RFC 1035 §2.3.4

# RFC 5321 §4.1.2, with RFC 6531 §3.3's UTF-8 in both halves. What real apps send is a dot-string more
# often than not a correct one, so dots may stand anywhere in the local part.
_UTF8 = r"\xa0-\ud7ff\ue000-\U0010ffff"  # neither C1 controls nor surrogates, which stand for octets that are no UTF-8
_ATEXT = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.{_UTF8}-]"
_QUOTED = rf'"(?:[\x20\x21\x23-\x5b\x5d-\x7e{_UTF8}]|\\[\x20-\x7e])*"'
_LABEL = rf"[A-Za-z0-9_{_UTF8}](?:[A-Za-z0-9_{_UTF8}-]*[A-Za-z0-9_{_UTF8}])?"
_LITERAL = r"\[[\x21-\x5a\x5e-\x7e]+\]"
ADDRESS = re.compile(rf"(?P<local>{_ATEXT}+|{_QUOTED})@(?P<domain>{_LABEL}(?:\.{_LABEL})*\.?|{_LITERAL})")


class AddressError(ValueError):
    """An address that no RFC allows; the text says what is wrong with it."""


def new_id(now: int) -> str:
    """A message's id: 16 characters of base32hex in lower case (RFC 4648 §7 keeps the order), 44 bits of time
    and 36 of chance.

    :param now: Unix time in milliseconds.
    """
    return _base32hex(now << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS))


def first_id(at: int) -> str:
    """The smallest id that a message of this moment can have: ids are a time index.

    :param at: Unix time in milliseconds.
    """
    return _base32hex(max(at, 0) << _RANDOM_BITS)


def time_of(message_id: str) -> int:
    """When an id was made: Unix time in milliseconds."""
    return int(message_id, 32) >> _RANDOM_BITS


def _base32hex(number: int) -> str:
    return "".join(_BASE32HEX[number >> shift & 31] for shift in range(75, -1, -5))


def normalise_domain(domain: str) -> str:
    """The domain as an A-label in lower case, without a trailing dot (RFC 5890 §2.3.2.1).

    :raises AddressError: where IDNA does not allow it.
    """
    name = domain
    if not domain.isascii():
        import idna  # its tables are half a megabyte, of no use where all domains are ASCII

        try:
            name = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise AddressError(f"{domain!r} is not a valid international domain name: {error}") from error
    name = name.removesuffix(".").lower()
    if any(len(label) > MAX_LABEL for label in name.split(".")):
        raise AddressError(f"{domain!r} has a label of more than {MAX_LABEL} characters")
    return name


def parse_address(text: str) -> str:
    """A bare address (``local@domain``) in its normal form: the domain as A-label, the local part untouched.

    :raises AddressError: where it is none (RFC 5321 §4.1.2, RFC 6531 §3.3).
    """
    match = ADDRESS.fullmatch(text)
    if not match:
        raise AddressError(f"{text!r} is not an address of the form local@domain")
    local, domain = match["local"], match["domain"]
    address = f"{local}@{domain if domain.startswith('[') else normalise_domain(domain)}"
    if len(address.encode()) > MAX_ADDRESS:
        raise AddressError(f"the address is longer than {MAX_ADDRESS} octets")
    return address


def share_of_key(idempotency_key: str, address: str) -> str:
    """The idempotency key of the message for one recipient, where each has a message of its own."""
    return f"{idempotency_key}\n{address}"


def domain_of(address: str) -> str:
    """The domain of an address in its normal form; ``""`` for the null reverse-path."""
    return address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Why a recipient is not to be sent to.

    :param cause: `smtprelay.spool.Suppression.cause`.
    :param words: for people, on one line.
    """

    cause: str
    words: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient with the DSN parameters of its RCPT command.

    :param notify: RFC 3461 §4.1, in upper case: ``NEVER``, or some of ``SUCCESS,FAILURE,DELAY``; ``""`` where the
        client gave none.
    :param orcpt: RFC 3461 §4.2, as the client wrote it (``rfc822;Bob+40x@Example.com``, still xtext); ``""`` for none.
    :param suppressed: why it is not sent to from the start: in the books it has ended when its message is stored.
    """

    address: str
    notify: str = ""
    orcpt: str = ""
    suppressed: Suppressed | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """The envelope of one transaction (RFC 5321 §2.3.1).

    :param reverse_path: ``""`` is the null reverse-path.
    :param ret: RFC 3461 §4.3: ``FULL``, ``HDRS`` or ``""``.
    :param envid: RFC 3461 §4.4, as the client wrote it (xtext), or ``""``.
    :param smtputf8: whether SMTPUTF8 is needed to pass the message on (RFC 6531 §3.4).
    """

    reverse_path: str
    recipients: tuple[Recipient, ...]
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Who handed a message over.

    :param client: the client's IP address, or ``"local"`` for what this process makes itself.
    :param helo: what the client called itself.
    :param protocol: RFC 3848's keyword for ``Received:`` (``SMTP``, ``ESMTP``, ``ESMTPS``, ``ESMTPA``, ``ESMTPSA``).
    :param account: the username that logged in; ``""`` for a trusted client without AUTH.
    """

    client: str
    helo: str = ""
    protocol: str = "SMTP"
    account: str = ""

    @property
    def key(self) -> str:
        """Whom limits and the history count this for: the account, or else the client's address."""
        return self.account or self.client


@dataclass(frozen=True, slots=True)
class Message:
    """One message as the spool keeps it.

    :param id: see `new_id`.
    :param content: the final octets, signed, every line ended by <CRLF>; empty where the spool hands a message out,
        because a body is then streamed.
    :param size: octets of the content.
    :param received_at: Unix time in milliseconds.
    :param due_at: not to be sent before; Unix time in milliseconds.
    :param credential: the *name* of the upstream credential.
    :param domain: the signing domain (``d=``), or ``""`` where the message left unsigned.
    :param selectors: of the keys that signed it (``s=``).
    :param author_domain: the domain of the ``From:`` field, which may be one below the signing domain.
    :param subject: decoded, for people.
    :param message_id: the ``Message-ID`` field's value.
    :param repairs: what was changed, in words, in order.
    :param hold: a reason to hold it from the start, or ``""``.
    :param idempotency_key: the sender's own name for it, or ``""``: the spool keeps one message of a name and sender.
    :param tags: the app's labels for it.
    :param changes: what repair changed in the header, as lines of a difference: ``-Subject: …``, ``+Subject: …``.
    :param dsn_for: the id of the message that this one is a delivery status notification about, or ``""``.
    :param bulk: its header says that it goes to many, so that it can wait where the provider's quota runs low.
    """

    id: str
    envelope: Envelope
    origin: Origin
    content: bytes
    size: int
    received_at: int
    due_at: int
    credential: str
    domain: str = ""
    selectors: tuple[str, ...] = ()
    author_domain: str = ""
    subject: str = ""
    message_id: str = ""
    repairs: tuple[str, ...] = ()
    hold: str = ""
    dsn_for: str = ""
    idempotency_key: str = ""
    tags: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    bulk: bool = False

    @property
    def for_nobody(self) -> bool:
        """Whether all recipients are suppressed: it has ended when it is stored, and its body need not be kept."""
        return all(recipient.suppressed for recipient in self.envelope.recipients)

"""Certificates as files: until when ours are valid, and what is wrong with those that cannot be used."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from smtprelay import problems
from smtprelay.log import get_logger
from smtprelay.problems import Problem
from smtprelay.words import local_time

log = get_logger("certificates")

EXPIRES_SOON = 14 * 86_400_000  # milliseconds


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of ours, as it was when it was read.

    :param section: of the configuration.
    :param not_after: when it expires; Unix time in milliseconds.
    """

    section: str
    path: Path
    not_after: int

    def problem(self, now: int) -> Problem | None:
        """Whether it has expired, or does so soon.

        :param now: Unix time in milliseconds.
        """
        left = self.not_after - now
        if left > EXPIRES_SOON:
            return None
        kind = problems.EXPIRES if left > 0 else problems.EXPIRED
        at = local_time(self.not_after)
        return kind.of(self.section, section=f"[{self.section}]", path=self.path, at=at, left=left)


def read_certificate(section: str, path: Path | None) -> Certificate | None:
    """A certificate from its file; None where there is none, or it cannot be read."""
    not_after = expiry(path) if path else 0
    return Certificate(section, path, not_after) if path and not_after else None


def expiry(path: Path) -> int:
    """Until when a certificate is valid, in Unix milliseconds; 0 where the file cannot be read."""
    try:
        return _expiry_as_of(path, path.stat().st_mtime_ns)
    except OSError:  # whoever renews it may be about to put the new one there
        return 0


@lru_cache(maxsize=8)
def _expiry_as_of(path: Path, _changed_at: int) -> int:
    """Where it expires soon, it is asked for every second. :raises OSError: it cannot be read."""
    from cryptography import x509

    try:
        return round(x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp() * 1000)
    except ValueError as error:
        log.warning("a certificate cannot be looked at", path=str(path), reason=str(error))
        return 0


def why_unusable(error: OSError) -> str:
    """What the system or OpenSSL says of certificates and keys, for an operator."""
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    match error.reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH" | "NO_CERTIFICATE_ASSIGNED":  # the last: RSA here, ECDSA there
            return "the key does not belong to the certificate"
        case None | "NO_CERTIFICATE_OR_CRL_FOUND":
            return "what is there is not PEM, or damaged"
        case reason:
            return f"OpenSSL says {reason.replace('_', ' ').lower()}"

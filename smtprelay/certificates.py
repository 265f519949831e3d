"""Certificates as files: what is wrong with those that cannot be used."""

from __future__ import annotations

import ssl


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

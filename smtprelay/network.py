"""What the system and OpenSSL say of a connection that fails, for an operator."""

from __future__ import annotations

import os
import socket
import ssl


def why_failed(error: OSError) -> str:
    """In words, without numbers and places in OpenSSL's source."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate cannot be verified: {error.verify_message}"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):  # it answers in plaintext
            return "TLS failed: there is no TLS at this port"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case socket.gaierror():
            return f"the name cannot be resolved: {error.strerror}"
        case OSError() if error.errno:
            return os.strerror(error.errno)
    return str(error)

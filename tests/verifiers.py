"""DKIM verifiers for tests: dkimpy, which also had a hand in the signing, and two that had none.

Each takes the TXT records of the world (name → value) and gives one verdict for every signature, from the top.
Tests that use the two from Debian packages say so with `tests.debian.needs`.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import dkim

Verifier = Callable[[bytes, Mapping[str, str]], list[bool]]

_MAIL_DKIM = Path(__file__).with_name("mail_dkim.pl")


def dkimpy_verify(content: bytes, records: Mapping[str, str]) -> list[bool]:
    """The verdicts of dkimpy."""

    def lookup(name: bytes, timeout: int = 0) -> bytes | None:
        record = records.get(name.decode("ascii").rstrip("."))
        return record.encode("ascii") if record else None

    message = dkim.DKIM(content)
    signatures = sum(name.lower() == b"dkim-signature" for name, _ in message.headers)
    return [_dkimpy_verdict(message, index, lookup) for index in range(signatures)]


def _dkimpy_verdict(message: dkim.DKIM, index: int, lookup: Callable[..., bytes | None]) -> bool:
    try:
        return bool(message.verify(idx=index, dnsfunc=lookup))
    except dkim.DKIMException:
        return False


def mail_dkim_verify(content: bytes, records: Mapping[str, str]) -> list[bool]:
    """The verdicts of Perl's Mail::DKIM (Debian: libmail-dkim-perl), which knows no Ed25519."""
    arguments = [part for record in records.items() for part in record]
    run = subprocess.run(["perl", str(_MAIL_DKIM), *arguments], input=content, capture_output=True, check=False)
    run.check_returncode()
    return [line == b"pass" for line in run.stdout.split()]


def opendkim_verify(content: bytes, records: Mapping[str, str]) -> list[bool]:
    """The verdicts of OpenDKIM's library (Debian: libopendkim11)."""
    return _OpenDKIM(ctypes.CDLL("libopendkim.so.11"), records).verify(content)


class _OpenDKIM:
    """As much of opendkim/dkim.h as verifying takes."""

    # DKIM_CBSTAT (*)(DKIM *dkim, DKIM_SIGINFO *sig, u_char *buf, size_t buflen)
    _KEY_LOOKUP = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t
    )
    _CBSTAT_CONTINUE, _CBSTAT_NOTFOUND = 0, 3
    _SIGFLAG_PASSED = 0x04
    _SIGBH_MATCH = 0

    def __init__(self, library: ctypes.CDLL, records: Mapping[str, str]) -> None:
        self._library = library
        self._records = records
        for function in (library.dkim_init, library.dkim_verify):
            function.restype = ctypes.c_void_p
        for function in (library.dkim_sig_getdomain, library.dkim_sig_getselector):
            function.argtypes = [ctypes.c_void_p]
            function.restype = ctypes.c_char_p

    def verify(self, content: bytes) -> list[bool]:
        library = self._library
        handle = ctypes.c_void_p(library.dkim_init(None, None))
        lookup = self._KEY_LOOKUP(self._look_up)
        library.dkim_set_key_lookup(handle, lookup)
        status = ctypes.c_int()
        message = ctypes.c_void_p(library.dkim_verify(handle, b"test", None, ctypes.byref(status)))
        try:
            library.dkim_chunk(message, content, ctypes.c_size_t(len(content)))
            library.dkim_chunk(message, None, ctypes.c_size_t(0))
            library.dkim_eom(message, None)
            return [self._passed(message, signature) for signature in self._signatures(message)]
        finally:
            library.dkim_free(message)
            library.dkim_close(handle)

    def _signatures(self, message: ctypes.c_void_p) -> list[ctypes.c_void_p]:
        signatures = ctypes.POINTER(ctypes.c_void_p)()
        count = ctypes.c_int()
        self._library.dkim_getsiglist(message, ctypes.byref(signatures), ctypes.byref(count))
        return [ctypes.c_void_p(signatures[index]) for index in range(count.value)]

    def _passed(self, message: ctypes.c_void_p, signature: ctypes.c_void_p) -> bool:
        self._library.dkim_sig_process(message, signature)
        flags = self._library.dkim_sig_getflags(signature)
        body_hash = self._library.dkim_sig_getbh(signature)
        return bool(flags & self._SIGFLAG_PASSED) and body_hash == self._SIGBH_MATCH

    def _look_up(self, _message: int, signature: int, buffer: ctypes._Pointer[ctypes.c_char], size: int) -> int:
        domain = self._library.dkim_sig_getdomain(signature).decode("ascii")
        selector = self._library.dkim_sig_getselector(signature).decode("ascii")
        record = self._records.get(f"{selector}._domainkey.{domain}")
        if record is None or len(record) >= size:
            return self._CBSTAT_NOTFOUND
        ctypes.memmove(buffer, record.encode("ascii") + b"\0", len(record) + 1)
        return self._CBSTAT_CONTINUE

"""Listening sockets that come and go."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from trustme import KeyType

from smtprelay.sockets import ListenError, Place, close_all, new_sockets, tls_context
from smtprelay.values import Listen


def place(port: int, *, tls: bool = False) -> Place:
    return Place(Listen("127.0.0.1", port), tls)


def test_what_is_listened_on_is_not_opened_again_and_a_change_of_tls_shares_the_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        here: Mapping[Place, Sequence[socket.socket]] = {place(port): [there]}
        assert new_sockets([place(port)], here) == {}
        made = new_sockets([place(port, tls=True), place(0), place(0)], here)
        try:
            assert [len(socks) for socks in made.values()] == [1, 1]
            assert made[place(port, tls=True)][0].getsockname() == there.getsockname()
        finally:
            close_all(made.values())


def test_where_one_cannot_be_had_none_is_left_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
        other.close()
        with pytest.raises(ListenError, match="cannot listen on"):
            new_sockets([place(free), place(taken.getsockname()[1])], {})
        with socket.create_server(("127.0.0.1", free)):
            pass


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    """At a terminal the daemon would wait for an answer, at its start and at each reload."""
    issued = trustme.CA().issue_cert("relay.example.com")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.pem")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "tls.key").write_bytes(encrypted)
    with pytest.raises(ListenError, match="is encrypted: write it without its passphrase"):
        tls_context(tmp_path / "tls.pem", tmp_path / "tls.key")


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("a.pem", "b.key", "the key does not belong to the certificate"),
        ("a.pem", "rsa.key", "the key does not belong to the certificate"),
        ("a.pem", "junk", "what is there is not PEM, or damaged"),
        ("a.key", "a.pem", "what is there is not PEM, or damaged"),
        ("none", "a.key", "tls_certificate {folder}/none cannot be read: No such file or directory"),
        ("a.pem", "none", "tls_key {folder}/none cannot be read: No such file or directory"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told_in_our_words(
    certificate: str, key: str, words: str, tmp_path: Path
) -> None:
    """They were OpenSSL's and Python's, with a line of their source, and did not name the file that was not there."""
    authority = trustme.CA()
    for name, kind in (("a", KeyType.ECDSA), ("b", KeyType.ECDSA), ("rsa", KeyType.RSA)):
        issued = authority.issue_cert("relay.example.com", key_type=kind)
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(ListenError) as caught:
        tls_context(tmp_path / certificate, tmp_path / key)
    assert str(caught.value).endswith(words.format(folder=tmp_path))
    assert not re.search(r"Errno|_ssl\.c|\[", str(caught.value))

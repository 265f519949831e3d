"""Listening sockets that come and go."""

from __future__ import annotations

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

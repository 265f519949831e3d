"""A worker's side of the socket. ``python -m MODULE FD``: the descriptor is one end of a pair that only the parent has.

A request is a value, pickled, as the parent is trusted; its answer is octets, and what they mean is between the module
and whoever asks it. Each has its length before it, and answers come in the order of the requests.
"""

from __future__ import annotations

import pickle
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import IOBase
from typing import Any

LENGTH = 4  # octets before each request and answer, which tell its length, the most significant first
_BUFFER = 256 * 2**10

Requests = Iterator[Any]
Answer = Callable[[bytes], None]


def framed(octets: bytes) -> bytes:
    """A request or an answer as it goes over the socket."""
    return len(octets).to_bytes(LENGTH, "big") + octets


@contextmanager
def parent() -> Iterator[tuple[Requests, Answer]]:
    """The requests, which end when the parent closes the socket or dies, and the way to answer them.

    Signals are for the parent, though a service manager sends them to all.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with (
        socket.socket(fileno=int(sys.argv[1])) as sock,
        sock.makefile("rb", _BUFFER) as stream,
        suppress(ConnectionError),  # the parent is gone
    ):
        yield _requests(stream), lambda octets: sock.sendall(framed(octets))


def _requests(stream: IOBase) -> Requests:
    while length := stream.read(LENGTH):
        try:
            request = pickle.loads(stream.read(int.from_bytes(length, "big")))  # noqa: S301 - the parent's
        except (EOFError, pickle.UnpicklingError):  # it died over it
            break
        yield request

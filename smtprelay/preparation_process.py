"""The process that prepares messages under load, and how it is spoken to.

``python -m smtprelay.preparation_process FD``: a request is a value, pickled, behind its length; so is its answer, and
answers come in the order of the requests. The first request is the setup; another one may come at any time, and counts
for what follows it. The socket is one end of a pair that the daemon has made and nobody else can reach.
"""

from __future__ import annotations

import copyreg
import pickle
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import IOBase
from operator import attrgetter
from typing import Any

from smtprelay import __version__
from smtprelay.config import Config
from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.preparation import Preparer, Submission
from smtprelay.reply import Reject, Reply
from smtprelay.signing import Signer, load_key

LENGTH = 4  # octets before each value, which tell its length, the most significant first
_BUFFER = 256 * 2**10

# The way that dataclasses with slots have of their own takes three times as long.
for kind in (Origin, Recipient, Envelope, Message, Submission):
    copyreg.pickle(kind, lambda value, kind=kind, values=attrgetter(*kind.__slots__): (kind, values(value)))  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Setup:
    """What the process has to know.

    :param version: the daemon's. Another one may have been installed since it was started.
    :param keys: PEM, domain and selector of each.
    """

    version: str
    config: Config
    keys: Sequence[tuple[bytes, str, str]] = field(repr=False)


def packed(value: object) -> bytes:
    """A value as it goes over the socket."""
    octets = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(octets).to_bytes(LENGTH, "big") + octets


def _next(stream: IOBase) -> Any:
    """The next value; None where the daemon has closed the socket, or died."""
    length = stream.read(LENGTH)
    return pickle.loads(stream.read(int.from_bytes(length, "big"))) if length else None  # noqa: S301 - ours


def _answer(preparer: Preparer, submission: Submission) -> Message | Reply | None:
    """The message, or the reply that refuses it; None where we failed: the daemon tries it in a thread."""
    try:
        return preparer.prepare(submission)
    except Reject as refusal:
        return refusal.reply
    except Exception:
        return None


def main() -> None:
    """Answer until the socket is closed. Signals are for the daemon, though a service manager sends them to all."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with (
        suppress(OSError, EOFError),  # the daemon is gone
        socket.socket(fileno=int(sys.argv[1])) as sock,
        sock.makefile("rb", _BUFFER) as requests,
    ):
        setup: Setup | None = _next(requests)
        while setup is not None and setup.version == __version__:
            preparer = Preparer(setup.config, Signer(load_key(*key) for key in setup.keys))
            sock.sendall(packed(True))
            while isinstance(request := _next(requests), Submission):
                sock.sendall(packed(_answer(preparer, request)))
            setup = request


if __name__ == "__main__":
    main()

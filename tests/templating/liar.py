"""A process that renders, and that a template has got at: it answers what it likes."""

from __future__ import annotations

import pickle
import socket
import sys

from smtprelay.templating.protocol import ERROR, MAX_ERROR, MESSAGE, READY
from smtprelay.worker.child import framed, parent

LIES = {
    "longer than the limit": (2**32 - 1).to_bytes(4, "big") + b"x" * 2**20,
    "empty": framed(b""),
    "unknown": framed(b"?"),
    "no JSON": framed(ERROR + pickle.dumps(ValueError)),
    "nested": framed(ERROR + b"[" * (MAX_ERROR - 1)),
    "other JSON": framed(ERROR + b'["problem", "file", 5, 5]'),
}
MORE = framed(MESSAGE + b"x") * 2**10


def main() -> None:
    with parent() as (requests, answer), socket.socket(fileno=int(sys.argv[1])) as sock:
        next(requests)
        answer(READY)
        for job, _, _ in requests:
            sock.sendall(LIES.get(job.template, MORE))


if __name__ == "__main__":
    main()

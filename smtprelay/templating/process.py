"""The worker that renders, within limits: a template may be wrong, or meant to do harm. `protocol` is how to ask it."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from smtprelay.errors import TemplateError
from smtprelay.templating.library import Templates
from smtprelay.templating.protocol import (
    ERROR,
    MEMORY,
    MESSAGE,
    NEXT,
    OUT_OF_MEMORY,
    READY,
    SECONDS,
    TOO_LARGE,
    write_error,
)
from smtprelay.worker.child import Answer, Requests, parent

_GRACE = 5.0  # seconds more that a message has, which only counts where the parent was killed over it


def main() -> None:
    with parent() as (requests, answer):
        directory: Path | None = next(requests, None)
        if directory is None:
            return
        templates = Templates(directory)
        _set_limits()
        answer(READY)
        try:
            _serve(templates, requests, answer)
        except MemoryError:
            answer(OUT_OF_MEMORY)


def _set_limits() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + MEMORY * 2**20
    for limit, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        _, ours = resource.getrlimit(limit)
        value = value if ours == resource.RLIM_INFINITY else min(value, ours)
        resource.setrlimit(limit, (value, value))


def _serve(templates: Templates, requests: Requests, answer: Answer) -> None:
    """Answer, and keep nothing of a job when its last message is made: a whole message of an app is in it.

    :raises MemoryError:
    """
    pieces: list[bytes] = []
    messages: Iterator[bytes] = iter(())
    for request in requests:
        if isinstance(request, bytes):
            pieces.append(request)
            answer(READY)
            continue
        if request is not NEXT:
            job, limit, count = request
            template, to_come = job.template, len(job.parts)
            content = b"".join((*pieces[len(pieces) - count :], job.content))  # others are of a job that was given up
            messages = templates.render(replace(job, content=content))
            pieces.clear()
            del content, job, request
        signal.setitimer(signal.ITIMER_REAL, SECONDS + _GRACE)
        limit -= _give(_next(template, messages, limit), answer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        to_come -= 1
        if not to_come:
            messages = iter(())


def _give(octets: bytes, answer: Answer) -> int:
    """:returns: the octets of the message."""
    answer(octets)
    return len(octets) - len(MESSAGE)


def _next(template: str, messages: Iterator[bytes], limit: int) -> bytes:
    """:returns: the answer."""
    try:
        message = next(messages)
    except TemplateError as error:
        return ERROR + write_error(error)
    except MemoryError:
        raise
    except Exception as error:
        return ERROR + write_error(TemplateError(template, f"it fails with {type(error).__name__}: {error}"))
    return MESSAGE + message if len(message) <= limit else TOO_LARGE


if __name__ == "__main__":
    main()

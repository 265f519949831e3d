"""What the daemon and the process that renders say to each other.

The first request is the templates' directory, and answered by `READY`. After that a request is a job, the most octets
that its messages may have together, and how many pieces of its content went before: requests that are octets, answered
by `READY`. A job's answer has its first message, and `NEXT` asks for the one after that.
Whoever reads an answer does not trust it: a template may have got at the process.
"""

from __future__ import annotations

import json

from smtprelay.errors import TemplateError

NEXT = None
SECONDS = 10.0  # that a message may take
MEMORY = 384  # MiB that messages may take, beyond what the libraries have

# The first octet of an answer.
READY = b"r"
MESSAGE = b"m"  # the message follows
ERROR = b"e"  # a template error follows
TOO_LARGE = b"l"  # the messages together are over the limit
OUT_OF_MEMORY = b"x"  # the process ends, so that what it has taken is given back

MAX_ERROR = 64 * 2**10  # octets of an answer that is no message
_MAX_TEXT = 1000  # characters of each text in an error


def write_error(error: TemplateError) -> bytes:
    texts = (text[:_MAX_TEXT] for text in (error.problem, error.file, error.variable))
    return json.dumps([*texts, error.line]).encode()


def read_error(template: str, octets: bytes) -> TemplateError:
    """:param template: its name. :raises ValueError: these octets are no error."""
    try:
        value = json.loads(octets)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    match value:
        case [str(problem), str(file), str(variable), int(line)]:
            problem, file, variable = map(_encodable, (problem, file, variable))
            return TemplateError(template, problem, file=file, line=line, variable=variable)
    raise ValueError("not an error")


def _encodable(text: str) -> str:
    """JSON can tell half a surrogate pair, which no file and no terminal takes."""
    return text.encode("utf-8", "replace").decode()

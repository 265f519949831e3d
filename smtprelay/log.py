"""Logs: one line an event, to standard output; rotation is the service manager's.

The keys are Postfix's where it has them: id, reverse_path, recipient, smarthost, delay, dsn, status, reply.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, TextIO

import structlog

from smtprelay.config import Log

_ADDRESS = re.compile(r"(?P<first>[^\s<>@,;:=\"'()\[\]])[^\s<>@,;:=\"'()\[\]]*@")
_LEVELS = ("debug", "info", "warning", "error")
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}  # syslog(3)
_NO_ADDRESSES = frozenset({"message_id"})  # it only looks like one, and tells messages apart


# What is done with an event, one after the other; a logger keeps what it was configured with when it was used first.
_chain: Sequence[structlog.types.Processor] = ()


def configure(settings: Log) -> None:
    """Set up logging for the whole process; another time, other settings count for all loggers."""
    global _chain
    _chain = tuple(_processors(settings))
    structlog.configure(
        processors=[_process],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: _Lines(sys.stdout),
        cache_logger_on_first_use=True,
    )
    # aiosmtpd logs whole AUTH exchanges, base64 passwords included.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)


class _Lines(structlog.WriteLogger):
    """Mail goes on where its log cannot be written: the disk is full, or who read the pipe is gone."""

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = err = error = critical = exception = fatal = failure = msg


def _process(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
    value: Any = event
    for processor in _chain:
        value = processor(logger, method, value)
    return value


def _processors(settings: Log) -> Iterator[structlog.types.Processor]:
    console = settings.format == "console" or (settings.format == "auto" and sys.stdout.isatty())
    yield _at_least(settings.level)
    yield structlog.processors.add_log_level
    yield _stamp
    # structlog's own choices for tracebacks show local variables: passwords and bodies.
    if console:
        yield structlog.processors.format_exc_info
    else:
        without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        yield structlog.processors.ExceptionRenderer(without_locals)
    if settings.addresses == "masked":
        yield _mask
    if console:
        plain = structlog.dev.plain_traceback
        yield structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)
    else:
        yield structlog.processors.JSONRenderer(serializer=_as_json)
        if _is_journal(sys.stdout):
            yield _prioritise


def _at_least(level: str) -> structlog.types.Processor:
    dropped = _LEVELS[: _LEVELS.index(level)]

    def drop(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method in dropped:
            raise structlog.DropEvent
        return event

    return drop


def get_logger(name: str) -> Any:
    """A logger for what the send API uses too: where structlog is not configured it writes to standard error, since
    standard output is the calling program's."""
    return structlog.wrap_logger(_Output(name))


class _Output:
    """Where structlog's configuration sends lines, if there is one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        configured = structlog.is_configured()
        factory = structlog.get_config()["logger_factory"] if configured else structlog.PrintLoggerFactory(sys.stderr)
        return getattr(factory(self._name), method)


# json.dumps makes an encoder for every line where it is not told to keep to its own defaults.
_ENCODER = json.JSONEncoder(ensure_ascii=False, default=repr)


def _as_json(event: Any, **_: Any) -> str:
    return _ENCODER.encode(event)


def _is_journal(stream: TextIO) -> bool:
    """Whether it leads to systemd's journal ($JOURNAL_STREAM of systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it has no descriptor
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _prioritise(_logger: Any, method: str, line: Any) -> str:
    """The journal takes the priority from the head of the line, and takes it off (sd-daemon(3))."""
    return f"<{_PRIORITIES.get(method, 6)}>{line}"


def _stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Local time with its offset: structlog's own stamp leaves the offset out."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    date_and_time, offset = _local(seconds)
    event["timestamp"] = f"{date_and_time}.{milliseconds:03d}{offset}"
    return event


@lru_cache(maxsize=1)  # a busy relay logs thousands of lines in a second
def _local(seconds: int) -> tuple[str, str]:
    """Unix time as local time to the second, and its offset."""
    stamp = datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
    return stamp[:19], stamp[19:]


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key not in _NO_ADDRESSES:
            event[key] = masked(value)
    return event


def masked(value: Any) -> Any:
    """The same with the local parts of addresses cut to a letter. They stand in replies, account names and tracebacks
    too, so every text is looked through."""
    if isinstance(value, str):
        return _ADDRESS.sub(r"\g<first>***@", value)
    if isinstance(value, dict):
        return {key: masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner) for inner in value]
    return value

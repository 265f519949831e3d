"""Logs: one line an event, to standard output; rotation is the service manager's.

The keys are Postfix's where it has them: id, reverse_path, recipient, smarthost, delay, dsn, status, reply.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from smtprelay.config import Log

_ADDRESS_KEYS = ("reverse_path", "recipient", "author", "to")


def configure(settings: Log) -> None:
    """Set up logging for the whole process."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stdout.isatty())
    processors: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=False),
    ]
    if settings.addresses == "masked":
        processors.append(_mask)
    if console:
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()))
    else:
        processors += [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(ensure_ascii=False)]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    # aiosmtpd logs whole AUTH exchanges, base64 passwords included.
    logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)


def _mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in _ADDRESS_KEYS:
        address = event.get(key)
        if address:
            local, at, domain = address.rpartition("@")
            event[key] = f"{local[:1]}***{at}{domain}"
    return event

"""The platform's HTTP API V17.0: `PlatformClient`, `AsyncPlatformClient`, and what they raise."""

from smtprelay.platform.client import AsyncPlatformClient, PlatformClient
from smtprelay.platform.errors import (
    CallFailed,
    NotAuthorised,
    PlatformError,
    PlatformUnreachable,
    TooManyCalls,
    UnreadableAnswer,
)
from smtprelay.platform.hourly import Hourly

__all__ = [
    "AsyncPlatformClient",
    "CallFailed",
    "Hourly",
    "NotAuthorised",
    "PlatformClient",
    "PlatformError",
    "PlatformUnreachable",
    "TooManyCalls",
    "UnreadableAnswer",
]

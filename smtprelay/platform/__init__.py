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

__all__ = [
    "AsyncPlatformClient",
    "CallFailed",
    "NotAuthorised",
    "PlatformClient",
    "PlatformError",
    "PlatformUnreachable",
    "TooManyCalls",
    "UnreadableAnswer",
]

"""The platform's HTTP API V17.0: `PlatformClient`, `AsyncPlatformClient`, what they raise, and the enumerations."""

from smtprelay.platform.client import AsyncPlatformClient, PlatformClient
from smtprelay.platform.contact_values import ListStatus, Sex, UploadState
from smtprelay.platform.domains import DomainStatus
from smtprelay.platform.errors import (
    CallFailed,
    NotAuthorised,
    PlatformError,
    PlatformUnreachable,
    TooManyCalls,
    UnreadableAnswer,
)
from smtprelay.platform.failures import FailureType
from smtprelay.platform.hourly import Hourly
from smtprelay.platform.statistics import SendState, TrackState
from smtprelay.platform.task_values import Sender, Start
from smtprelay.platform.template_values import CheckStatus, Encoding
from smtprelay.values import SHANGHAI

__all__ = [
    "SHANGHAI",
    "AsyncPlatformClient",
    "CallFailed",
    "CheckStatus",
    "DomainStatus",
    "Encoding",
    "FailureType",
    "Hourly",
    "ListStatus",
    "NotAuthorised",
    "PlatformClient",
    "PlatformError",
    "PlatformUnreachable",
    "SendState",
    "Sender",
    "Sex",
    "Start",
    "TooManyCalls",
    "TrackState",
    "UnreadableAnswer",
    "UploadState",
]

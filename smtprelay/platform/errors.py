"""What can go wrong between us and the platform's HTTP API. No text here holds a password, or a URL that does."""

from __future__ import annotations

from smtprelay.errors import SMTPRelayError
from smtprelay.platform.statuses import Status


class PlatformError(SMTPRelayError):
    """The root of what a call to the platform can raise."""


class PlatformUnreachable(PlatformError):
    """Nobody answered, or not to the end.

    :ivar ambiguous: the platform may have done what it was asked, or not: look before asking again.
    """

    def __init__(self, words: str, *, ambiguous: bool) -> None:
        super().__init__(f"{words}; it may have been done all the same: look before you try again" * ambiguous or words)
        self.ambiguous = ambiguous


class NotAuthorised(PlatformError):
    """The platform refuses username and password, or the account may not do this (HTTP 401 and 403)."""


class UnreadableAnswer(PlatformError):
    """The platform answered what its document does not know.

    :ivar excerpt: how the answer begins, on one line.
    """

    def __init__(self, problem: str, excerpt: str = "") -> None:
        super().__init__(f"{problem}: {excerpt!r}" if excerpt else problem)
        self.excerpt = excerpt


class CallFailed(PlatformError):
    """The platform says that it did not do it.

    :ivar status: the status string of its answer, with its meaning.
    :ivar data: what it says beside.
    """

    def __init__(self, status: Status, data: str = "") -> None:
        told = f"{status.value}: {status.english}" if status.english else status.value
        super().__init__(f"the platform says {told}{f' ({data})' if data and data != status.chinese else ''}")
        self.status = status
        self.data = data


class TooManyCalls(PlatformError):
    """The platform takes no more of these within the hour; it was not asked.

    :ivar again: seconds until it takes the next one.
    """

    def __init__(self, limit: int, again: float) -> None:
        super().__init__(f"the platform takes {limit} of these an hour: try again in {again / 60:.0f} minutes")
        self.again = again

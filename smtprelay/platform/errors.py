"""What can go wrong between us and the platform's HTTP API. No text here holds a password, or a URL that does.

Each is made of its own arguments, and puts them into words when it is asked: so it can be pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil
from typing import Self
from urllib.parse import quote_plus

from smtprelay.errors import SMTPRelayError
from smtprelay.platform.statuses import Status
from smtprelay.words import harmless

EXCERPT = 120  # characters
HIDDEN = "***"  # in the place of a secret


class PlatformError(SMTPRelayError):
    """The root of what a call to the platform can raise.

    :ivar ambiguous: the platform may have done what it was asked, or not: look before asking again.
    """

    ambiguous = False

    def __str__(self) -> str:
        told = harmless(self._words())  # for terminals, logs, the page: the platform's own words are in it
        if self.ambiguous:
            return f"{told}; it may have been done all the same: look before you try again"
        return told

    def _words(self) -> str:
        return super().__str__()


class PlatformUnreachable(PlatformError):
    """Nobody answered, or not to the end."""

    def __init__(self, words: str, ambiguous: bool = False) -> None:
        super().__init__(words)
        self.ambiguous = ambiguous


class NotAuthorised(PlatformError):
    """The platform refuses username and password, or the account may not do this (HTTP 401 and 403)."""


class AnswerError(PlatformError):
    """The platform answered what is no success. What is told of it may quote the answer."""

    def without(self, secrets: Sequence[str]) -> Self:
        """The same, with none of these in it: there are platforms that repeat what they were sent."""
        return type(self)(*(_hidden(argument, secrets) for argument in self.args))


class UnreadableAnswer(AnswerError):
    """The platform answered what its document does not know.

    :ivar excerpt: how the answer begins, on one line.
    """

    def __init__(self, problem: str, excerpt: str = "") -> None:
        excerpt = " ".join(excerpt[: 4 * EXCERPT].split())
        super().__init__(problem, excerpt)  # more than is shown: half of a secret would not be recognised as one
        self.problem = problem
        self.excerpt = excerpt[:EXCERPT]

    def _words(self) -> str:
        return f"{self.problem}: {self.excerpt!r}" if self.excerpt else self.problem


class CallFailed(AnswerError):
    """The platform says that it did not do it.

    :ivar status: the status string of its answer, with its meaning.
    :ivar data: what it says beside.
    """

    def __init__(self, status: Status, data: str = "") -> None:
        super().__init__(status, data)
        self.status = status
        self.data = data

    def _words(self) -> str:
        meaning = f": {self.status.english}" if self.status.english else ""
        beside = f" ({self.data[:EXCERPT]})" if self.data not in ("", self.status.chinese) else ""
        return f"the platform says {self.status.value[:EXCERPT]}{meaning}{beside}"


class TooManyCalls(PlatformError):
    """The platform takes no more of these within the hour; it was not asked.

    :ivar again: seconds until it takes the next one.
    """

    def __init__(self, limit: int, again: float) -> None:
        super().__init__(limit, again)
        self.limit = limit
        self.again = again

    def _words(self) -> str:
        minutes = ceil(self.again / 60)
        return f"the platform takes {self.limit} of these an hour: try again in {minutes} minute{'s' * (minutes != 1)}"


def _hidden(text: str, secrets: Sequence[str]) -> str:
    """A text without these, however they are written in XML and in a URL. Statuses of the document are no secrets."""
    if isinstance(text, Status) and text.is_documented:
        return text
    told: str = text
    for secret in filter(None, secrets):
        on_one_line = " ".join(secret.split())
        for written in {secret, on_one_line, escape(on_one_line), quote_plus(secret)}:
            told = told.replace(written, HIDDEN)
    return Status(told) if isinstance(text, Status) else told

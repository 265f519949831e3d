"""What the two clients have in common: which request a call is, when it is made again, what its response means."""

from __future__ import annotations

import base64
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import httpx

from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, Progress
from smtprelay.platform.errors import (
    NotAuthorised,
    PlatformError,
    PlatformUnreachable,
    TooManyCalls,
    UnreadableAnswer,
)
from smtprelay.values import check_base_url

TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # seconds of silence
DEADLINE = 600.0  # seconds for a whole answer
MAX_ANSWER = 256 * 2**20  # octets: a list of some million addresses
PAUSES = (1.0, 4.0)  # seconds before a call is made again
HOUR = 3600.0
LOCAL = ("all://127.0.0.1", "all://[::1]", "all://localhost")  # never through a proxy
_BUSY = frozenset({429, 502, 503, 504})

T = TypeVar("T")


class Hourly:
    """Keeps to what the platform takes in an hour.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made: dict[str, deque[float]] = {}

    def count(self, name: str, limit: int) -> None:
        """One more is about to be made. :raises TooManyCalls: not now."""
        made, now = self._made.setdefault(name, deque()), self._clock()
        while made and now - made[0] >= HOUR:
            made.popleft()
        if len(made) >= limit:
            raise TooManyCalls(limit, made[0] + HOUR - now)
        made.append(now)


@dataclass(frozen=True)
class Core:
    """One account at one address.

    :param authorization: the value of the header field; a secret.
    """

    base_url: str
    username: str
    headers: Mapping[str, str]
    hourly: Hourly

    @classmethod
    def of(cls, base_url: str, username: str, password: str, *, allow_insecure: bool, hourly: Hourly | None) -> Core:
        """:raises ValueError: the address cannot be used; the text says what would be right."""
        url = check_base_url(base_url, allow_insecure=allow_insecure)
        token = base64.b64encode(f"{username}:{password}".encode()).decode()  # RFC 7617 §2.1: UTF-8
        headers = {"authorization": f"Basic {token}", "user-agent": "smtprelay"}
        return cls(url, username, headers, hourly or Hourly())

    def __repr__(self) -> str:
        return f"{self.username} at {self.base_url}"

    @contextmanager
    def request(self, call: Call[Any]) -> Iterator[dict[str, Any]]:
        """The arguments of `httpx.Client.stream`; its files are open meanwhile. :raises OSError: one cannot be read."""
        with ExitStack() as files:
            request: dict[str, Any] = {
                "method": "GET" if call.form is None else "POST",
                "url": self.base_url + call.path,
                "params": dict(call.query),
            }
            if call.form is not None:
                request["data"] = dict(call.form)
            if call.uploads:
                sent = _Sent(call.progress)
                request["files"] = [
                    (u.name, (u.filename, _Reader(files.enter_context(_opened(u.source)), sent))) for u in call.uploads
                ]
            yield request

    def count(self, call: Call[Any]) -> None:
        """Before each request. :raises TooManyCalls: it must not be made."""
        if call.hourly:
            self.hourly.count(call.number, call.hourly)

    def pause(self, call: Call[Any], error: PlatformError, tries: int) -> float | None:
        """Seconds until the call is made again; None: the error is the caller's."""
        if not isinstance(error, PlatformUnreachable) or tries > len(PAUSES):
            return None
        return PAUSES[tries - 1] if call.repeatable or not error.ambiguous else None

    def unreachable(self, call: Call[Any], error: Exception) -> PlatformUnreachable:
        """What is known where no whole answer came."""
        never_asked = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        words = f"{urlsplit(self.base_url).netloc}: {_words(error)}"
        return PlatformUnreachable(words, ambiguous=not never_asked and not call.repeatable)

    def judge(self, call: Call[T], status: int, body: bytes) -> T:
        """What the caller gets. :raises PlatformError: with the call's number in the document."""
        answer = Answer(body)
        try:
            if status in (401, 403):
                raise NotAuthorised(f"{self!r} is refused (HTTP {status}): look at username and password")
            if status in _BUSY:
                raise PlatformUnreachable(f"HTTP {status}", ambiguous=not call.repeatable and status != 429)
            if status != 200:
                raise UnreadableAnswer(f"HTTP {status} came", answer.excerpt)
            return call.read(answer)
        except PlatformError as error:
            error.add_note(f"call {call.number}, {call.path}")
            raise


def _words(error: Exception) -> str:
    """The library's own may quote a URL."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError | OSError):
        return str(error) or type(error).__name__
    return f"the connection broke ({type(error).__name__})"


def _opened(source: Any) -> IO[bytes]:
    return BytesIO(source) if isinstance(source, bytes) else source.open("rb")


class _Sent:
    """How much of all uploads of a call went."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.done = self.total = 0


class _Reader:
    """A file that tells how far it was read."""

    def __init__(self, file: IO[bytes], sent: _Sent) -> None:
        self._file, self._sent = file, sent
        self._counted = 0
        sent.total += file.seek(0, os.SEEK_END)
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        octets = self._file.read(size)
        self._counted += len(octets)
        self._sent.done += len(octets)
        if self._sent.progress and octets:
            self._sent.progress(self._sent.done, self._sent.total)
        return octets

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset == 0 and whence == os.SEEK_SET:  # it is sent from its beginning
            self._sent.done -= self._counted
            self._counted = 0
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

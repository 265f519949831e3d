"""What the two clients have in common: which request a call is, when it is made again, what its response means."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from smtprelay.network import why_failed
from smtprelay.platform import uploads
from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call
from smtprelay.platform.errors import AnswerError, NotAuthorised, PlatformError, PlatformUnreachable, UnreadableAnswer
from smtprelay.platform.hourly import Hourly
from smtprelay.values import BASE_URL, check_base_url, check_platform_username

TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # seconds of silence
DEADLINE = 600.0  # seconds for a whole call
SLOWEST = 2**13  # octets that are uploaded in a second, at least
PAUSES = (1.0, 4.0)  # seconds before a call is made again
BROKEN = (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ssl.SSLError)  # what no whole answer may look like
_LOCAL = ("all://127.0.0.1", "all://[::1]", "all://localhost")  # never through a proxy
_NEVER_ASKED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_BUSY = frozenset({429, 502, 503, 504})

T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)


@dataclass(frozen=True)
class Core:
    """One account at one address.

    :param headers: of every request; the password is in them.
    :param secrets: the password, as it is and as it goes to the platform.
    """

    base_url: str
    username: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    hourly: Hourly

    @classmethod
    def of(cls, base_url: str, username: str, password: str, *, allow_insecure: bool, hourly: Hourly | None) -> Core:
        """:raises ValueError: address or username cannot be used; the text says what would be right."""
        url = check_base_url(base_url, allow_insecure=allow_insecure)
        check_platform_username(username)
        try:
            httpx.URL(url)
        except httpx.InvalidURL:
            raise ValueError(f'an address such as "{BASE_URL}" is wanted') from None
        # RFC 7617 §2.1: UTF-8. What came to us as other octets leaves as these.
        token = base64.b64encode(f"{username}:{password}".encode("utf-8", "surrogateescape")).decode()
        # "charset" is the document's own (remark 2, 4.9.3, 9.3), where there is Chinese in a parameter.
        ours = {"user-agent": "smtprelay", "accept-encoding": "gzip", "charset": "utf-8"}
        headers = {"authorization": f"Basic {token}", **ours}
        return cls(url, username, headers, (password, token), hourly or Hourly())

    def __repr__(self) -> str:
        return f"{self.username} at {self.base_url}"

    def settings(self) -> dict[str, Any]:
        """The arguments of `httpx.Client`. The system's certificates take 100 ms to read; none are where none are
        needed."""
        secure = self.base_url.startswith("https:")
        return {
            "headers": self.headers,
            "timeout": TIMEOUT,
            "verify": ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            "mounts": dict.fromkeys(_LOCAL),
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=())),  # each call logs in anew: none is kept
        }

    def open(self, kind: type[H]) -> H:
        """A client of httpx. :raises PlatformUnreachable: the environment's proxy is none."""
        settings = self.settings()
        try:
            _check_proxies()
            return kind(**settings)
        except (ValueError, ImportError, httpx.InvalidURL):
            pass  # it is not quoted: there may be a password in it
        raise PlatformUnreachable(
            "the proxy of $HTTPS_PROXY, $HTTP_PROXY, $ALL_PROXY or $NO_PROXY is none that can be used: an address such "
            'as "http://proxy.example.com:3128" is wanted'
        )

    @contextmanager
    def request(self, call: Call[Any], http: httpx.Client | httpx.AsyncClient) -> Iterator[httpx.Request]:
        """What is sent; its files are open meanwhile. :raises OSError: one cannot be read."""
        with uploads.opened(call) as files:
            yield http.build_request(
                "GET" if call.form is None and not files else "POST",
                self.base_url + call.path,
                params=call.query,
                data=call.form,
                files=files or None,
            )

    def count(self, call: Call[Any]) -> None:
        """Before each request. :raises TooManyCalls: it must not be made."""
        if call.hourly:
            self.hourly.count(f"{call.number} of {self!r}", call.hourly)

    def pause(self, call: Call[Any], error: PlatformError, tries: int) -> float | None:
        """Seconds until the call is made again; None: the error is the caller's, and names the call."""
        if isinstance(error, UnreadableAnswer):
            error.ambiguous = not call.repeatable
        may_try = isinstance(error, PlatformUnreachable) and not error.ambiguous
        if may_try and tries <= len(PAUSES):
            return PAUSES[tries - 1]
        error.add_note(f"call {call.number}, {call.path}")
        return None

    def unreachable(self, call: Call[Any], error: Exception) -> PlatformUnreachable:
        """What is known where no whole answer came."""
        words = f"{self._host}: {_words(error)}"
        return PlatformUnreachable(words, ambiguous=not (isinstance(error, _NEVER_ASKED) or call.repeatable))

    def judge(self, call: Call[T], status: int, body: bytes) -> T:
        """What the caller gets. :raises PlatformError: it is none; no secret of account or call is in it."""
        try:
            return self._read(call, status, Answer(body))
        except AnswerError as error:
            problem = error.without((*self.secrets, *call.secrets))
        raise problem  # from here: within `except` the one that quotes them would hang on it

    def _read(self, call: Call[T], status: int, answer: Answer) -> T:
        if status in (401, 403):
            raise NotAuthorised(f"{self!r} is refused (HTTP {status}): look at username and password")
        if status in _BUSY:
            ambiguous = not call.repeatable and status != 429
            raise PlatformUnreachable(f"{self._host} answers HTTP {status}", ambiguous=ambiguous)
        if 300 <= status < 400:
            raise UnreadableAnswer(
                f"{self._host} answers HTTP {status}, and sends elsewhere, where the password does not go (look at "
                f"base_url, {self.base_url})"
            )
        if status != 200:
            advice = f" (look at base_url, {self.base_url})" if status == 404 else ""
            raise UnreadableAnswer(f"{self._host} answers HTTP {status}{advice}", answer.excerpt)
        return call.read(answer)

    @property
    def _host(self) -> str:
        return urlsplit(self.base_url).netloc


def deadline(request: httpx.Request) -> float:
    """Seconds for it and its answer, from the connection on: an answer may drip, from its first line on."""
    return DEADLINE + int(request.headers.get("content-length", 0)) / SLOWEST


def _check_proxies() -> None:
    """:raises ValueError: a port is none, at which a connection would fail with what is no error of the network."""
    for scheme in ("all", "http", "https"):
        proxy = getproxies().get(scheme, "")
        parts = urlsplit(proxy if "://" in proxy else f"//{proxy}")  # as httpx reads it
        if parts.port == 0:  # one of more than 65535 raises
            raise ValueError("port 0")


def _words(error: Exception) -> str:
    """The library's own may quote a URL."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "no answer in time"
    if isinstance(error, httpx.ProxyError):  # the first line of its reply
        return f"the proxy answers {error}"
    if isinstance(error, httpx.ConnectError | OSError):
        return why_failed(_beneath(error)) or type(error).__name__
    return f"the connection broke ({type(error).__name__})"


def _beneath(error: BaseException) -> OSError:
    """The system's own error, or OpenSSL's, of which the library made its own."""
    cause: BaseException | None = error
    while cause and not (isinstance(cause, OSError) and cause.errno):
        cause = cause.__cause__ or cause.__context__
    return cause if isinstance(cause, OSError) else OSError(str(error))

"""Neither the password of the account nor one of a form is to be seen where something goes wrong."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest

from smtprelay.platform import PlatformError, body, core
from smtprelay.platform.call import Call, Upload
from smtprelay.platform.result import read_result
from tests.platform_api.asking import PASSWORD, USERNAME, Asking
from tests.platform_api.server import CUT, Server, answer

IN_FORM = "geheim-im-formular"
HIDDEN = [PASSWORD, IN_FORM, base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode(), "Basic "]
CALL = Call("7.10", "mailbox.php", {"do": "edit"}, read_result, {"pwd": IN_FORM}, secrets=[IN_FORM])


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        yield from chain(error.__cause__)
        error = error.__context__


def told(error: BaseException) -> str:
    """All that a logger could print of it: its chain, suppressed or not, and the variables of each frame."""
    return "\n".join(
        "".join(traceback.TracebackException.from_exception(one, capture_locals=True).format(chain=False))
        + repr(one)
        + repr(vars(one))
        for one in chain(error)
    )


@pytest.mark.parametrize(
    "trouble",
    [
        None,
        CUT,
        answer("<result>", content_length="1000"),
        answer("<result>", content_encoding="gzip"),
        answer("", "401 Unauthorized"),
        answer("", "502 Bad Gateway"),
        answer("", "404 Not Found"),
        answer("", "302 Found", location="https://example.com/"),
        answer("<result><status>error</status></result>"),
        answer("<result>"),
        answer("a" * 2000),
        b"nothing of HTTP\r\n\r\n",
    ],
)
def test_no_error_has_a_password_in_it(
    ask: Asking, trouble: bytes | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(core, "TIMEOUT", httpx.Timeout(0.1, connect=5.0))
    monkeypatch.setattr(body, "MAX_ANSWER", 1000)
    caplog.set_level(logging.DEBUG)
    with Server(trouble) as server, pytest.raises(PlatformError) as caught:
        ask(server.url, lambda platform: platform.send(CALL))
    assert server.requests[0].form == {"pwd": IN_FORM}
    everything = told(caught.value) + caplog.text
    assert [secret for secret in HIDDEN if secret in everything] == []
    assert not [one for one in chain(caught.value) if isinstance(one, httpx.HTTPError)]  # the request hangs on these
    assert [record for record in caplog.records if record.name == "httpx"] == []


@pytest.mark.parametrize("secret", [PASSWORD, IN_FORM, HIDDEN[2]], ids=["account", "form", "log-in"])
@pytest.mark.parametrize(
    "repeating",
    [
        lambda secret: answer(f"<result><status>error</status><data><![CDATA[bad pwd: {secret}]]></data></result>"),
        lambda secret: answer(f"<result><status>bad pwd {escape(secret)}</status></result>"),
        lambda secret: answer(f"pwd={quote_plus(secret)} is bad"),
        lambda secret: answer(f"<h1>bad pwd {escape(secret)}</h1>", "500 Internal Server Error"),
        lambda secret: answer(f"{'.' * 115}{secret}"),  # of which an excerpt has five characters
    ],
    ids=["data", "status", "URL", "page", "cut"],
)
def test_no_error_quotes_a_password_that_the_platform_repeats(
    ask: Asking, repeating: Callable[[str], bytes], secret: str
) -> None:
    def set_password(platform: Any) -> Any:
        return platform.mailboxes.set_password("news@example.com", IN_FORM)

    with Server(repeating(secret)) as server, pytest.raises(PlatformError) as caught:
        ask(server.url, set_password)
    assert str(caught.value).count("***") == 1
    assert list(chain(caught.value)) == [caught.value]
    everything = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert not [begin for begin in (secret[:5], escape(secret)[:5], quote_plus(secret)[:5]) if begin in everything]


def test_no_error_of_the_network_has_a_password_in_it(ask: Asking) -> None:
    with Server() as server:
        pass
    with pytest.raises(PlatformError) as caught:
        ask(server.url, lambda platform: platform.send(CALL))
    assert [secret for secret in HIDDEN if secret in told(caught.value)] == []
    assert list(chain(caught.value)) == [caught.value]


class Unreadable(type(Path())):  # type: ignore[misc]
    """A file on a disk that fails."""

    def open(self, *_: Any, **__: Any) -> Any:
        return _Failing()


class _Failing:
    def __enter__(self) -> _Failing:
        return self

    def __exit__(self, *_: object) -> None: ...

    def seek(self, *_: int) -> int:
        return 10

    def tell(self) -> int:
        return 0

    def read(self, _: int) -> bytes:
        raise OSError(5, "Input/output error")


def test_no_error_of_a_file_has_a_password_in_it(ask: Asking) -> None:
    call = Call("4.9.3", "x.php", {}, read_result, {"pwd": IN_FORM}, uploads=[Upload("file", "a", Unreadable("a"))])
    with Server(answer("")) as server, pytest.raises(OSError, match="Input/output error") as caught:
        ask(server.url, lambda platform: platform.send(call))
    assert [secret for secret in HIDDEN if secret in told(caught.value)] == []


def test_nothing_shows_its_password() -> None:
    shown: list[object] = []

    def look(platform: Any) -> Any:
        shown.extend([platform, platform._core, vars(platform), CALL])
        return platform.send(CALL)

    with Server(answer("<result><status>success</status></result>")) as server:
        Asking(asynchronous=False)(server.url, look)
    assert [secret for secret in HIDDEN if secret in repr(shown)] == []
    assert repr(shown[0]) == f"PlatformClient({USERNAME} at {server.url}/)"

"""Both clients before a real server: what they send, when they try again, what they make of its answers."""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from smtprelay.platform import (
    AsyncPlatformClient,
    CallFailed,
    NotAuthorised,
    PlatformClient,
    PlatformError,
    PlatformUnreachable,
    TooManyCalls,
    UnreadableAnswer,
    body,
    core,
)
from smtprelay.platform.account import Service, ServiceStatus
from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, Pages, Upload
from smtprelay.platform.contacts import Contacts
from smtprelay.platform.hourly import Hourly
from smtprelay.platform.mailboxes import Mailboxes
from smtprelay.platform.result import Result, read_result
from smtprelay.platform.statuses import Status
from smtprelay.platform.tasks import Tasks
from tests.platform_api.asking import PASSWORD, USERNAME, Asking
from tests.platform_api.server import CUT, Request, Server, answer

SERVICE = answer("<service><service_status>enabled</service_status><qty_available>7</qty_available></service>")
DONE = answer("<result><status>success</status><data>78</data></result>")
ADD = Call("4.3", "mloperate.php", {"do": "maillist-add"}, read_result, {"subject": "例子 & Söhne"})
BUSY = [answer("busy", "502 Bad Gateway"), answer("", "503 Service Unavailable"), answer("", "504 Gateway Timeout")]
BREAKS_OFF = answer("<service>", content_length="1000")


def service(platform: Any) -> Any:
    return platform.account.service()


def add(platform: Any) -> Any:
    return platform.send(ADD)


def unused() -> str:
    with Server() as server:
        return server.url


def test_a_call_is_a_request(ask: Asking) -> None:
    with Server(SERVICE) as server:
        told: Service = ask(server.url, service)
    assert (told.status, told.available) == (ServiceStatus.ENABLED, 7)
    [request] = server.requests
    assert (request.method, request.path) == ("GET", "/mm-ms/apinew/account.php")
    assert (request.query, request.body) == ({"do": "service-info"}, b"")
    scheme, _, token = request.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(token).decode()) == ("Basic", f"{USERNAME}:{PASSWORD}")
    assert request.headers["user-agent"] == "smtprelay"


def test_parameters_are_utf_8_in_the_address_and_in_the_form(ask: Asking) -> None:
    call = Call("4.8", "mloperate.php", {"keyword": "深圳 &=+;"}, read_result, {"name": "例子 &=+;", "empty": ""})
    with Server(DONE) as server:
        ask(server.url, lambda platform: platform.send(call))
    [request] = server.requests
    assert request.method == "POST"
    assert (request.query, request.form) == ({"keyword": "深圳 &=+;"}, {"name": "例子 &=+;", "empty": ""})
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


def test_an_empty_form_is_posted_all_the_same(ask: Asking) -> None:
    with Server(DONE) as server:
        ask(server.url, lambda platform: platform.send(Call("4.12", "mloperate.php", {}, read_result, {})))
    [request] = server.requests
    assert (request.method, request.headers["content-length"], request.body) == ("POST", "0", b"")


@pytest.mark.parametrize("form", [None, {"list_id": "7"}])
def test_files_are_uploaded_and_tell_how_far_they_are(ask: Asking, tmp_path: Path, form: dict[str, str] | None) -> None:
    file = tmp_path / "地址.txt"
    file.write_bytes(b"a" * 300_000)
    told: list[tuple[int, int]] = []
    uploads = [Upload("file", "地址.txt", file), Upload("file[]", "b.txt", b"in memory")]
    call = Call("4.9.3", "x.php", {}, read_result, form, uploads=uploads, progress=lambda *so_far: told.append(so_far))
    with Server(DONE) as server:
        assert ask(server.url, lambda platform: platform.send(call)) == Result(Status.SUCCESS, 78)
    [request] = server.requests
    assert request.method == "POST"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert int(request.headers["content-length"]) == len(request.body)
    for part in ("地址.txt".encode(), b'name="file[]"', b"a" * 300_000, b"\r\n\r\nin memory\r\n"):
        assert part in request.body
    assert (b'name="list_id"\r\n\r\n7\r\n' in request.body) == bool(form)
    assert told == sorted(told)
    assert told[-1] == (300_009, 300_009)
    assert len(told) > 4


def test_a_file_that_cannot_be_read_is_not_asked_for_on_the_way(ask: Asking, tmp_path: Path) -> None:
    call = Call("4.9.3", "x.php", {}, read_result, {}, uploads=[Upload("file", "a", tmp_path / "missing")])
    with Server(DONE) as server, pytest.raises(FileNotFoundError):
        ask(server.url, lambda platform: platform.send(call))
    assert server.requests == []


@pytest.mark.parametrize("trouble", [*BUSY, CUT, BREAKS_OFF, answer("", "429 Too Many Requests")])
def test_what_changes_nothing_is_tried_again(ask: Asking, trouble: bytes) -> None:
    with Server(trouble, trouble, SERVICE) as server:
        assert ask(server.url, service).available == 7
    assert len(server.requests) == 3
    assert ask.pauses == [1.0, 4.0]


def test_why_nobody_answers_is_told_without_numbers(ask: Asking) -> None:
    """The fault: "[Errno 111] Connection refused"; "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"."""
    with pytest.raises(PlatformUnreachable, match=r"^127.0.0.1:\d+: Connection refused\n"):
        ask(unused(), service)
    with (
        Server(SERVICE, SERVICE, SERVICE) as server,
        pytest.raises(PlatformUnreachable, match=r": TLS failed: there is no TLS at this port\n"),
    ):
        ask(server.url.replace("http:", "https:"), service)


@pytest.mark.parametrize("status", ["404 Not Found", "301 Moved Permanently"])
def test_another_address_is_looked_for_where_nothing_is_there(ask: Asking, status: str) -> None:
    with Server(answer("not here", status)) as server, pytest.raises(UnreadableAnswer) as caught:
        ask(server.url, service)
    assert f"answers HTTP {status[:3]}" in str(caught.value)
    assert f"(look at base_url, {server.url}" in str(caught.value)


def test_but_not_without_end(ask: Asking) -> None:
    with (
        Server(*BUSY) as server,
        pytest.raises(PlatformUnreachable, match=r"^127.0.0.1:\d+ answers HTTP 504\n") as caught,
    ):
        ask(server.url, service)
    assert not caught.value.ambiguous
    assert caught.value.__notes__ == ["call 1.2, account.php"]


@pytest.mark.parametrize("trouble", [*BUSY, CUT, BREAKS_OFF])
def test_what_changes_something_is_not_tried_again_where_it_may_have_been_done(ask: Asking, trouble: bytes) -> None:
    with (
        Server(trouble) as server,
        pytest.raises(PlatformUnreachable, match="it may have been done all the same") as caught,
    ):
        ask(server.url, add)
    assert caught.value.ambiguous
    assert (len(server.requests), ask.pauses) == (1, [])


def test_what_changes_something_is_tried_again_where_it_was_not_done(ask: Asking) -> None:
    with Server(answer("", "429 Too Many Requests"), DONE) as server:
        assert ask(server.url, add).id == 78
    assert len(server.requests) == 2


def test_nobody_answers(ask: Asking) -> None:
    with pytest.raises(PlatformUnreachable, match=r"^127.0.0.1:\d+: ") as caught:
        ask(unused(), add)
    assert not caught.value.ambiguous
    assert ask.pauses == [1.0, 4.0]


@pytest.mark.parametrize("asked", [service, add])
def test_nobody_answers_in_time(ask: Asking, asked: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "TIMEOUT", httpx.Timeout(None, read=0.05))
    tries = 1 if asked is add else 3
    with Server(None, None, None) as server:
        with pytest.raises(PlatformUnreachable, match="no answer in time") as caught:
            ask(server.url, asked)
        server.wait_for(tries)
    assert caught.value.ambiguous == (asked is add)
    assert len(server.requests) == tries


def test_an_answer_that_drips_is_not_waited_for(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "DEADLINE", -1.0)  # it is over, whatever the form adds to it
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n<\r\n"
    with Server(chunked) as server, pytest.raises(PlatformUnreachable, match="no answer in time"):
        ask(server.url, add)


def test_an_answer_that_drips_before_it_begins_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only asyncio can break off there; who waits looks at the clock with each piece of the body."""
    monkeypatch.setattr(core, "DEADLINE", 0.2)
    with Server(None) as server, pytest.raises(PlatformUnreachable, match="no answer in time"):
        Asking(asynchronous=True)(server.url, add)


async def test_the_loop_goes_on_between_the_chunks_of_an_answer() -> None:
    """64 KB of one octet each kept it for half a second."""
    chunked = b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with Server(chunked + b"1\r\n7\r\n" * 10_000 + b"0\r\n\r\n") as server:
        async with AsyncPlatformClient("a", "b", server.url, allow_insecure=True) as platform:
            counting = asyncio.create_task(count())
            assert len(await platform.send(Call("1.1", "x.php", {}, lambda answer: answer.text))) == 10_000
            counting.cancel()
    assert turns > 10_000


def test_an_upload_has_the_time_that_it_takes() -> None:
    request = httpx.Request("POST", "https://example.com/", content=bytes(2**20))
    assert core.deadline(request) == core.DEADLINE + 2**20 / core.SLOWEST
    assert core.deadline(httpx.Request("GET", "https://example.com/")) == core.DEADLINE


def test_an_answer_that_does_not_end_is_not_kept(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MAX_ANSWER", 1000)
    with Server(answer("a" * 1001)) as server, pytest.raises(UnreadableAnswer, match="more than 1000 octets") as caught:
        ask(server.url, service)
    assert caught.value.__notes__ == ["call 1.2, account.php"]
    with (
        Server(answer("a" * 1001)) as server,
        pytest.raises(UnreadableAnswer, match="it may have been done all the same"),
    ):
        ask(server.url, add)


def test_an_answer_may_be_packed(ask: Asking) -> None:
    told = gzip.compress(b"<service><qty_available>7</qty_available></service>")
    with Server(answer(told, content_encoding="gzip")) as server:
        assert ask(server.url, service).available == 7
    assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("location", ["mailto:x", "http://[::1", "//"])
def test_a_way_elsewhere_that_is_none_is_not_gone(ask: Asking, location: str) -> None:
    with Server(answer("", "302 Found", location=location)) as server, pytest.raises(PlatformError) as caught:
        ask(server.url, add)
    assert caught.value.ambiguous
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refused_log_in_says_whose(ask: Asking, status: str) -> None:
    with Server(answer("<html>401</html>", status)) as server, pytest.raises(NotAuthorised) as caught:
        ask(server.url, service)
    assert str(caught.value) == (
        f"{USERNAME} at {server.url}/ is refused (HTTP {status[:3]}): look at username and password"
    )


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            answer("<html><h1>Not Found</h1></html>", "404 Not Found"),
            r"^127.0.0.1:\d+ answers HTTP 404 \(look at base_url, .*\): 'Not Found'",
        ),
        (answer("", "302 Found", location="https://example.com/"), "answers HTTP 302, and sends elsewhere"),
        (answer("<html><title>维护</title></html>".encode("gbk")), "a page of HTML came in place of an answer: '维护'"),
        (answer("ok"), "XML was expected, and text came: 'ok'"),
        (answer("<service><id>7</id>"), "the answer breaks off within <service>"),
    ],
)
def test_what_is_no_answer(ask: Asking, told: bytes, words: str) -> None:
    with Server(told) as server, pytest.raises(UnreadableAnswer, match=words) as caught:
        ask(server.url, service)
    assert (caught.value.ambiguous, ask.pauses) == (False, [])
    with Server(told) as server, pytest.raises(UnreadableAnswer, match="it may have been done all the same"):
        ask(server.url, add)


def test_the_platform_says_that_it_failed(ask: Asking) -> None:
    with (
        Server(answer("<result><status>add_maillist_error</status></result>")) as server,
        pytest.raises(CallFailed, match="the contact list could not be added") as caught,
    ):
        ask(server.url, add)
    assert caught.value.__notes__ == ["call 4.3, mloperate.php"]


def test_no_more_than_the_platform_takes_in_an_hour(ask: Asking) -> None:
    """By all clients that count together."""
    now = [1000.0]
    hourly = Hourly(clock=lambda: now[0])
    call = Call("6.2", "task.php", {"do": "add-task"}, read_result, {}, hourly=2)
    with Server(DONE, DONE, DONE) as server:
        for _ in range(2):
            ask(server.url, lambda platform: platform.send(call), hourly=hourly)
        with pytest.raises(TooManyCalls, match="try again in 60 minutes") as caught:
            ask(server.url, lambda platform: platform.send(call), hourly=hourly)
        assert len(server.requests) == 2
        now[0] += caught.value.again
        ask(server.url, lambda platform: platform.send(call), hourly=hourly)


def rows_of(pages: list[list[int]]) -> Callable[[Any], Any]:
    def page(number: int) -> Call[list[int]]:
        return Call("4.8", "x.php", {"page": str(number)}, Answer.json, repeatable=True)

    return lambda platform: platform.each(Pages(page, 2))


@pytest.mark.parametrize(
    ("pages", "expected"),
    [([[]], []), ([[1]], [1]), ([[1, 2], [3]], [1, 2, 3]), ([[1, 2], []], [1, 2]), ([[1, 2], [1, 2]], [1, 2])],
)
def test_pages_are_one_list(ask: Asking, pages: list[list[int]], expected: list[int]) -> None:
    """The last case: a platform that takes no notice of page numbers."""
    with Server(*(answer(str(page)) for page in pages)) as server:
        assert ask(server.url, rows_of(pages)) == expected
    assert [request.query for request in server.requests] == [{"page": str(n)} for n in range(1, len(pages) + 1)]


@pytest.mark.parametrize(
    ("pages", "unasked"),
    [
        (Contacts.addresses.describe(None, limit=1000), 50),
        (Tasks.list.describe(None, limit=1000), 30),
        (Mailboxes.list.describe(None, "example.com", limit=1000), 30),
    ],
)
def test_a_page_with_less_than_was_asked_for_need_not_be_the_last(pages: Pages[object], unasked: int) -> None:
    """Where the platform gives 100 at most, nobody would see that the others are missing."""
    assert pages.page(1).query["limit"] == "1000"
    assert pages.size == unasked


def test_pages_are_asked_for_when_they_are_wanted() -> None:
    with Server(answer("[1, 2]")) as server, PlatformClient("a", "b", server.url, allow_insecure=True) as platform:
        assert next(rows_of([])(platform)) == 1
    assert len(server.requests) == 1


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    ca = trustme.CA()
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return ca, file


def tls(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_https_with_an_authority_that_the_system_trusts(
    ask: Asking, authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, file = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with Server(SERVICE, tls=tls(ca)) as server:
        assert server.url.startswith("https:")
        assert ask(server.url, service).available == 7


def test_an_address_may_be_written_as_people_write_it(
    ask: Asking, authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, file = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for scheme, end in (("HTTPS", ""), ("https", "/?"), ("https", "/#")):
        with Server(SERVICE, tls=tls(ca)) as server:
            url = server.url.replace("https", scheme) + end
            assert ask(url, service).available == 7
        assert server.requests[0].path == "/mm-ms/apinew/account.php"


def test_https_with_any_other_sends_no_password(ask: Asking, authority: tuple[trustme.CA, Path]) -> None:
    with (
        Server(SERVICE, tls=tls(authority[0])) as server,
        pytest.raises(PlatformUnreachable, match="its certificate cannot be verified: "),
    ):
        ask(server.url, add)
    assert server.requests == []


@pytest.mark.parametrize("client", [PlatformClient, AsyncPlatformClient])
@pytest.mark.parametrize(
    ("username", "url", "words"),
    [
        ("a", "http://127.0.0.1/", "would send the password readable"),
        ("a", "https://u:p@example.com/", "leave username and password out of the address"),
        ("a", "ftp://example.com/", "is wanted"),
        ("a", "https://exa mple.com/", "is wanted"),
        ("a", "https://example.com/a\nb", "is wanted"),
        ("a", "https://☃.example.com/", "is wanted"),
        ("a:b", "https://example.com/", "a username with a colon in it cannot log in"),
    ],
)
def test_what_cannot_be_logged_in_to(client: type[PlatformClient], username: str, url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        client(username, PASSWORD, url)


def test_octets_that_are_no_characters_are_sent_as_they_are() -> None:
    """An argument or a file may have them; an error about them would show the password."""
    with Server(SERVICE) as server, PlatformClient("a", "b\udcff", server.url, allow_insecure=True) as platform:
        platform.account.service()
    assert base64.b64decode(server.requests[0].headers["authorization"].split()[1]) == b"a:b\xff"


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", unused())
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Server(SERVICE) as server:
        assert ask(server.url, service).available == 7


def test_a_proxy_that_refuses_was_not_the_platform(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(*[answer("", "407 Proxy Authentication Required")] * 3) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://user:geheim@"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(PlatformUnreachable) as caught:
            ask("https://example.com/", add)
    assert str(caught.value) == "example.com: the proxy answers 407 Proxy Authentication Required"


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://127.0.0.1:1080",
        "ftp://user:geheim@127.0.0.1:1",
        "http://user:ge#heim@127.0.0.1:1",
        "http://user:geheim@127.0.0.1:99999",  # at which asyncio raised an OverflowError
        "127.0.0.1:99999",
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    ask: Asking, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(PlatformUnreachable, match=r"HTTPS_PROXY.* is none that can be used") as caught:
        ask("https://example.com/", service)
    assert "heim" not in str(caught.value)
    assert caught.value.__context__ is None


async def test_the_loop_goes_on_while_certificates_and_answers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both in threads: certificates take 100 ms, an answer of megabytes as long."""
    threads: list[int] = []

    def settings(self: core.Core) -> dict[str, Any]:
        threads.append(threading.get_ident())
        return {"headers": self.headers}

    def read(given: Answer) -> str:
        threads.append(threading.get_ident())
        return given.text

    monkeypatch.setattr(core.Core, "settings", settings)
    with Server(answer("1"), answer("2")) as server:
        async with AsyncPlatformClient("a", "b", server.url, allow_insecure=True) as platform:
            assert threads == []
            calls = (platform.send(Call("1.1", "x.php", {}, read)) for _ in range(2))
            assert sorted(await asyncio.gather(*calls)) == ["1", "2"]
    assert len(threads) == 3  # one client for both calls
    assert threading.get_ident() not in threads


def test_a_client_of_an_address_without_tls_reads_no_certificates() -> None:
    began = time.process_time()
    for _ in range(20):
        PlatformClient("a", "b", "http://127.0.0.1/", allow_insecure=True).close()
    assert time.process_time() - began < 1.0


def test_requests_have_no_more_than_is_documented(ask: Asking) -> None:
    seen: list[Request] = []

    def keep(request: Request) -> bytes:
        seen.append(request)
        return SERVICE

    with Server(keep) as server:
        ask(server.url, service)
    ours = {"user-agent", "authorization", "accept-encoding", "charset"}
    assert set(seen[0].headers) == {"host", "accept", "connection", *ours}
    assert seen[0].headers["charset"] == "utf-8"  # as in the document's samples


def test_cookies_are_not_kept(ask: Asking) -> None:
    """A session of PHP may be that of an account whose password was changed, and takes one call at a time."""
    with Server(answer("[1, 2]", set_cookie="PHPSESSID=7; path=/"), answer("[3]")) as server:
        assert ask(server.url, rows_of([])) == [1, 2, 3]
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]

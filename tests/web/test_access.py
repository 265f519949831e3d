"""Who gets what."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from smtprelay.problems import CREDENTIAL, SPOOL
from smtprelay.spool import State
from smtprelay.web.headers import CONTENT_SECURITY_POLICY
from smtprelay.web.login import our_path
from smtprelay.web.sessions import IDLE, LONGEST, MAX_SESSIONS, Sessions
from smtprelay.web.throttle import FORGOTTEN, FREE, LAST_WAIT, MAX_CLIENTS, Throttle
from tests.gateway.wire import PASSWORD
from tests.web.asgi import HERE, LOOPBACK, REMOTE, Browser
from tests.web.backstage import ACCOUNT, behind
from tests.web.conftest import Page, page_of

EVERYBODY, HERE_ONLY, ACCOUNTS_ONLY = "everybody", "here", "accounts"
PAGES = {
    "/healthz": EVERYBODY,
    "/readyz": EVERYBODY,
    "/login": EVERYBODY,
    "/static/page.css": EVERYBODY,
    "/": HERE_ONLY,
    "/metrics": HERE_ONLY,
    "/live": HERE_ONLY,
    "/messages": ACCOUNTS_ONLY,
    "/messages/{id}": ACCOUNTS_ONLY,
    "/messages/{id}/mail": ACCOUNTS_ONLY,
    "/messages/{id}/mail/html": ACCOUNTS_ONLY,
    "/messages/{id}/mail/source": ACCOUNTS_ONLY,
    "/messages/{id}/mail/file": ACCOUNTS_ONLY,
    "/messages/{id}/mail/attachments/1": ACCOUNTS_ONLY,
    "/suppressed": ACCOUNTS_ONLY,
    "/domains": ACCOUNTS_ONLY,
}
FORMS = ("/messages/{id}/hold", "/suppressed/remove", "/domains/example.com/check", "/logout")
ATTACHED = b"""\
Subject: x\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/html\r
\r
<p>hello</p>\r
--b\r
Content-Type: application/pdf; name="a.pdf"\r
\r
%PDF\r
--b--\r
"""


class TestMatrix:
    @pytest.mark.parametrize("is_local", [True, False], ids=["here", "elsewhere"])
    @pytest.mark.parametrize("has_account", [True, False], ids=["account", "nobody"])
    @pytest.mark.parametrize("path", PAGES)
    async def test_every_page(self, page: Page, path: str, has_account: bool, is_local: bool) -> None:
        message_id = await page.behind.put("bob@example.net", content=ATTACHED)
        page.closing.set()  # so that /live ends
        browser = await page.logged_in() if has_account else Browser(page.app)
        browser.client = browser.client if is_local else REMOTE
        answer = await browser.get(path.format(id=message_id))
        if has_account or PAGES[path] == EVERYBODY or (is_local and PAGES[path] == HERE_ONLY):
            assert answer.status == (303 if has_account and path == "/login" else 200)
        elif path == "/metrics":
            assert (answer.status, answer.headers["www-authenticate"][:5]) == (401, "Basic")
        else:
            assert (answer.status, answer.headers["location"]) == (303, f"/login?next={path.format(id=message_id)}")
        assert answer.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("path", FORMS)
    async def test_every_form_wants_an_account(self, page: Page, path: str) -> None:
        message_id = await page.behind.put("bob@example.net")
        answer = await Browser(page.app).post(path.format(id=message_id), {"csrf": ""})
        assert answer.status == 403
        assert (await page.behind.spool.stats()).recipients[State.QUEUED] == 1

    @pytest.mark.parametrize("path", ["/nowhere", "/messages/1/2/3", "/static/../app.py", "/static/app.py", "/login/"])
    async def test_what_is_not_there(self, page: Page, path: str) -> None:
        answer = await Browser(page.app).get(path)
        assert answer.status == 404
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY

    async def test_readyz_tells_no_names_elsewhere(self, page: Page) -> None:
        page.behind.health.wrong = [SPOOL.of(since="noon", words="/secret/path is full")]
        assert "/secret/path" in (await Browser(page.app).get("/readyz")).text
        assert (await Browser(page.app, client=REMOTE).get("/readyz")).text == "not ready\nspool\n"

    async def test_readyz_tells_no_addresses(self, page: Page) -> None:
        page.behind.health.wrong = [CREDENTIAL.of(name="news@example.com", since="noon", words="535 no", next="soon")]
        text = (await Browser(page.app).get("/readyz")).text
        assert "credential n***@example.com since noon: 535 no" in text
        assert "news@" not in text


class TestLocal:
    @pytest.mark.parametrize("host", [HERE, "localhost:8025", "[::1]:8025", "relay.localhost", "127.9.9.9"])
    async def test_a_name_of_this_machine(self, page: Page, host: str) -> None:
        assert (await Browser(page.app).get("/", host=host)).status == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "192.0.2.7:8025", "localhost.evil.example", "127.0.0.1.nip.io", "[", ""]
    )
    async def test_another_name_is_dns_rebinding_or_a_proxy(self, page: Page, host: str) -> None:
        assert (await Browser(page.app, headers={"host": host}).get("/")).status == 303

    @pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip", "via", "x-forwarded-host"])
    async def test_whom_a_proxy_passed_on_may_be_anywhere(self, page: Page, name: str) -> None:
        assert (await Browser(page.app).get("/", **{name: "for=192.0.2.1"})).status == 303

    async def test_another_address_of_ours(self, page: Page) -> None:
        assert (await Browser(page.app, server=REMOTE).get("/")).status == 303

    async def test_ipv4_on_a_socket_for_both_families(self, page: Page) -> None:
        """systemd's are: a program on this machine was taken for a stranger."""
        mapped = f"::ffff:{LOOPBACK}"
        assert (await Browser(page.app, client=mapped, server=mapped).get("/")).status == 200

    async def test_nobody_here_sees_a_name(self, page: Page) -> None:
        await page.behind.put("bob@example.net", subject="secret subject")
        page.behind.credentials.refused("news@example.com", "535 no")
        page.behind.limits.suspended.add("billing@example.com")
        page.behind.health.wrong = [SPOOL.of(since="noon", words="/secret/path")]
        text = (await Browser(page.app).get("/")).text
        assert "1 problem." in text
        assert not [word for word in ("example.", "secret", "bestedm", "news", "billing") if word in text]
        known = (await (await page.logged_in()).get("/")).text
        assert all(word in known for word in ("/secret/path", "news", "billing@example.com"))


class TestHeaders:
    @pytest.mark.parametrize(
        "path", ["/", "/login", "/messages", "/metrics", "/healthz", "/nowhere", "/static/page.js"]
    )
    async def test_on_every_answer(self, page: Page, path: str) -> None:
        headers = (await Browser(page.app).get(path)).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"

    def test_the_policy_lets_in_nothing_inline_or_foreign(self) -> None:
        directives = dict(part.strip().split(" ", 1) for part in CONTENT_SECURITY_POLICY.split(";"))
        assert directives["default-src"] == "'none'"
        assert "unsafe" not in CONTENT_SECURITY_POLICY
        assert set(directives.values()) <= {"'none'", "'self'", "'self' data:"}
        assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"

    async def test_a_static_file_is_kept_by_its_version(self, page: Page) -> None:
        browser = Browser(page.app)
        text = (await browser.get("/login")).text
        address = text[text.index("/static/page.css") :].partition('"')[0]
        assert "immutable" in (await browser.get(address)).headers["cache-control"]


class TestLogIn:
    async def test_it_opens_a_session(self, page: Page) -> None:
        browser = Browser(page.app)
        answer = await browser.log_in(ACCOUNT, PASSWORD)
        assert (answer.status, answer.headers["location"]) == (303, "/")
        assert answer.headers["set-cookie"].startswith("smtprelay=")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
        assert (await browser.get("/messages")).status == 200

    @pytest.mark.parametrize(
        "how", [{"scheme": "https"}, {"headers": {"host": "r.example", "x-forwarded-proto": "https"}}]
    )
    async def test_over_tls_its_cookie_never_leaves_it(self, page: Page, how: Any) -> None:
        browser = Browser(page.app, **how)
        cookie = (await browser.log_in(ACCOUNT, PASSWORD)).headers["set-cookie"]
        assert cookie.startswith("__Host-smtprelay=")
        assert "Secure" in cookie
        assert (await browser.get("/messages")).status == 200

    @pytest.mark.parametrize(("name", "password"), [(ACCOUNT, "battery"), ("nobody", PASSWORD), ("", "")])
    async def test_who_is_wrong_gets_none(self, page: Page, name: str, password: str) -> None:
        answer = await Browser(page.app).log_in(name, password)
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
        assert "name or the password is wrong" in answer.text
        assert password not in answer.text or not password

    async def test_who_guesses_has_to_wait(self, page: Page) -> None:
        browser = Browser(page.app)
        for _ in range(FREE):
            assert (await browser.log_in(ACCOUNT, "wrong")).status == 403
        answer = await browser.log_in(ACCOUNT, PASSWORD)
        assert (answer.status, "set-cookie" in answer.headers) == (429, False)
        assert re.search(r"Too many tries: wait [12]s, then try again\.", answer.text)
        assert (await Browser(page.app, client=REMOTE).log_in(ACCOUNT, PASSWORD)).status == 303

    async def test_who_guesses_by_ipv4_on_a_socket_for_both_families_slows_nobody_else(self, page: Page) -> None:
        """All of IPv4 was one client, as the /64 that it is mapped to: one who guessed kept every operator out."""
        guesser, operator = (Browser(page.app, client=f"::ffff:192.0.2.{host}") for host in (7, 8))
        for _ in range(FREE):
            await guesser.log_in(ACCOUNT, "wrong")
        assert (await guesser.log_in(ACCOUNT, PASSWORD)).status == 429
        assert (await operator.log_in(ACCOUNT, PASSWORD)).status == 303

    async def test_log_out_ends_it(self, page: Page) -> None:
        browser = await page.logged_in()
        cookie = browser.cookie
        assert (await browser.act("/logout", "/")).status == 303
        assert browser.cookie == 'smtprelay=""'
        browser.cookie = cookie
        assert (await browser.get("/messages")).status == 303

    async def test_each_has_a_session_of_its_own(self, page: Page) -> None:
        one, other = await page.logged_in(), await page.logged_in()
        assert one.cookie != other.cookie
        await one.act("/logout", "/")
        assert (await other.get("/messages")).status == 200

    async def test_without_accounts_it_says_how_to_make_one(self, tmp_path: Path) -> None:
        async with behind(tmp_path, accounts="") as backstage:
            browser = Browser(page_of(backstage).app)
            assert (await browser.get("/messages")).headers["location"] == "/login?next=/messages"
            text = (await browser.get("/login")).text
            assert "smtprelay hash-password" in text
            assert "<input" not in text
            assert (await browser.log_in("", "")).status == 403

    async def test_another_configuration_has_other_accounts(self, page: Page) -> None:
        browser = await page.logged_in()
        config = page.behind.config
        other = config.status.accounts[0].model_copy(update={"username": "night"})
        page.behind.config = config.model_copy(
            update={"status": config.status.model_copy(update={"accounts": (other,)})}
        )
        assert (await browser.get("/messages")).status == 303
        assert (await browser.log_in(ACCOUNT, PASSWORD)).status == 403
        assert (await browser.log_in("night", PASSWORD)).status == 303

    @pytest.mark.parametrize("text", ["/messages/38g", "/messages?text=a%20b&state=held", "/"])
    def test_it_leads_on_to_pages_of_ours(self, text: str) -> None:
        assert our_path(text) == text

    @pytest.mark.parametrize(
        "text",
        [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "\\\\evil",
            "",
            "javascript:alert(1)",
            "/a\r\nb",
            "/a\\b",
            " /",
        ],
    )
    async def test_and_nowhere_else(self, page: Page, text: str) -> None:
        assert our_path(text) == "/"
        form = {"username": ACCOUNT, "password": PASSWORD, "next": text}
        assert (await Browser(page.app).post("/login", form)).headers["location"] == "/"


class TestBasic:
    @staticmethod
    def credentials(name: str, password: str) -> str:
        return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()

    async def test_programs_may_send_a_password_along(self, page: Page) -> None:
        browser = Browser(page.app, client=REMOTE)
        right, wrong = self.credentials(ACCOUNT, PASSWORD), self.credentials(ACCOUNT, "wrong")
        assert (await browser.get("/metrics", authorization=right)).status == 200
        for field in (wrong, "Basic ###", "Basic", "Bearer x", self.credentials("", "")):
            assert (await browser.get("/metrics", authorization=field)).status == 401

    async def test_browsers_may_not(self, page: Page) -> None:
        answer = await Browser(page.app).get("/messages", authorization=self.credentials(ACCOUNT, PASSWORD))
        assert answer.status == 303

    async def test_guessing_is_slowed_here_too(self, page: Page) -> None:
        browser = Browser(page.app, client=REMOTE)
        for _ in range(FREE):
            await browser.get("/metrics", authorization=self.credentials(ACCOUNT, "wrong"))
        answer = await browser.get("/metrics", authorization=self.credentials(ACCOUNT, PASSWORD))
        assert (answer.status, answer.headers["retry-after"]) == (429, "2")


class TestForgery:
    """Another site has a browser that is logged in post something."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "", "origin": "https://evil.example"},
            {"sec-fetch-site": "", "origin": "null"},
            {"sec-fetch-site": "", "origin": "http://127.0.0.1:9999"},
        ],
        ids=str,
    )
    async def test_from_elsewhere(self, page: Page, headers: dict[str, str]) -> None:
        message_id = await page.behind.put("bob@example.net")
        browser = await page.logged_in()
        text = (await browser.get(f"/messages/{message_id}")).text
        token = text.partition('name="csrf" value="')[2].partition('"')[0]
        answer = await browser.post(f"/messages/{message_id}/hold", {"csrf": token}, **headers)
        assert answer.status == 403
        assert (await page.behind.spool.stats()).recipients[State.QUEUED] == 1
        assert (await browser.post("/login", {"username": ACCOUNT, "password": PASSWORD}, **headers)).status == 403

    @pytest.mark.parametrize("origin", ["", f"http://{HERE}"])
    async def test_an_old_browser_tells_its_origin_or_nothing(self, page: Page, origin: str) -> None:
        browser = Browser(page.app)
        form = {"username": ACCOUNT, "password": PASSWORD}
        assert (await browser.post("/login", form, sec_fetch_site="", origin=origin)).status == 303

    @pytest.mark.parametrize("token", ["", "guessed", "é"])
    async def test_without_the_token(self, page: Page, token: str) -> None:
        message_id = await page.behind.put("bob@example.net")
        browser = await page.logged_in()
        assert (await browser.post(f"/messages/{message_id}/hold", {"csrf": token})).status == 403
        assert (await browser.post(f"/messages/{message_id}/hold", {})).status == 403
        assert (await page.behind.spool.stats()).recipients[State.QUEUED] == 1

    async def test_with_the_token_of_another_session(self, page: Page) -> None:
        message_id = await page.behind.put("bob@example.net")
        theirs = (await (await page.logged_in()).get("/")).text.partition('name="csrf" value="')[2].partition('"')[0]
        answer = await (await page.logged_in()).post(f"/messages/{message_id}/hold", {"csrf": theirs})
        assert answer.status == 403

    @pytest.mark.parametrize("path", ["/messages/x/hold", "/logout", "/domains/example.com/check"])
    async def test_a_link_does_nothing(self, page: Page, path: str) -> None:
        assert (await (await page.logged_in()).get(path)).status in (404, 405)

    async def test_only_forms_and_no_large_ones(self, page: Page) -> None:
        browser = Browser(page.app)
        assert (await browser.post("/login", {"username": "x" * 20_000})).status == 413
        assert (await browser.post("/login", {}, **{"content-type": "application/json"})).status == 415
        many = {f"f{number}": "" for number in range(100)}
        assert (await browser.post("/login", many)).status == 415


class TestSessions:
    def test_they_end_when_nobody_uses_them_and_at_last(self) -> None:
        now = [0.0]
        sessions = Sessions(lambda: now[0])
        token, session = sessions.open("ops")
        now[0] += IDLE
        assert sessions.find(token) is session
        now[0] += IDLE + 1
        assert sessions.find(token) is None
        assert session.ended.is_set()
        token, _ = sessions.open("ops")
        for _ in range(int(LONGEST / IDLE)):
            now[0] += IDLE
            assert sessions.find(token)
        now[0] += 1
        assert sessions.find(token) is None

    def test_there_are_so_many_and_the_one_that_rested_longest_goes(self) -> None:
        now = [0.0]
        sessions = Sessions(lambda: now[0])
        tokens = []
        for _ in range(MAX_SESSIONS + 1):
            now[0] += 1
            tokens.append(sessions.open("ops")[0])
            assert sessions.find(tokens[0])
        assert [token for token in tokens if not sessions.find(token)] == [tokens[1]]

    def test_tokens_are_not_kept(self) -> None:
        sessions = Sessions()
        token, _ = sessions.open("ops")
        assert token not in repr(vars(sessions))
        assert sessions.find("") is None


class TestThrottle:
    def test_waits_grow_and_are_forgotten(self) -> None:
        now = [1000.0]
        throttle = Throttle(lambda: now[0])
        waits = []
        for _ in range(12):
            waits.append(throttle.wait("192.0.2.1"))
            now[0] += waits[-1]
            throttle.begin("192.0.2.1")
        assert waits == [0] * FREE + [2, 4, 8, 16, 32, 60, 60]
        assert throttle.wait("192.0.2.2") == 0
        assert throttle.wait("192.0.2.1") == LAST_WAIT
        now[0] += FORGOTTEN + 1
        throttle.begin("192.0.2.1")
        assert throttle.wait("192.0.2.1") == 0

    def test_an_ipv6_client_has_many_addresses(self) -> None:
        throttle = Throttle(lambda: 1000.0)
        for number in range(FREE):
            throttle.begin(f"2001:db8::{number}")
        assert throttle.wait("2001:db8::ffff") > 0
        assert throttle.wait("2001:db8:0:1::1") == 0

    def test_who_succeeds_begins_anew_and_memory_is_bounded(self) -> None:
        throttle = Throttle(lambda: 1000.0)
        for _ in range(FREE):
            throttle.begin("192.0.2.1")
        throttle.succeeded("192.0.2.1")
        assert throttle.wait("192.0.2.1") == 0
        for number in range(2 * MAX_CLIENTS):
            throttle.begin(f"client {number}")
        assert len(throttle._tries) == MAX_CLIENTS

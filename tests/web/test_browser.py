"""The page of the real daemon in Chromium: a message is sent, found, read, held and released, by mouse and by keyboard;
on a phone and on a wide screen, light and dark, in both languages."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from smtprelay.sandbox.nameserver import NameServer
from smtprelay.sandbox.smarthost import Rule
from tests.debian import AXE, CHINESE_FONTS, ROOT, needs, program
from tests.gateway.wire import PASSWORD, PASSWORD_HASH
from tests.process.relay import Relay, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    needs("chromium"),
    needs(CHINESE_FONTS),
    needs(AXE),
]

Scheme = Literal["light", "dark"]
PHONE, WIDE = 375, 1280
PATIENCE = 30_000  # milliseconds
LANGUAGES = {"zh-CN": "zh-Hans", "en": "en"}  # and what the page calls them
ACCOUNTS = f"""\
[[status.accounts]]
username = "ops"
password_hash = "{PASSWORD_HASH}"
"""
RULES = """\
on_failure = "warn"
nameservers = ["{}"]
"""
SUBJECT = "您的订单 A-20461"
PAGES = {
    "now": "/",
    "messages": "/messages",
    "search": "/messages?text=订单&state=queued",
    "waiting": "/messages/{wang}",
    "refused": "/messages/{li}",
    "mail": "/messages/{wang}/mail",
    "source": "/messages/{wang}/mail/source",
    "suppressed": "/suppressed",
    "domains": "/domains",
}
HOSTILE = """\
<title>evil</title><script>parent.document.title = "evil"; fetch("{0}")</script>
<img src="{0}"><link rel="stylesheet" href="{0}"><link rel="preconnect" href="{0}"><iframe src="{0}"></iframe>
<style>body {{ background: url({0}) }}</style><meta http-equiv="refresh" content="0;url={0}">
<object data="{0}"></object><embed src="{0}"><video src="{0}" autoplay></video>
<form action="{0}"><button>Log in</button></form>
<a href="{0}" target="_top">out</a> <a href="{0}" target="_blank">beside</a>
"""
WATCH = "document.addEventListener('securitypolicyviolation', (event) => console.error('CSP', event.violatedDirective))"
SERIOUS = """\
axe.run(document, {resultTypes: ["violations"]}).then((result) => result.violations
  .filter((found) => ["serious", "critical"].includes(found.impact))
  .map((found) => `${found.id}: ${found.nodes.map((node) => node.html).join(" ")}`))
"""
UNSAFE = "relay.example"  # by this name, without TLS, a browser tells no Sec-Fetch-Site
# Addresses of the list that are broken elsewhere than before the @.
BROKEN = """\
[...document.querySelectorAll(".messages .address bdi")].filter((address) => {
  const lines = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
  };
  return [...address.childNodes].some((part) => lines(part) > 1);
}).map((address) => address.innerText)
"""
# Words within the headings of the hour's table that are broken.
BROKEN_HEADINGS = """\
[...document.querySelectorAll(".sums th")].flatMap((heading) => {
  const text = heading.lastChild;
  return [...text.data.matchAll(/\\S+/g)].filter((word) => {
    const range = document.createRange();
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1;
  }).map(String);
})
"""
UNFIT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Site:
    """The daemon, and where its page is."""

    relay: Relay
    address: str
    ids: dict[str, str] = field(default_factory=dict)


@dataclass
class Watched:
    """A tab, and what it complained of or asked the network for."""

    tab: Page
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


def send(port: int, to: str, subject: str, html: str = "<h1>您好</h1><p>Hello</p>") -> str:
    """:returns: the id."""
    sender = "app@example.com"
    header = f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nContent-Type: text/html; charset=utf-8\r\n"
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo("php")
        client.mail(sender)
        client.rcpt(to)
        _, reply = client.data(f"{header}\r\n{html}\r\n".encode())
    return reply.split()[-1].decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {UNSAFE} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=arguments)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """With a message that waits for its next attempt, one that was refused and one that was delivered."""
    rules = (
        Rule("RCPT", "451 4.7.1 Greylisted, try again later", match="wang@"),
        Rule("RCPT", "550 5.1.1 No such user", match="li@"),
    )
    folder = tmp_path_factory.mktemp("relay")
    settings = {"schedule": "1h", "status": "show_bodies = true", "more": ACCOUNTS}
    zone = "example.com. IN MX 10 mail.bestedm.org."
    async with (
        NameServer(zone) as dns,
        running(folder, *rules, **settings, domain_rules=RULES.format(dns.address)) as (
            relay,
            _,
        ),
    ):
        found = next(line for line in relay.log if line["event"] == "ready")
        site = Site(relay, f"http://{found['status'][0]}")
        for name in ("wang", "li", "bob"):
            subject = SUBJECT if name == "wang" else f"Invoice for {name}"
            site.ids[name] = await asyncio.to_thread(send, relay.port, f"{name}@example.org", subject)
        await relay.settled(queued=1, bounced=1, delivered=2)  # the notification is one
        yield site


@asynccontextmanager
async def opened(
    browser: Browser, width: int = WIDE, scheme: Scheme = "light", *, script: bool = True
) -> AsyncIterator[Watched]:
    """A new tab, and that nothing was wrong in it."""
    context = await browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        java_script_enabled=script,
    )
    async with context:
        watched = Watched(await context.new_page())
        await watched.tab.add_init_script(WATCH)
        watched.tab.on("console", lambda message: watched.heard(message.type, message.text))
        watched.tab.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.tab.on("request", lambda request: watched.requested.append(request.url))
        yield watched
    assert watched.complaints == []


async def log_in(tab: Page, site: Site) -> None:
    await tab.goto(f"{site.address}/login")
    await tab.fill("#username", "ops")
    await tab.fill("#password", PASSWORD)
    await tab.press("#password", "Enter")
    await tab.wait_for_url(f"{site.address}/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, WIDE])
async def test_every_page_is_fit_to_be_read(
    browser: Browser, site: Site, width: int, scheme: Scheme, request: pytest.FixtureRequest
) -> None:
    folder: Path | None = request.config.getoption("--screenshots")
    async with opened(browser, width, scheme) as watched:
        tab = watched.tab
        await look(tab, site, "here", "/", folder)
        await look(tab, site, "login", "/login", folder)
        await log_in(tab, site)
        for name, path in PAGES.items():
            await look(tab, site, name, path.format_map(site.ids), folder)
        assert all(url.startswith(site.address) for url in watched.requested)


async def look(tab: Page, site: Site, name: str, path: str, folder: Path | None) -> None:
    """A page in both languages. :param folder: for pictures of it."""
    for language, tag in LANGUAGES.items():
        await tab.set_extra_http_headers({"Accept-Language": language})
        await tab.goto(site.address + path)
        assert await tab.evaluate("document.documentElement.lang") == tag
        assert await tab.evaluate(UNFIT) == 0, name
        if language == "en":
            await tab.evaluate((ROOT / AXE / "axe.min.js").read_text("utf-8"))
            assert await tab.evaluate(SERIOUS) == [], name
        if folder and tab.viewport_size:
            folder.mkdir(parents=True, exist_ok=True)
            scheme = "dark" if await tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
            picture = folder / f"page-{name}-{language}-{tab.viewport_size['width']}-{scheme}.png"
            await tab.screenshot(path=picture, full_page=True)


@pytest.mark.parametrize("width", [PHONE, 800, 1100, WIDE])
async def test_addresses_of_the_list_can_be_read(browser: Browser, site: Site, width: int) -> None:
    """The fault: at 1100 pixels 'warehouse@example.or' stood above 'g'."""
    await asyncio.to_thread(send, site.relay.port, "warehouse@example.org", "Goods of the day, " * 9)
    async with opened(browser, width) as watched:
        await log_in(watched.tab, site)
        await watched.tab.goto(f"{site.address}/messages?text=Goods")
        await expect(watched.tab.locator(".to bdi").first).to_have_text("warehouse@example.org")
        assert await watched.tab.evaluate(BROKEN) == []
        assert await watched.tab.evaluate(UNFIT) == 0


async def test_the_dates_of_a_card_say_what_they_are(browser: Browser, site: Site) -> None:
    """The fault: on a phone, which shows no headings, the day of an entry and the day of its end looked alike."""
    async with opened(browser, PHONE) as watched:
        await log_in(watched.tab, site)
        await watched.tab.goto(f"{site.address}/suppressed")
        dated = watched.tab.locator("td.when[data-title=Since]").first
        label = await dated.evaluate("(cell) => getComputedStyle(cell, '::before').content")
        assert label.startswith('"Since')


@pytest.mark.parametrize("width", [PHONE, 800, WIDE])
async def test_a_state_with_any_number_stays_within_its_column(browser: Browser, site: Site, width: int) -> None:
    """The fault: beyond 100,000 recipients of one message, it stood out of the table."""
    async with opened(browser, width) as watched:
        for language, state in (("en", "suppressed"), ("zh-CN", "已屏蔽")):
            await watched.tab.set_extra_http_headers({"Accept-Language": language})
            if language == "en":
                await log_in(watched.tab, site)
            await watched.tab.goto(f"{site.address}/messages?text=Invoice")
            cell = watched.tab.locator("td.states").first
            await cell.locator(".state").evaluate(f"(state) => {{ state.lastChild.data = '{state} 1,234,567' }}")
            assert await cell.evaluate("(cell) => cell.scrollWidth <= cell.clientWidth")


@pytest.mark.parametrize("width", [PHONE, 800, 1100, WIDE])
async def test_headings_of_the_hour_can_be_read(browser: Browser, site: Site, width: int) -> None:
    """The fault: at 375 and 800 pixels 'accept' stood above 'ed'."""
    async with opened(browser, width) as watched:
        for language in LANGUAGES:
            await watched.tab.set_extra_http_headers({"Accept-Language": language})
            await watched.tab.goto(site.address)
            await expect(watched.tab.locator(".sums th")).to_have_count(7)
            assert await watched.tab.evaluate(BROKEN_HEADINGS) == []
            assert await watched.tab.evaluate(UNFIT) == 0


async def test_where_is_my_mail(browser: Browser, site: Site) -> None:
    """It is sent, found, read, held and released, and the page that was open all the time saw it."""
    async with opened(browser) as here, opened(browser) as watched:
        await here.tab.goto(site.address)
        queued = here.tab.locator("#queue .tile").first
        await expect(queued).to_contain_text("1")
        message_id = await asyncio.to_thread(send, site.relay.port, "wang@example.org", "Where is 我的邮件?")
        await site.relay.settled(queued=2)

        tab = watched.tab
        await log_in(tab, site)
        await tab.get_by_role("link", name="Messages").click()
        await tab.get_by_role("searchbox").fill("我的邮件")
        await tab.get_by_role("button", name="Search").click()
        await tab.get_by_role("link", name="Where is 我的邮件?").click()
        await expect(tab).to_have_url(f"{site.address}/messages/{message_id}")
        await expect(tab.locator(".facts")).to_contain_text(message_id)
        await tab.get_by_role("button", name="Hold").click()
        await expect(tab.get_by_role("status")).to_have_text("Held: 1")
        assert (await site.relay.json("queue", "show", message_id))["recipients"][0]["state"] == "held"
        await tab.get_by_role("button", name="Release").click()
        await expect(tab.get_by_role("status")).to_have_text("Released: 1")
        assert (await site.relay.logged("operator", action="release"))["by"] == "ops"
        await expect(queued).to_contain_text("2")


async def test_a_hostile_mail_does_nothing(browser: Browser, site: Site) -> None:
    connections = 0

    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as elsewhere:
        host, port = elsewhere.sockets[0].getsockname()
        html = HOSTILE.format(f"http://{host}:{port}/")
        message_id = await asyncio.to_thread(send, site.relay.port, "wang@example.org", "Hostile", html)
        async with opened(browser) as watched:
            tab = watched.tab
            await log_in(tab, site)
            await tab.goto(f"{site.address}/messages/{message_id}/mail")
            frame = tab.frame_locator("iframe.mail")
            await frame.get_by_role("button", name="Log in").click()
            for name in ("out", "beside"):
                await frame.get_by_role("link", name=name).click()
            await tab.get_by_role("link", name="Source").click()
            await expect(tab.locator("pre.source")).to_contain_text("fetch(")
            assert "evil" not in await tab.title()
            assert len(tab.context.pages) == 1
            assert len(watched.complaints) > 3  # Chromium says what it did not do
            watched.complaints.clear()
        assert connections == 0


async def test_a_browser_that_tells_only_its_origin_can_log_in(browser: Browser, site: Site) -> None:
    async with await browser.new_context() as context:
        await log_in(await context.new_page(), Site(site.relay, site.address.replace("127.0.0.1", UNSAFE)))


async def test_without_a_script(browser: Browser, site: Site) -> None:
    async with opened(browser, script=False) as watched:
        tab = watched.tab
        await log_in(tab, site)
        await expect(tab.locator("noscript meta[http-equiv=refresh]")).to_have_count(1)
        await tab.goto(f"{site.address}/messages?text=Invoice")
        await tab.get_by_role("link", name="Invoice for li").click()
        await expect(tab.locator(".todo")).to_contain_text("The address is wrong")
        await tab.get_by_role("link", name="The notification").click()
        await tab.get_by_role("link", name="The message that it is about").click()
        await expect(tab).to_have_url(f"{site.address}/messages/{site.ids['li']}")
        await tab.get_by_role("button", name="Log out").click()
        await expect(tab.get_by_role("link", name="Log in", exact=True)).to_be_visible()


async def test_with_the_keyboard_alone(browser: Browser, site: Site) -> None:
    async with opened(browser, PHONE) as watched:
        tab = watched.tab
        await tab.goto(f"{site.address}/messages/{site.ids['wang']}")
        await expect(tab.locator("#username")).to_be_focused()
        await tab.keyboard.type("ops")
        await tab.keyboard.press("Tab")
        await tab.keyboard.type(PASSWORD)
        await tab.keyboard.press("Enter")
        await tab.wait_for_url(f"{site.address}/messages/{site.ids['wang']}")

        await tab.keyboard.press("Tab")
        skip = tab.get_by_role("link", name="Skip to the content")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport()
        await tab.keyboard.press("Enter")
        await tab.keyboard.press("Tab")
        await expect(tab.get_by_role("link", name="Messages").last).to_be_focused()  # past the bar
        for name in ("Show the mail", "Retry now", "Hold"):
            await tab.keyboard.press("Tab")
            await expect(tab.locator(".actions").get_by_text(name, exact=True)).to_be_focused()
            assert await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await tab.keyboard.press("Tab")
        await tab.keyboard.press("Enter")
        await expect(tab.get_by_role("button", name="Cancel it")).to_be_visible()


async def test_it_says_that_the_relay_does_not_answer(browser: Browser, tmp_path: Path) -> None:
    async with running(tmp_path) as (relay, _), opened(browser) as watched:
        await watched.tab.goto(f"http://{relay.log[-1]['status'][0]}")
        offline = watched.tab.locator("#offline")
        await expect(offline).to_be_hidden()
        assert await relay.stop() == 0
        await expect(offline).to_be_visible()
        assert all("net::ERR_" in complaint for complaint in watched.complaints)
        watched.complaints.clear()

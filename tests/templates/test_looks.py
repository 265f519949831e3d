"""The example templates in Chromium: on a phone and on a wide screen, light and dark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, async_playwright

from tests.debian import CHINESE_FONTS, needs, program
from tests.templates.mails import MAILS, SHOWN, page, rendered

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), needs("chromium"), needs(CHINESE_FONTS)]

Scheme = Literal["light", "dark"]
PHONE, WIDE = 375, 1280
LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
CONTRAST = 4.5  # WCAG 2.2, criterion 1.4.3
FINGER = 44  # px


@dataclass(frozen=True)
class Screen:
    """What look.js saw of a page, and what the page asked the network for."""

    seen: dict[str, Any]
    requested: list[str]

    @property
    def worst(self) -> dict[str, Any]:
        """The text that is the hardest to read."""
        worst: dict[str, Any] = min(self.seen["texts"], key=lambda text: text["contrast"])
        return worst


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=arguments)
        yield browser
        await browser.close()


async def look(browser: Browser, html: str, width: int, scheme: Scheme, file: Path | None = None) -> Screen:
    """Open a page. :param file: for a picture of it."""
    requested = []

    async def refuse(route: Route) -> None:
        requested.append(route.request.url)
        await route.abort()

    context = await browser.new_context(viewport={"width": width, "height": 640}, color_scheme=scheme)
    async with context:
        tab = await context.new_page()
        await tab.route("**/*", refuse)
        await tab.set_content(html)
        if file:
            await tab.screenshot(path=file, full_page=True)
        return Screen(await tab.evaluate(LOOK), requested)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, WIDE])
@pytest.mark.parametrize(("template", "language"), MAILS, ids="-".join)
async def test_it_looks_right(
    browser: Browser, template: str, language: str, width: int, scheme: Scheme, request: pytest.FixtureRequest
) -> None:
    folder: Path | None = request.config.getoption("--screenshots")
    file = None
    if folder and (template, language) in SHOWN:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{template}-{language}-{width}-{scheme}.png"
    html = page(rendered(template, language, MAILS[template, language]))
    screen = await look(browser, html, width, scheme, file)

    assert screen.requested == []
    assert screen.seen["overflow"] == 0
    assert screen.seen["width"] == min(width - 24, 600)
    assert screen.seen["brightness"] < 0.05 if scheme == "dark" else screen.seen["brightness"] > 0.8
    assert screen.worst["contrast"] >= CONTRAST, screen.worst
    assert min(text["size"] for text in screen.seen["texts"]) >= 13
    assert [image["width"] for image in screen.seen["images"]] == [80]
    assert len(screen.seen["buttons"]) == (template != "newsletter")
    assert all(height >= FINGER for height in screen.seen["buttons"])


async def test_what_would_be_wrong_is_seen(browser: Browser) -> None:
    html = """<body style="background: #fff"><p style="width: 400px; color: #999; font-size: 9px">grey</p>
        <p style="display: none">unseen</p><span class="button"><a style="display: block; height: 20px">small</a></span>
        <img src="cid:logo"><img src="http://192.0.2.1/pixel.png">"""
    screen = await look(browser, html, PHONE, "light")
    assert screen.requested == ["http://192.0.2.1/pixel.png"]
    assert screen.seen["overflow"] > 0
    assert screen.seen["brightness"] == 1
    assert screen.worst["text"] == "grey"
    assert screen.worst["contrast"] == pytest.approx(2.85, abs=0.01)
    assert [text["text"] for text in screen.seen["texts"]] == ["grey", "small"]
    assert [image["width"] for image in screen.seen["images"]] == [0, 0]
    assert screen.seen["buttons"] == [20]

"""For the tests of the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio
from starlette.types import ASGIApp

from smtprelay.web.app import app
from tests.gateway.wire import PASSWORD
from tests.web.asgi import Browser
from tests.web.backstage import ACCOUNT, Behind, behind


@dataclass
class Page:
    """The page, and what is behind it."""

    app: ASGIApp
    behind: Behind
    closing: asyncio.Event

    async def logged_in(self) -> Browser:
        """A browser of somebody with an account."""
        browser = Browser(self.app)
        assert (await browser.log_in(ACCOUNT, PASSWORD)).status == 303
        return browser


def page_of(backstage: Behind) -> Page:
    closing = asyncio.Event()
    return Page(app(backstage.stage, closing), backstage, closing)


@pytest_asyncio.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with behind(tmp_path, status="show_bodies = true") as backstage:
        backstage.keyring.answers.set()
        yield page_of(backstage)

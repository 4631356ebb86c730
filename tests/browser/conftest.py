"""Chromium, driven by Playwright. The browser is the system's; Playwright's own download is not used."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

# Without a sandbox it runs as root, as in a container; the others keep it from calling out to anybody.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
async def browser(anyio_backend: tuple[str, dict[str, bool]]) -> AsyncIterator[Browser]:
    """One Chromium a module and a loop, with a new profile."""
    program = shutil.which("chromium")
    assert program, "the browser tests need Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty tab in a context of its own."""
    # Chromium takes a page that Playwright answered for as one of the internet, which must ask to reach this machine.
    context = await browser.new_context(permissions=["local-network-access"])
    yield await context.new_page()
    await context.close()

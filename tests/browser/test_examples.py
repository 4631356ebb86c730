"""The pages of the examples, in a real browser against their servers."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def address() -> Iterator[Callable[[str], str]]:
    """Starts a server of the examples, and gives the address of its page."""
    running: list[subprocess.Popen[str]] = []

    def start(program: str) -> str:
        command = [sys.executable, str(EXAMPLES / program), "0"]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert running[-1].stdout is not None
        return running[-1].stdout.readline().split()[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


async def test_a_page_chats(page: Page, address: Callable[[str], str]) -> None:
    await page.goto(address("chat/server.py"))
    await expect(page.locator("#heard")).to_contain_text("here: browser")
    await page.fill("#say", "hello from a page")
    await page.press("#say", "Enter")
    await expect(page.locator("#heard")).to_contain_text("browser: hello from a page")


async def test_a_page_is_a_terminal(page: Page, address: Callable[[str], str]) -> None:
    await page.goto(address("terminal/server.py"))
    await page.fill("#keys", "echo $((6 * 7))")
    await page.press("#keys", "Enter")
    await expect(page.locator("#screen")).to_contain_text("42")


@pytest.mark.parametrize(("program", "field"), [("chat/server.py", "#say"), ("terminal/server.py", "#keys")])
async def test_a_page_takes_no_text_until_it_is_connected(
    page: Page, address: Callable[[str], str], program: str, field: str
) -> None:
    may_open = asyncio.Event()

    async def hold(ws: WebSocketRoute) -> None:
        await may_open.wait()
        ws.connect_to_server()

    await page.route_web_socket("**", hold)
    await page.goto(address(program))
    await expect(page.locator(field)).to_be_disabled()
    may_open.set()
    await expect(page.locator(field)).to_be_focused()

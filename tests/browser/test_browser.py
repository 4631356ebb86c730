"""trunkline as the server of a page in Chromium.

The pages are empty and come from Playwright, which answers for any address; what counts is their origin.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page

import trunkline

pytestmark = pytest.mark.anyio

DEADLINE = 30  # seconds; reached only by what would hang for ever
ELSEWHERE = "http://127.0.0.1:9"  # an origin that is not the server's; nothing listens there

# Runs in the page: opens a WebSocket, sends each message, collects as many answers, closes if told to, and gives what
# the page saw up to the close event. Binary messages cross between Python and the page as lists of numbers.
CONVERSE = """
({url, protocols = [], messages = [], close = null}) => new Promise((resolve) => {
    const ws = new WebSocket(url, protocols), seen = {answers: [], failed: false, opened: false};
    const finish = () => { if (close && seen.answers.length === messages.length) ws.close(...close); };
    ws.binaryType = "arraybuffer";
    ws.onopen = () => {
        Object.assign(seen, {opened: true, protocol: ws.protocol, extensions: ws.extensions});
        for (const message of messages) ws.send(typeof message === "string" ? message : new Uint8Array(message));
        finish();
    };
    ws.onmessage = ({data}) => {
        seen.answers.push(typeof data === "string" ? data : Array.from(new Uint8Array(data)));
        finish();
    };
    ws.onerror = () => { seen.failed = true; };
    ws.onclose = ({code, reason, wasClean}) => resolve(Object.assign(seen, {code, reason, wasClean}));
})
"""


class Site:
    """A trunkline server that echoes, closes when it is told to, and notes how its connections ended."""

    def __init__(self, server: trunkline.Server, closes: "asyncio.Queue[tuple[int, str]]") -> None:
        self.origin, self.url = f"http://127.0.0.1:{server.port}", f"ws://127.0.0.1:{server.port}/"
        self.closes = closes

    async def ended(self) -> tuple[int, str]:
        """The close code and reason of the connection that ends next."""
        async with asyncio.timeout(DEADLINE):
            return await self.closes.get()


@asynccontextmanager
async def site(**options: Any) -> AsyncIterator[Site]:
    closes: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def handle(ws: trunkline.WebSocket) -> None:
        try:
            async for message in ws:
                match message.split() if isinstance(message, str) else []:
                    case ["close", code, reason]:
                        await ws.close(int(code), reason)
                    case _:
                        await ws.send(message)
        finally:
            closes.put_nowait((ws.close_code, ws.close_reason))

    async with trunkline.serve(handle, "127.0.0.1", 0, **options) as server:
        yield Site(server, closes)


async def visit(page: Page, origin: str) -> None:
    """Shows an empty page of this origin."""
    await page.route(f"{origin}/page", lambda route: route.fulfill(content_type="text/html", body="<!doctype html>"))
    await page.goto(f"{origin}/page")


async def converse(page: Page, **words: Any) -> dict[str, Any]:
    """Runs CONVERSE in the page."""
    async with asyncio.timeout(DEADLINE):
        return await page.evaluate(CONVERSE, words)


MESSAGES = [
    pytest.param("text: ✓ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢", id="text"),
    pytest.param(list(range(256)), id="binary"),
    pytest.param("", id="empty text"),
    pytest.param([], id="empty binary"),
    pytest.param("y" * 65536, id="65536"),
    pytest.param([7] * 70_000, id="large binary"),
]


@pytest.mark.parametrize("message", MESSAGES)
async def test_a_message_comes_back_as_it_was(page: Page, message: str | list[int]) -> None:
    async with site() as there:
        await visit(page, there.origin)
        seen = await converse(page, url=there.url, messages=[message], close=[1000])
    assert (seen["answers"], seen["failed"]) == ([message], False)


async def test_messages_keep_their_order(page: Page) -> None:
    messages = [str(number) for number in range(2000)]
    async with site() as there:
        await visit(page, there.origin)
        seen = await converse(page, url=there.url, messages=messages, close=[1000])
    assert seen["answers"] == messages


async def test_the_page_sees_our_close_code_and_reason(page: Page) -> None:
    async with site() as there:
        await visit(page, there.origin)
        seen = await converse(page, url=there.url, messages=["close 4002 enough"])
    assert (seen["code"], seen["reason"], seen["wasClean"]) == (4002, "enough", True)


async def test_we_see_the_page_s_close_code_and_reason(page: Page) -> None:
    async with site() as there:
        await visit(page, there.origin)
        seen = await converse(page, url=there.url, close=[4001, "fare well ✓"])
        assert await there.ended() == (4001, "fare well ✓")
    assert seen["wasClean"] is True


async def test_a_subprotocol_is_agreed_on(page: Page) -> None:
    async with site(subprotocols=["trunk.2"]) as there:
        await visit(page, there.origin)
        seen = await converse(page, url=there.url, protocols=["other", "trunk.2"], close=[1000])
    assert seen["protocol"] == "trunk.2"


async def test_the_compression_that_the_page_offers_is_declined(page: Page) -> None:
    async with site() as there:
        await visit(page, there.origin)
        seen = await converse(page, url=there.url, messages=["compressible " * 1000], close=[1000])
    assert (seen["extensions"], seen["answers"]) == ("", ["compressible " * 1000])


@pytest.mark.parametrize("takeover", [False, True])
async def test_the_compression_that_the_page_offers_is_taken(page: Page, takeover: bool) -> None:
    wanted = trunkline.Deflate(server_no_context_takeover=not takeover, client_no_context_takeover=not takeover)
    messages = ["compressible " * 1000, "again, compressible " * 1000, "short", "é€" * 100_000]
    async with site(compression=wanted) as there:
        await visit(page, there.origin)
        seen = await converse(page, url=there.url, messages=messages, close=[1000])
    assert seen["extensions"].startswith("permessage-deflate")
    assert ("no_context_takeover" in seen["extensions"]) is not takeover
    assert seen["answers"] == messages


async def test_a_page_of_another_origin_is_refused(page: Page) -> None:
    async with site() as there:
        await visit(page, ELSEWHERE)
        seen = await converse(page, url=there.url)
    assert (seen["opened"], seen["failed"], seen["code"]) == (False, True, 1006)


async def test_a_page_of_a_listed_origin_is_welcome(page: Page) -> None:
    async with site(origins=[ELSEWHERE]) as there:
        await visit(page, ELSEWHERE)
        seen = await converse(page, url=there.url, messages=["let me in"], close=[1000])
    assert (seen["opened"], seen["answers"]) == (True, ["let me in"])


async def test_a_reloaded_page_leaves_with_going_away(page: Page) -> None:
    async with site() as there:
        await visit(page, there.origin)
        await page.evaluate("url => new Promise(r => { window.ws = new WebSocket(url); ws.onopen = r; })", there.url)
        await page.reload()
        code, _ = await there.ended()
    assert code == 1001

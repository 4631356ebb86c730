"""The dashboard in Chromium: what the page shows, and what its keys and buttons do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from trunkline.observe import dashboard
from watched import SECRET, TOKEN, Watched, watched

pytestmark = pytest.mark.anyio

expect.set_options(timeout=20_000)

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
    violations.push(event.violatedDirective + " " + event.blockedURI);
});
"""
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 400, "height": 800}


class Desk:
    """A tab that shows the dashboard of a program, and the errors and warnings of its console."""

    def __init__(self, tab: Page, program: Watched, page: dashboard.Dashboard) -> None:
        self.tab = tab
        self.program = program
        self.page = page
        self.complaints: list[str] = []
        tab.on("console", lambda message: self.complaints.append(message.text) if message.type != "log" else None)
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def open(self, url: str | None = None, size: Any = WIDE) -> None:
        await self.tab.set_viewport_size(size)
        await self.tab.add_init_script(WATCH)
        await self.tab.goto(url or self.page.url)

    @property
    def rows(self) -> Locator:
        return self.tab.locator(".row:not([hidden])")

    def row(self, label: str) -> Locator:
        return self.tab.locator(f'.row:not([hidden])[data-id="{label}"]')

    async def labels(self) -> list[str]:
        """Labels of the rows in view, from the top."""
        script = "rows => rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map(row => row.dataset.id)"
        return await self.rows.evaluate_all(script)

    async def violations(self) -> list[str]:
        return await self.tab.evaluate("violations")


@asynccontextmanager
async def desk(tab: Page, refusing_port: int, *, count: int = 5, **options: Any) -> AsyncIterator[Desk]:
    async with (
        watched(refusing_port, count) as program,
        dashboard.serve(program.manager, token=TOKEN, name="of-a-test", **options) as page,
    ):
        made = Desk(tab, program, page)
        yield made
        assert made.complaints == []
        assert await made.violations() == []


async def test_it_opens_from_the_printed_url_and_shows_every_connection(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open()
        await expect(there.tab.locator("#live")).to_have_text("live")
        await expect(there.rows).to_have_count(6)
        await expect(there.tab.locator("#totals .up .value")).to_have_text("5 of 6")
        orders = there.row("orders?token=...")
        await expect(orders.locator(".status")).to_have_text("waiting")
        await expect(orders.locator(".why")).to_contain_text("Connection refused")
        await expect(orders.locator(".next_at")).to_contain_text("in ")
        assert TOKEN not in there.tab.url, "the token stays in the address bar"
        await expect(there.tab).to_have_title("5/6 up · of-a-test")


async def test_rows_change_as_links_are_cut(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open()
        rooms = there.tab.locator('.row[data-status="connected"]:not([hidden])')
        await expect(rooms).to_have_count(5)
        there.program.proxy.refuse()
        there.program.proxy.cut()
        await expect(rooms).to_have_count(0)
        await expect(there.tab.locator("#totals .up.bad .value")).to_have_text("0 of 6")
        await there.program.proxy.accept()
        there.program.manager.network_changed()
        await expect(rooms).to_have_count(5)
        await expect(there.row("rooms?room=room-1").locator(".reconnects")).to_have_text("1")
        await expect(there.tab.locator("#log li", has_text="up again after").first).to_be_visible()


async def test_the_details_say_why_and_what_is_next(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open()
        await there.row("orders?token=...").click()
        await expect(there.tab.locator("#subject")).to_have_text("orders?token=...")
        await expect(there.tab.locator("#reason")).to_contain_text("Connection refused. Next try in ")
        await expect(there.tab.locator("#more")).to_contain_text("token=...")
        await expect(there.tab.locator("#changes li").first).to_contain_text("retry 1 in ")
        await there.row("rooms?room=room-1").click()
        await expect(there.tab.locator("#spread rect").first).to_be_visible()
        await expect(there.tab.locator("#rates canvas")).to_be_visible()
        await there.tab.locator("#unselect").click()
        await expect(there.tab.locator("#subject")).to_have_text("All connections")
        await expect(there.tab.locator("#gauges")).to_contain_text("retry budget, spent")


async def test_filter_and_search(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open()
        await there.tab.locator('.chip[data-status="waiting"]').click()
        await expect(there.rows).to_have_count(1)
        await there.tab.locator('.chip[data-status="waiting"]').click()
        await expect(there.rows).to_have_count(6)
        await there.tab.locator("#search").fill("ROOM-3")
        await expect(there.rows).to_have_count(1)
        await expect(there.tab.locator("#shown")).to_have_text("1 of 6")
        await there.tab.locator("#search").fill("nothing like it")
        await expect(there.tab.locator("#empty")).to_contain_text("No connection matches")
        await there.tab.locator("#search").fill("refused")
        await expect(there.row("orders?token=...")).to_be_visible()
        await there.tab.locator("#log-search").fill("room-4 connected")
        await expect(there.tab.locator("#log li")).to_have_count(1)


async def test_sorting_by_a_heading_and_back(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port, count=11) as there:
        await there.open()
        await expect(there.rows).to_have_count(12)
        assert (await there.labels())[:2] == ["orders?token=...", "rooms?room=room-1"], "what is down comes first"
        heading = there.tab.get_by_role("columnheader", name="Connection")
        await heading.click()
        await expect(heading).to_have_attribute("aria-sort", "ascending")
        rooms = [f"rooms?room=room-{number}" for number in range(1, 12)]
        assert await there.labels() == ["orders?token=...", *rooms]
        await heading.click()
        await expect(heading).to_have_attribute("aria-sort", "descending")
        assert await there.labels() == [*reversed(rooms), "orders?token=..."]


async def test_the_keyboard(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open()
        await expect(there.rows).to_have_count(6)
        press = there.tab.keyboard.press
        await press("End")
        await expect(there.tab.locator("#subject")).to_have_text("rooms?room=room-5")
        await press("ArrowUp")
        await expect(there.row("rooms?room=room-4")).to_have_attribute("aria-selected", "true")
        active = await there.tab.locator("#table").get_attribute("aria-activedescendant")
        assert active == await there.row("rooms?room=room-4").get_attribute("id")
        await press("Escape")
        await expect(there.tab.locator("#subject")).to_have_text("All connections")
        await press("/")
        await there.tab.keyboard.type("room-2")
        await expect(there.rows).to_have_count(1)
        await press("Escape")
        await expect(there.rows).to_have_count(6)
        await press("3")
        await expect(there.rows).to_have_count(1)
        await press("3")
        await press("?")
        await expect(there.tab.locator("#keys")).to_be_visible()
        await press("Escape")
        await expect(there.tab.locator("#keys")).to_be_hidden()


async def test_the_theme_is_switched_and_kept(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open()
        root = there.tab.locator("html")
        await expect(root).to_have_attribute("data-theme", "light")
        await there.tab.keyboard.press("t")
        await expect(root).to_have_attribute("data-theme", "dark")
        await there.tab.reload()
        await expect(root).to_have_attribute("data-theme", "dark")
        await expect(there.rows).to_have_count(6)


async def test_a_narrow_page_has_no_scrollbar_across(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open(size=NARROW)
        await expect(there.rows).to_have_count(6)
        assert await there.tab.evaluate("document.documentElement.scrollWidth") <= 400
        for part in (".why", ".next_at", ".status"):
            await expect(there.row("orders?token=...").locator(part)).to_be_visible()
        await there.row("rooms?room=room-1").click()
        await expect(there.tab.locator("#subject")).to_be_in_viewport()


async def test_no_secret_is_in_the_document(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port, actions=True) as there:
        await there.open()
        await there.row("orders?token=...").click()
        await expect(there.tab.locator("#more")).to_contain_text("metadata")
        document = await there.tab.content()
        assert "orders?token=..." in document
        assert SECRET not in document
        assert TOKEN not in document


# Actions


async def test_there_are_no_buttons_unless_actions_are_enabled(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open()
        await there.row("rooms?room=room-1").click()
        await expect(there.tab.locator("#more")).to_contain_text("links so far")
        await expect(there.tab.locator("#actions button")).to_have_count(0)


async def test_reconnecting_asks_for_a_confirmation(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port, actions=True) as there:
        await there.open()
        await there.row("rooms?room=room-1").click()
        button = there.tab.locator('[data-action="reconnect"]')
        await button.click()
        await expect(button).to_have_text("really reconnect?")
        assert there.program.connections[0].generation == 1
        await button.click()
        await expect(there.row("rooms?room=room-1").locator(".reconnects")).to_have_text("1")
        await expect(there.tab.locator("#answer")).to_have_text("rooms?room=room-1 is reconnecting")


async def test_pausing_a_service_and_closing_a_connection(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port, actions=True) as there:
        await there.open()
        await there.row("rooms?room=room-1").click()
        for _ in range(2):
            await there.tab.locator('[data-action="pause"]').click()
        await expect(there.tab.locator('.row[data-status="suspended"]:not([hidden])')).to_have_count(5)
        await expect(there.tab.locator("#reason")).to_contain_text("rooms is paused")
        await there.tab.locator('[data-action="resume"]').click()
        await expect(there.tab.locator('.row[data-status="connected"]:not([hidden])')).to_have_count(5)
        for _ in range(2):
            await there.tab.locator('[data-action="close"]').click()
        await expect(there.rows).to_have_count(5)
        await expect(there.tab.locator("#subject")).to_have_text("All connections")


# Refusals, and a program that goes away


@pytest.mark.parametrize("token", ["#another-token-than-that", ""])
async def test_a_page_without_the_token_shows_nothing(page: Page, refusing_port: int, token: str) -> None:
    async with desk(page, refusing_port) as there:
        await there.open(there.page.url.partition("#")[0] + token)
        await expect(there.tab.locator("#live")).to_have_text("refused")
        wanted = "Open the URL" if token else "has no token"
        await expect(there.tab.locator("#trouble")).to_contain_text(wanted)
        await expect(there.rows).to_have_count(0)
        assert all("403" in complaint for complaint in there.complaints)
        there.complaints.clear()
        await there.tab.evaluate("token => { location.hash = token }", TOKEN)
        await expect(there.rows).to_have_count(6)
        there.complaints.clear()


async def test_a_page_of_another_origin_is_refused(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await page.route("http://127.0.0.1:9/page", lambda route: route.fulfill(content_type="text/html", body="<p>"))
        await there.open("http://127.0.0.1:9/page")
        script = """([port, protocols]) => new Promise((resolve) => {
            const ws = new WebSocket(`ws://127.0.0.1:${port}/feed`, protocols);
            ws.onopen = () => resolve("open");
            ws.onclose = () => resolve("refused");
        })"""
        offered = ["trunkline.dashboard.v1", f"token.{TOKEN}"]
        assert await there.tab.evaluate(script, [there.page.port, offered]) == "refused"
        there.complaints.clear()


async def test_an_unknown_host_name_is_refused(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        # Chromium resolves every name under localhost to loopback, as a rebinding name server would.
        await there.tab.add_init_script(WATCH)
        response = await there.tab.goto(f"http://evil.localhost:{there.page.port}/#{TOKEN}")
        assert response is not None
        assert response.status == 421
        there.complaints.clear()


async def test_the_page_reports_a_lost_connection_and_reconnects(page: Page, refusing_port: int) -> None:
    async with desk(page, refusing_port) as there:
        await there.open()
        await expect(there.rows).to_have_count(6)
        port = there.page.port
        await there.page.close()
        await expect(there.tab.locator("#live")).to_have_text("disconnected")
        await expect(there.tab.locator("#trouble")).to_contain_text("Trying again")
        await expect(there.rows).to_have_count(6)
        async with dashboard.serve(there.program.manager, port=port, token=TOKEN):
            await expect(there.tab.locator("#live")).to_have_text("live")
            await expect(there.tab.locator("#trouble")).to_be_hidden()
        there.complaints.clear()

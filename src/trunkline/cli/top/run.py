"""The command: connects to a dashboard's feed, shows it, and reconnects when the program returns."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, Final

import trunkline
from trunkline.cli.exits import CONNECTING, Exit, explain, give_up
from trunkline.cli.options import Commands, add_command, add_json, positive
from trunkline.cli.progress import show_progress
from trunkline.cli.signals import calling
from trunkline.cli.top.keys import press, reading_keys
from trunkline.cli.top.view import ORDERS, NotTheFeed, View
from trunkline.protocol.wording import printable

__all__ = ["add", "top"]

PROTOCOL: Final = "trunkline.dashboard.v1"
PAUSES: Final = (0.5, 1.0, 2.0, 4.0)  # seconds before each attempt to reconnect; the last one repeats
SILENCE: Final = 5.0  # seconds without a message after which the feed counts as lost: two a second should come

EPILOG: Final = """\
URL is what the dashboard printed: http://host:port/#token. If the program goes away, the last table stays; top
reconnects when the program returns on the same port with the same token. Needs rich: pip install trunkline[cli].

keys: q quits, s sorts by the next column, / searches, arrows and page keys scroll, Escape clears the search.

exit status:
  0    you quit, or everything was printed
  1    the server is not a dashboard
  2    invalid arguments or URL
  3    could not connect: name, port, TLS or timeout
  4    refused: wrong token, too many viewers, or not a dashboard
  5    rich is not installed
  130  interrupted
"""


def add(commands: Commands) -> None:
    """Add the `top` command."""
    summary = "show the connections of a program that serves a dashboard, as a live table"
    parser = add_command(commands, "top", top, summary, epilog=EPILOG)
    parser.add_argument("url", metavar="URL", help="the dashboard's address as the program printed it, with its token")
    parser.add_argument("--sort", choices=ORDERS, default="state", help="sort order (default: state, worst first)")
    parser.add_argument("--search", default="", metavar="TEXT", help="show rows with TEXT in name, state or failure")
    parser.add_argument("--timeout", type=positive, default=10.0, metavar="S", help="seconds to connect (default 10)")
    parser.add_argument("--once", action="store_true", help="print the table once and exit")
    add_json(parser, "print one JSON object and exit")


async def top(options: argparse.Namespace) -> int:
    """Show the table until the user quits or interrupts it."""
    try:
        feed = Feed(options.url, options.timeout)
    except ValueError:
        return give_up("URL must be the address that the program printed: http://host:port/#token", Exit.USAGE)
    if not options.json:
        try:
            import rich  # noqa: F401
        except ImportError:
            return give_up("top needs rich: pip install trunkline[cli] (--json works without it)", Exit.MISSING)
    view = View(order=options.sort, search=options.search)
    try:
        async with show_progress() as progress:
            progress.begin(lambda passed: f"connecting to {printable(feed.where)}: {passed:.0f} s")
            ws = await feed.open(view)
    except trunkline.HandshakeError as error:
        return give_up(_refusal(error), Exit.REFUSED)
    except CONNECTING as error:
        return explain(error)
    except (NotTheFeed, trunkline.ConnectionClosed, TimeoutError) as error:
        return give_up(str(error), Exit.BROKEN)
    try:
        if options.once or options.json:
            _print(view, options)
            return Exit.CLOSED
        return await _Screen(view, feed).run(ws)
    finally:
        ws.abort()
        await ws.wait_closed()


class Feed:
    """The feed of the dashboard at `url`. Raises ValueError if that is not a dashboard's URL."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or not parts.fragment:
            raise ValueError
        scheme = "wss" if parts.scheme == "https" else "ws"
        self.where = parts.netloc.rpartition("@")[2]  # without user and password, which a URL may hold
        self._url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/feed"
        self._token = parts.fragment
        self._timeout = timeout

    async def open(self, view: View) -> trunkline.WebSocket:
        """Connect, and put the snapshot into `view`.

        Raises:
            CONNECTING: One of these, if it cannot connect.
            ConnectionClosed: The connection ended before the snapshot came.
            NotTheFeed: The first message is not from a dashboard's feed.
            TimeoutError: No message came in time.
        """
        ws = await trunkline.connect(
            self._url,
            subprotocols=[PROTOCOL, f"token.{self._token}"],
            max_size=None,
            open_timeout=self._timeout,
            close_timeout=1,
        )
        try:
            async with asyncio.timeout(self._timeout):
                view.take(await ws.recv())
        except TimeoutError:
            ws.abort()
            raise TimeoutError(f"{self.where} sent nothing within {self._timeout:g} s: is it a dashboard?") from None
        except BaseException:
            ws.abort()
            raise
        return ws


def _refusal(error: trunkline.HandshakeError) -> str:
    meanings = {
        403: "403: wrong token; each start of the program makes a new one, unless the program sets it",
        421: "421: the dashboard does not accept this host name; the program can allow it with names=[...]",
        503: "503: the dashboard has too many viewers",
    }
    return meanings.get(error.status or 0, f"not a dashboard: {error}")


def _print(view: View, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(view.as_dict()), flush=True)
        return
    from rich.console import Console

    from trunkline.cli.top.table import sheet

    console = Console()
    console.print(sheet(view, console.width))


class _Screen:
    """Redraws the view when something changes, and keeps the feed connected."""

    def __init__(self, view: View, feed: Feed) -> None:
        self._view = view
        self._feed = feed
        self._changed = asyncio.Event()
        self._quit = False

    async def run(self, ws: trunkline.WebSocket) -> int:
        """Run until the user quits or the dashboard no longer accepts the token. Return the exit status."""
        following = asyncio.create_task(self._follow(ws))
        following.add_done_callback(lambda _: self._changed.set())
        try:
            with _resizing(self._changed.set), reading_keys(self._press):
                await self._draw(following)
            return Exit.CLOSED if self._quit else give_up(await following, Exit.REFUSED)
        finally:
            following.cancel()

    async def _draw(self, following: asyncio.Task[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        from trunkline.cli.top.table import screen

        console = Console()
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while not self._quit and not following.done():
                self._changed.clear()
                width, height = console.size
                live.update(screen(self._view, width, height), refresh=True)
                await self._changed.wait()

    def _press(self, key: str) -> None:
        self._quit = not press(self._view, key)
        self._changed.set()

    async def _follow(self, ws: trunkline.WebSocket) -> str:
        """Take what the feed sends, and reconnect when it ends. Return why that is no longer possible."""
        while True:
            try:
                fault = await self._take(ws)
            finally:
                ws.abort()
            for attempt in itertools.count():
                pause = PAUSES[min(attempt, len(PAUSES) - 1)]
                self._tell(f"disconnected, retry in {pause:g} s: {fault}")
                await asyncio.sleep(pause)
                try:
                    ws = await self._feed.open(self._view)
                    break
                except trunkline.HandshakeError as error:
                    if error.status == 403:
                        return "the program has restarted with another token: use its new address"
                    fault = str(error)
                except (*CONNECTING, NotTheFeed, trunkline.ConnectionClosed, TimeoutError) as error:
                    fault = str(error)
            self._changed.set()

    async def _take(self, ws: trunkline.WebSocket) -> str:
        """Take messages until the feed ends. Return why it did."""
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    self._view.take(await ws.recv())
                self._changed.set()
        except TimeoutError:
            return f"no message for {SILENCE:g} s"
        except NotTheFeed as error:
            return str(error)
        except trunkline.ConnectionClosed as closed:
            return str(closed)

    def _tell(self, fault: str) -> None:
        self._view.fault = fault
        self._changed.set()


@contextlib.contextmanager
def _resizing(note: Callable[[], Any]) -> Iterator[None]:
    """Call `note` when the terminal's size changes, while the block runs."""
    if sys.platform == "win32":  # it has no SIGWINCH; the next figures are drawn for the new size
        yield
    else:
        with calling((signal.SIGWINCH,), note):
            yield

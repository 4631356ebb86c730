"""What is typed while the table is shown."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from trunkline.cli.top.view import View

__all__ = ["press", "reading_keys"]

PAGE: Final = 10  # rows
NAMES: Final = {  # what terminals send
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}
STEPS: Final = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE, "page down": PAGE, "home": -(2**31)}


@contextlib.asynccontextmanager
async def reading_keys(press: Callable[[str], object]) -> AsyncIterator[None]:
    """While the block runs, what is typed at the terminal is not shown but handed to `press`, key by key.

    Without a terminal nothing is read. The terminal is left as it was.
    """
    if not sys.stdin.isatty():
        yield
        return
    fd, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(fd)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read() -> None:
        chunk = os.read(fd, 1024)
        if not chunk:  # the terminal is gone
            loop.remove_reader(fd)
        for key in _keys(decoder.decode(chunk)):
            press(key)

    tty.setcbreak(fd)  # not raw: Control-C stays what it is
    loop.add_reader(fd, read)
    try:
        yield
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _keys(text: str) -> Iterator[str]:
    """The keys in what was read together; a sequence that is not known is one key."""
    while text:
        found = next((sequence for sequence in NAMES if text.startswith(sequence)), None)
        if found is not None:
            yield NAMES[found]
            text = text[len(found) :]
        elif text[0] == "\x1b":
            yield "escape"
            text = "" if len(text) > 1 and text[1] in "[O" else text[1:]
        else:
            yield text[0]
            text = text[1:]


def press(view: View, key: str) -> bool:
    """Do what a key asks; False if it asks for the end."""
    if view.typing:
        _type(view, key)
    elif key == "q":
        return False
    elif key == "s":
        view.next_order()
        view.first = 0
    elif key == "/":
        view.typing, view.search, view.first = True, "", 0
    elif key == "escape":
        view.search = ""
    elif key in STEPS:
        view.first = max(0, view.first + STEPS[key])  # the end is where the screen sees it
    return True


def _type(view: View, key: str) -> None:
    if key in ("enter", "escape"):
        view.typing = False
        if key == "escape":
            view.search = ""
    elif key == "backspace":
        view.search = view.search[:-1]
    elif len(key) == 1 and key.isprintable():
        view.search += key
    view.first = 0

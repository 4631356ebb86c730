"""The keys that work while the table is shown."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Final

from trunkline.cli.top.view import View

__all__ = ["press", "reading_keys"]

PAGE: Final = 10  # rows
STEPS: Final = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -PAGE, "page down": PAGE, "home": -(2**31)}


@contextlib.contextmanager
def reading_keys(press: Callable[[str], object]) -> Iterator[None]:
    """Hand each key to `press` while the block runs, without an echo. Restores the terminal's settings afterwards.

    Reads nothing if standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        yield
        return
    if sys.platform == "win32":
        from trunkline.cli.top.console import typing
    else:
        from trunkline.cli.top.terminal import typing
    with typing(press):
        yield


def press(view: View, key: str) -> bool:
    """Do what the key stands for. Return False if it is the one that quits."""
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
        view.first = max(0, view.first + STEPS[key])  # `screen` limits it at the end
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

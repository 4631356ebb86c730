"""What the tests with hostile peers share: real connections, and an eye on the exception handler of every loop."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from lines import line, pair, raw_client, raw_server

__all__ = ["line", "pair", "raw_client", "raw_server", "told_the_loop"]


@pytest.fixture(autouse=True)
def told_the_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the exception handler of any loop was told; a test in which it was told anything fails.

    Whoever can make it speak writes our logs, and on many programs' loops stops the program.
    """
    told: list[dict[str, Any]] = []

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        told.append(context)

    for kind in (asyncio.BaseEventLoop, uvloop.Loop):
        monkeypatch.setattr(kind, "call_exception_handler", note)
    yield told
    assert told == []

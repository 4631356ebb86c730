"""Fixtures for the tests with hostile peers: real connections, and a watch on the exception handler of every loop."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from lines import compressed, line, pair, raw_client, raw_server

__all__ = ["compressed", "line", "pair", "raw_client", "raw_server", "told_the_loop"]


@pytest.fixture(autouse=True)
def told_the_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The calls of any loop's exception handler; a test with such a call fails.

    A peer that can have it called fills our logs, and stops the many programs whose handler exits.
    """
    told: list[dict[str, Any]] = []

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        told.append(context)

    for kind in (asyncio.BaseEventLoop, uvloop.Loop):
        monkeypatch.setattr(kind, "call_exception_handler", note)
    yield told
    assert told == []

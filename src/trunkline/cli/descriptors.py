"""Waiting for file descriptors. The loop must be one that watches descriptors, as asyncio's own on POSIX does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["wait_readable", "wait_writable"]


async def wait_readable(fd: int) -> None:
    """Wait until a read would not block. One task at a time, for each descriptor."""
    loop = asyncio.get_running_loop()
    await _wait(fd, loop.add_reader, loop.remove_reader)


async def wait_writable(fd: int) -> None:
    """Wait until a write would not block. One task at a time, for each descriptor."""
    loop = asyncio.get_running_loop()
    await _wait(fd, loop.add_writer, loop.remove_writer)


async def _wait(fd: int, add: Callable[..., object], remove: Callable[[int], object]) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    try:
        add(fd, settle)
    except PermissionError:
        return  # a regular file: always ready, and epoll takes none
    try:
        await ready
    finally:
        remove(fd)

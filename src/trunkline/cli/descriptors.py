"""Waiting for file descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable

__all__ = ["read", "wait_readable", "wait_writable"]


async def read(fd: int, most: int) -> bytes:
    """Wait until there is something to read, and return up to `most` bytes of it; b"" at the end of the file.

    Only one task at a time may read. If the loop cannot watch descriptors, as on Windows, a thread reads: cancelling
    the task then loses what that thread reads next.
    """
    try:
        await wait_readable(fd)
    except NotImplementedError:
        return await _read_in_thread(fd, most)
    return os.read(fd, most)


async def _read_in_thread(fd: int, most: int) -> bytes:
    """Read in a daemon thread, which may stay in its read until the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()

    def settle(chunk: bytes, error: OSError | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(chunk)
        else:
            done.set_exception(error)

    def wait() -> None:
        chunk, failure = b"", None
        try:
            chunk = os.read(fd, most)
        except OSError as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, chunk, failure)

    threading.Thread(target=wait, name="trunkline standard input", daemon=True).start()
    return await done


async def wait_readable(fd: int) -> None:
    """Wait until a read would not block. Only one task may wait for a descriptor.

    Raises NotImplementedError if the loop cannot watch descriptors.
    """
    loop = asyncio.get_running_loop()
    await _wait(fd, loop.add_reader, loop.remove_reader)


async def wait_writable(fd: int) -> None:
    """Wait until a write would not block. Only one task may wait for a descriptor."""
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
        return  # a regular file is always ready, and epoll refuses to watch one
    try:
        await ready
    finally:
        remove(fd)

"""Cancels an operation at each of its waits, and sees that nothing of it is left."""

import asyncio
import contextlib
import itertools
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

from turns import open_files, until

Act = Callable[[], Coroutine[Any, Any, Any]]


@types.coroutine
def watched(inner: Coroutine[Any, Any, Any], at: int, seen: Callable[[Any], None]) -> Generator[Any, Any, Any]:
    """Runs `inner`, and shows the future of its wait number `at`, before its task knows of it."""
    for number in itertools.count():
        try:
            future = inner.send(None)
        except StopIteration as end:
            return end.value
        if number == at:
            seen(future)
        try:
            yield future
        except BaseException as error:  # it is the inner's business
            thrown: BaseException | None = error
            while thrown is not None:
                try:
                    future = inner.throw(thrown)
                except StopIteration as end:
                    return end.value
                thrown = None
                try:
                    yield future
                except BaseException as again:
                    thrown = again


async def cancelled_at(act: Act, at: int, *, late: bool) -> bool:
    """Runs `act` and cancels it in its wait number `at`: at once, or, `late`, when what it waits for has happened but
    its task has not run yet. False if it ended before it came to that wait.
    """
    reached = False

    def cancel(future: asyncio.Future[Any] | None) -> None:
        nonlocal reached
        reached = True
        if late and future is not None:
            future.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(lambda: task.cancel())

    async def run() -> None:
        await watched(act(), at, cancel)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if not reached:
        task.result()
        return False
    assert task.cancelled()
    return True


async def cancel_everywhere(act: Act, *, late: bool, after: Act | None = None) -> int:
    """Cancels `act` at each of its waits, one more at a time, until it goes through; gives how many waits it has.
    `after` is awaited each time.
    """
    for at in itertools.count():
        reached = await cancelled_at(act, at, late=late)
        if after is not None:
            await after()
        if not reached:
            return at
    raise AssertionError("it never went through")


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[Act]:
    """Whatever the block opens is gone when it ends; the function that it is given waits for that in its midst."""
    files, tasks = open_files(), asyncio.all_tasks()

    async def gone() -> None:
        await until(lambda: open_files() == files and asyncio.all_tasks() <= tasks)

    async with asyncio.timeout(60):
        yield gone
        await gone()

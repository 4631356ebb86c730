"""Letting the event loop run without a clock: tests wait for what they wait for, and for nothing else."""

import asyncio
import os
import sys
from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    """Lets the loop run until the condition holds. What opens connections in the tests of the net bounds the wait."""
    while not condition():  # noqa: ASYNC110  # there is no event for what the kernel or a loop does by itself
        await asyncio.sleep(0)


async def settle(turns: int = 50) -> None:
    """Lets the loop run for some turns, in which what was going to happen on loopback has happened."""
    for _ in range(turns):
        await asyncio.sleep(0)


def now() -> float:
    """The seconds of the running loop's clock."""
    return asyncio.get_running_loop().time()


def open_files() -> dict[str, str]:
    """The file descriptors of this process, with what they are; without the one for /dev/null that uvloop keeps from
    the first socket it listens on, for the day when no other is left. None where the system does not list them.
    """
    found: dict[str, str] = {}
    if sys.platform != "linux":
        return found
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one that listed them
    return {name: what for name, what in found.items() if what != "/dev/null"}

"""The start of every measured Python program: on the given loop, with the highest limit of open files."""

import asyncio
import resource
import socket
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the factory for loops of this name, asyncio or uvloop."""
    if name == "asyncio":
        return asyncio.new_event_loop
    import uvloop  # trunkline does not require it

    return uvloop.new_event_loop


def run(main: Coroutine[None, None, T], loop: str) -> T:
    """Run a program on `loop`, asyncio or uvloop, and return its result."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        return runner.run(main)


def listening_socket() -> socket.socket:
    """Return a socket that listens on a free port of 127.0.0.1."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listening.setblocking(False)
    return listening


def tell_ready(listening: socket.socket) -> None:
    """Print the port on which the program listens."""
    print("ready", listening.getsockname()[1], flush=True)

"""The start of every measured Python program: on the given loop, with the highest limit of open files."""

import asyncio
import resource
import socket
from collections.abc import Coroutine


def run(main: Coroutine[None, None, None], loop: str) -> None:
    """Run a program on `loop`, asyncio or uvloop."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if loop == "uvloop":
        import uvloop

        uvloop.run(main)
    else:
        asyncio.run(main)


def listening_socket() -> socket.socket:
    """Return a socket that listens on a free port of 127.0.0.1."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listening.setblocking(False)
    return listening


def tell_ready(listening: socket.socket) -> None:
    """Print the port on which the program listens."""
    print("ready", listening.getsockname()[1], flush=True)

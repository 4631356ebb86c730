"""A program: trunkline on what Windows lets a program have. tests/house/test_portability.py runs it.

Windows itself is not here, so what it lacks is taken away: the modules, the names that the documentation marks
"Availability: Unix", unix sockets, signal handlers of the loop, and, as on a proactor loop, watching descriptors.
"""

import argparse
import asyncio
import asyncio.selector_events
import contextlib
import ctypes
import functools
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator

# These look for a platform when they are imported, and have their own code for each.
import msgspec
import rich.console
import rich.live  # noqa: F401

MODULES = "crypt curses fcntl grp nis posix pty pwd readline resource spwd syslog termios tty uvloop"
NAMES = {
    socket: "AF_UNIX AF_NETLINK AF_PACKET NETLINK_ROUTE SO_REUSEPORT SO_PEERCRED EAI_SYSTEM TCP_INFO TCP_QUICKACK "
    "TCP_USER_TIMEOUT MSG_DONTWAIT MSG_NOSIGNAL MSG_CMSG_CLOEXEC CMSG_SPACE send_fds recv_fds",
    os: "fork forkpty getuid geteuid getgid getegid getpgid setsid killpg openpty getloadavg sysconf statvfs "
    "sched_yield mkfifo mknod pipe2 eventfd pread pwrite preadv readv writev sendfile wait4 waitid",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 SIGWINCH alarm setitimer pthread_kill "
    "pthread_sigmask sigwait siginterrupt",
    time: "clock_gettime clock_getres clock_settime CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_REALTIME tzset",
    select: "epoll poll",
}


class Loop(asyncio.selector_events.BaseSelectorEventLoop):
    """What all loops have, and nothing that asyncio adds on POSIX: no SelectorEventLoop either."""

    def add_reader(self, *arguments):
        raise NotImplementedError

    add_writer = add_reader


class SelectorLoop(asyncio.SelectorEventLoop):
    """The loop that watches descriptors on Windows; it has neither signal handlers nor unix sockets there."""

    def add_signal_handler(self, *arguments):
        raise NotImplementedError

    remove_signal_handler = add_signal_handler
    create_unix_connection = create_unix_server = add_signal_handler


def take_away() -> None:
    asyncio.set_event_loop(None)  # asyncio has a look at the platform when this is first called
    socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)  # the loops' own, by whatever means
    for name in MODULES.split():
        sys.modules[name] = None
    for module, names in NAMES.items():
        for name in names.split():
            with contextlib.suppress(AttributeError):  # of another Python, or another system
                delattr(module, name)
    sys.modules["msvcrt"] = types.ModuleType("msvcrt")
    sys.platform = "win32"


def modules() -> Iterator[str]:
    import trunkline

    for module in pkgutil.walk_packages(trunkline.__path__, "trunkline."):
        # Elsewhere than on POSIX the demo says what it needs, and nobody draws keys from a terminal.
        elsewhere = module.name.startswith(("trunkline.cli.demo.", "trunkline.cli.top.terminal"))
        if not elsewhere and not module.name.endswith("__main__"):
            yield module.name


async def echo() -> object:
    import trunkline

    async def handler(ws):
        assert ws.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        async for message in ws:
            await ws.send(message)

    bound = socket.socket()  # which does not name TCP
    bound.bind(("127.0.0.1", 0))
    async with (
        trunkline.serve(handler, sock=bound, compression="deflate") as server,
        trunkline.connect(f"ws://127.0.0.1:{server.port}/", compression="deflate") as ws,
    ):
        await ws.ping()
        for size in (1, 1000, 300_000):
            await ws.send("x" * size)
            assert len(await ws.recv()) == size
    return ws.close_code


class Word(msgspec.Struct):
    text: str


async def manage() -> object:
    """A managed connection that is refused first."""
    import trunkline

    async def handler(ws):
        async for message in ws:
            await ws.send(message)

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    words = trunkline.Service("words", f"ws://127.0.0.1:{port}/", sends=Word, receives=Word)
    refused = asyncio.get_running_loop().create_future()

    def see(event):
        if event.issue and not refused.done():
            refused.set_result(event.issue.category.value)

    async with trunkline.ConnectionManager([words]) as manager:
        manager.subscribe(see)
        line = await manager.connect(words, wait=False)
        await refused
        async with trunkline.serve(handler, "127.0.0.1", port):
            await line.send(Word("there"), timeout=30)
            assert (await anext(line)).text == "there"
    return refused.result()


def refuse_unix() -> list[str]:
    import trunkline

    said = []
    for call in (lambda: trunkline.serve(echo, unix="x"), lambda: trunkline.connect("ws://h/", unix="x")):
        try:
            call()
        except ValueError as error:
            said.append(str(error))
    return said


def serve_until_interrupted() -> tuple[int, str]:
    from trunkline.cli import main

    class Told(io.StringIO):
        def write(self, text):
            if text.startswith("ready"):
                threading.Timer(0, os.kill, (os.getpid(), signal.SIGINT)).start()
            return super().write(text)

    with contextlib.redirect_stdout(Told()) as told:
        status = main(["serve", "--echo", "--port", "0"])
    return status, told.getvalue().split(":")[0]


def run_demo() -> tuple[int, str]:
    from trunkline.cli import main

    with contextlib.redirect_stderr(io.StringIO()) as told:
        status = main(["demo"])
    return status, told.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("loop", choices=["selector", "proactor"])
    loop = {"selector": SelectorLoop, "proactor": Loop}[parser.parse_args().loop]
    take_away()
    for name in modules():
        importlib.import_module(name)
    asyncio.events.new_event_loop = loop
    with asyncio.Runner(loop_factory=loop) as runner:
        told = {"echo": runner.run(echo()), "manager": runner.run(manage())}
    told |= {"unix": refuse_unix(), "serve": serve_until_interrupted(), "demo": run_demo()}
    print(json.dumps(told))


if __name__ == "__main__":
    ctypes.pythonapi  # noqa: B018 - it looks for a platform, too
    main()

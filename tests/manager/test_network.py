"""A network that changes: what the kernel tells of it, what is news, and that a manager acts on it by itself."""

import asyncio
import logging
import os
import pathlib
import socket
import struct
import subprocess
import sys
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trunkline
from handlers import echo
from manager.network_program import NEW_ADDRESS, NEW_ROUTE, OLD_ADDRESS, address_body, attribute, default_route
from trunkline.manager.network import QUIET, NetworkWatch, read_changes
from trunkline.testing import VirtualLoop
from turns import until

PROGRAM: Final = pathlib.Path(__file__).with_name("network_program.py")
OLD_ROUTE: Final = 25
NEW_LINK: Final = 16


def message(kind: int, body: bytes) -> bytes:
    padding = bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + padding


def route_body(*, bits: int = 0, kind: int = 1, attributes: bytes = b"") -> bytes:
    return struct.pack("=BBBBBBBBI", socket.AF_INET6, bits, 0, 0, 254, 9, 0, kind, 0) + attributes


def tentative(body: bytes) -> bytes:
    return body[:2] + b"\x40" + body[3:]


ADDRESS: Final = message(NEW_ADDRESS, address_body("192.0.2.7"))
GATEWAY: Final = attribute(5, bytes(16))

# What is told, how often that is a change.
TOLD: Final = {
    "an address": (ADDRESS, 1),
    "an address that is gone": (message(OLD_ADDRESS, address_body("192.0.2.7")), 1),
    "an address of the host alone": (message(NEW_ADDRESS, address_body("127.0.0.9", scope=254)), 0),
    "an address of the link alone": (message(NEW_ADDRESS, address_body("169.254.0.9", scope=253)), 0),
    "an address that may not be used yet": (message(NEW_ADDRESS, tentative(address_body("192.0.2.7"))), 0),
    "one of those that is gone": (message(OLD_ADDRESS, tentative(address_body("192.0.2.7"))), 1),
    "a default route": (message(NEW_ROUTE, default_route()), 1),
    "a default route that is gone": (message(OLD_ROUTE, default_route()), 1),
    "a default route of IPv6": (message(NEW_ROUTE, route_body(attributes=GATEWAY)), 1),
    "a route to some": (message(NEW_ROUTE, route_body(bits=64, attributes=GATEWAY)), 0),
    "a route that leads nowhere": (message(NEW_ROUTE, route_body(kind=7)), 0),
    "another message": (message(NEW_LINK, bytes(16)), 0),
    "two in one": (ADDRESS + message(NEW_ROUTE, default_route()), 2),
    "nothing": (b"", 0),
    "a length that is too short": (struct.pack("=IHHII", 15, NEW_ADDRESS, 0, 0, 0) + address_body("192.0.2.7"), 0),
    "a length that is too long": (struct.pack("=IHHII", 999, NEW_ADDRESS, 0, 0, 0) + address_body("192.0.2.7"), 0),
    "an attribute that is too short": (message(NEW_ADDRESS, address_body("192.0.2.7") + b"\3\0\1\0"), 1),
}


@pytest.mark.parametrize("what", TOLD)
def test_what_is_a_change(what: str) -> None:
    datagram, count = TOLD[what]
    assert len(list(read_changes(datagram))) == count


@pytest.mark.parametrize("end", range(len(ADDRESS)))
def test_what_is_cut_short_is_none(end: int) -> None:
    assert list(read_changes(ADDRESS[:end])) == []


@given(st.binary(max_size=200))
def test_whatever_is_told_is_read(datagram: bytes) -> None:
    list(read_changes(datagram))
    list(read_changes(message(NEW_ADDRESS, datagram)))
    list(read_changes(message(NEW_ROUTE, route_body(attributes=datagram))))


def test_what_differs_in_age_alone_is_the_same() -> None:
    young, old = (message(NEW_ROUTE, default_route() + attribute(12, bytes([age] * 32))) for age in (1, 2))
    assert list(read_changes(young)) == list(read_changes(old))


# What is news


class Heard:
    """Counts the calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.mark.anyio
async def test_changes_of_a_second_are_told_together(clock: Any) -> None:
    heard = Heard()
    watch = NetworkWatch(clock, heard)
    watch.hear(ADDRESS)
    watch.hear(message(NEW_ROUTE, default_route()))
    await clock.advance(QUIET - 0.01)
    assert heard.count == 0
    await clock.advance(0.01)
    assert (heard.count, clock.pending) == (1, 0)


@pytest.mark.anyio
async def test_a_repetition_is_no_news(clock: Any) -> None:
    heard = Heard()
    watch = NetworkWatch(clock, heard)
    for told in (ADDRESS, ADDRESS, message(OLD_ADDRESS, address_body("192.0.2.7")), ADDRESS, ADDRESS):
        watch.hear(told)
        await clock.advance(QUIET)
    assert heard.count == 3


@pytest.mark.anyio
async def test_what_was_heard_before_the_stop_is_not_told(clock: Any) -> None:
    heard = Heard()
    watch = NetworkWatch(clock, heard)
    assert watch.start()
    assert watch.start()
    watch.hear(ADDRESS)
    watch.stop()
    watch.stop()
    await clock.advance(QUIET)
    assert (heard.count, clock.pending) == (0, 0)


@pytest.mark.anyio
async def test_a_system_that_does_not_tell(clock: Any, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> socket.socket:
        raise PermissionError("no netlink in this sandbox")

    watch = NetworkWatch(clock, Heard())
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", refuse)
        assert not watch.start()
    with monkeypatch.context() as patched:
        patched.delattr(socket, "AF_NETLINK")
        assert not watch.start()
    watch.stop()


@pytest.mark.anyio
async def test_a_kernel_that_had_too_much_to_tell(clock: Any, monkeypatch: Any) -> None:
    """The socket holds little, and the datagrams that it could not hold may have been about anything."""
    heard = Heard()
    watch = NetworkWatch(clock, heard)
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    class Full(socket.socket):
        def recvfrom(self, *_: Any) -> Any:
            raise OSError(105, "No buffer space available")

    with kernel, Full(fileno=ours.detach()) as full:
        monkeypatch.setattr("trunkline.manager.network._open", lambda: full)
        watch.start()
        kernel.send(b"x")
        await until(lambda: clock.pending)
        watch.stop()


# A manager, and a network that is changed


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_manager_hears_the_kernel(loop: str) -> None:
    """In a network namespace of its own, where addresses and routes may come and go."""
    command = ["unshare", "-rn", sys.executable, "-W", "error", str(PROGRAM), loop]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)
    assert (ran.stderr, ran.returncode) == ("", 0)
    assert ran.stdout.splitlines() == ["an address dials", "asked for a sign of life 3 generation 1", "listening []"]


@pytest.mark.anyio
@pytest.mark.parametrize("watch_network", [True, False])
async def test_it_listens_while_it_has_connections(watch_network: bool, caplog: Any, monkeypatch: Any) -> None:
    caplog.set_level(logging.INFO, "trunkline.manager")
    watches: list[NetworkWatch] = []
    start = NetworkWatch.start
    monkeypatch.setattr(NetworkWatch, "start", lambda watch: watches.append(watch) or start(watch))
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        service: Any = trunkline.Service("echo", f"ws://127.0.0.1:{server.port}/", sends=str, receives=str)
        async with trunkline.ConnectionManager([service], watch_network=watch_network) as manager:
            await manager.connect(service)
            assert len(watches) == watch_network
            for watch in watches:
                watch._tell()
    events = [record.event for record in caplog.records if getattr(record, "event", "") == "manager.network_changed"]
    assert len(events) == watch_network


def test_on_a_virtual_loop_it_does_not() -> None:
    async def main() -> None:
        async with trunkline.serve(echo, "server.sim.invalid", 80):
            service: Any = trunkline.Service("echo", "ws://server.sim.invalid/", sends=str, receives=str)
            async with trunkline.ConnectionManager([service]) as manager:
                await manager.connect(service)
                assert [type(watch).__name__ for watch in manager._watches] == ["SleepWatch"]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())

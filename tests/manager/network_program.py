"""Run in a network namespace of its own (unshare -rn): changes the network, and prints what a manager does about it."""

import asyncio
import os
import socket
import struct
import sys
from typing import Any, Final

import uvloop

import trunkline
from handlers import echo
from turns import until

LOOPBACK: Final = 1  # the index of the only interface
NEW_LINK, NEW_ADDRESS, OLD_ADDRESS, NEW_ROUTE = 16, 20, 21, 24
NOW: Final = 0x0405  # NLM_F_REQUEST, ACK, CREATE


def tell(kind: int, body: bytes, port: int = 0) -> None:
    """Asks the kernel, or another socket by its port, and raises OSError if the kernel refuses."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.sendto(struct.pack("=IHHII", 16 + len(body), kind, NOW, 1, 0) + body, (port, 0))
        if port == 0:
            (refused,) = struct.unpack_from("=i", asking.recv(4096), 16)
            if refused:
                raise OSError(-refused, os.strerror(-refused))


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def address_body(text: str, scope: int = 0) -> bytes:
    packed = socket.inet_aton(text)
    return struct.pack("=BBBBI", socket.AF_INET, 32, 0, scope, LOOPBACK) + attribute(2, packed) + attribute(1, packed)


def default_route() -> bytes:
    return struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 4, 253, 1, 0) + attribute(4, struct.pack("=I", 1))


def netlink_ports() -> list[int]:
    """The ports of the netlink sockets of this namespace that listen."""
    with open("/proc/net/netlink") as table:
        rows = [line.split() for line in table]
    return [int(row[2]) for row in rows[1:] if row[1] == "0" and int(row[2]) and int(row[3], 16)]


async def main() -> None:
    tell(NEW_LINK, struct.pack("=BxHiII", 0, 0, LOOPBACK, 1, 1))  # up
    async with trunkline.serve(echo, "127.0.0.1", 0) as server:
        port = server.port
    retry = trunkline.manager.RetryPolicy(base=1_000, cap=2_000)
    service: Any = trunkline.Service(
        "echo", f"ws://127.0.0.1:{port}/", sends=str, receives=str, retry=retry, ping_interval=None
    )
    async with trunkline.ConnectionManager([service]) as manager:
        line = await manager.connect(service, wait=False)
        await until(lambda: line.status == "waiting")
        async with trunkline.serve(echo, "127.0.0.1", port) as server:
            tell(NEW_ADDRESS, address_body("192.0.2.7"))
            await line.wait_connected()
            print("an address dials")

            (ws,) = server.connections
            tell(NEW_ADDRESS, address_body("192.0.2.8"), port=netlink_ports()[0])
            changes = [
                (NEW_ADDRESS, address_body("192.0.2.8")),  # had it been believed a moment ago, it would be no news
                (NEW_ROUTE, default_route()),
                (OLD_ADDRESS, address_body("192.0.2.7")),
            ]
            for number, change in enumerate(changes):
                tell(*change)
                await until(lambda: ws.stats().pings_received > number)  # noqa: B023  # it is awaited here
            print("asked for a sign of life", ws.stats().pings_received, "generation", line.generation)
            await line.close()
    print("listening", netlink_ports())


if __name__ == "__main__":
    factory = uvloop.new_event_loop if sys.argv[1] == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(main(), 60))

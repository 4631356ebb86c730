"""A program for the dashboard to show: connections through a proxy that a test can cut, one connection that is refused,
and a secret among parameters.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

import trunkline
from handlers import echo
from trunkline.testing import FaultProxy

__all__ = ["SECRET", "TOKEN", "Tick", "Watched", "watched"]

SECRET = "hunter2-of-a-test"
TOKEN = "a-token-of-a-test"


class Tick(msgspec.Struct):
    n: int


@dataclass
class Watched:
    """rooms: a service whose links go through `proxy` to `server`. orders: a service that nobody serves."""

    manager: trunkline.ConnectionManager
    rooms: trunkline.Service
    orders: trunkline.Service
    server: trunkline.Server
    proxy: FaultProxy
    connections: list[trunkline.Connection] = field(default_factory=list)

    async def wait(self, connection: trunkline.Connection, status: str) -> None:
        """Wait until a connection has this status."""
        changes = self.manager.events()
        while connection.status != status:
            await anext(changes)


@asynccontextmanager
async def watched(refusing_port: int, count: int = 5, **options: Any) -> AsyncIterator[Watched]:
    """Provide `count` rooms that are up, and `orders`, which is refused. options: of the service of the rooms."""
    async with trunkline.serve(echo, "127.0.0.1", 0) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/{{room}}"
        rooms = trunkline.Service("rooms", url, sends=Tick, receives=Tick, **{"ping_interval": 0.5, **options})
        dead = f"ws://127.0.0.1:{refusing_port}/?token={{token}}"
        slow = trunkline.manager.RetryPolicy(base=300, cap=600)
        orders = trunkline.Service("orders", dead, sends=Tick, receives=Tick, retry=slow)
        async with trunkline.ConnectionManager([rooms, orders]) as manager:
            made = Watched(manager, rooms, orders, server, proxy)
            for number in range(1, count + 1):
                made.connections.append(await manager.connect(rooms, room=f"room-{number}"))
            made.connections.append(await manager.connect(orders, wait=False, token=SECRET))
            await made.wait(made.connections[-1], "waiting")
            yield made

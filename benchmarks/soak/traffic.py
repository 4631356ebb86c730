"""A million messages and ten thousand reconnects in one process, which is client and server. Nothing may leak."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import trunkline
from benchmarks.soak.watch import Bounds, Watch
from trunkline.manager.dialing.budget import RetryBudget
from trunkline.testing import FaultProxy

MESSAGES = Bounds(resident=1.0, blocks=0.002)  # a byte for each message, and a block for 500
RECONNECTS = Bounds(resident=100.0, blocks=0.9)  # a single link takes 2,000 bytes, and one object is a block
CONNECTIONS = 4  # at a time
BURST = 200  # messages that a connection sends before it waits for them
LARGE = 20  # in so many bursts, there is one large message and one in fragments
MANAGED = 20  # connections of the manager
PING = 1.0  # seconds; short, so that long-lived connections send some

Mode = Literal["plain", "tls", "deflate"]


class Echo(trunkline.Listener):
    """A listener that sends everything back."""

    def on_message(self, ws: trunkline.WebSocket, message: str | bytes) -> None:
        ws.send_nowait(message)


@dataclass(frozen=True)
class Contexts:
    """TLS contexts: a server's with a certificate for 127.0.0.1, and a client's that trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext

    @classmethod
    def make(cls) -> Contexts:
        import trustme

        authority = trustme.CA()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        return cls(server, client)


@contextlib.asynccontextmanager
async def party(mode: Mode) -> AsyncIterator[tuple[trunkline.Server, Callable[[], Awaitable[trunkline.WebSocket]]]]:
    """Run a server; provide it and a function that connects to it."""
    options: dict[str, Any] = {"ping_interval": PING, **({"compression": "deflate"} if mode == "deflate" else {})}
    contexts = Contexts.make() if mode == "tls" else None
    server = trunkline.serve(
        listener=Echo, host="127.0.0.1", port=0, ssl=contexts.server if contexts else None, **options
    )
    async with server as listening:
        scheme, secure = ("wss", {"ssl": contexts.client}) if contexts else ("ws", {})
        uri = f"{scheme}://127.0.0.1:{listening.port}/"

        async def connect() -> trunkline.WebSocket:
            return await trunkline.connect(uri, **options, **secure)

        yield listening, connect


def burst(rng: random.Random) -> list[str | bytes]:
    """Return typical messages: mostly short, text and binary, some empty, few of some KiB."""
    sizes = rng.choices((0, 20, 80, 200, 1000, 4000), weights=(1, 30, 40, 20, 8, 1), k=BURST)
    return [rng.randbytes(size) if rng.random() < 0.5 else "é7ä" * (size // 5) for size in sizes]


async def messages(total: int, mode: Mode) -> Watch:
    """Send `total` messages there and back, and compare each."""
    watch, done = Watch(total, MESSAGES), 0
    rng = random.Random(7)
    bursts = [burst(rng) for _ in range(LARGE)]
    large = rng.randbytes(200_000)
    async with party(mode) as (_, connect):
        connections = [await connect() for _ in range(CONNECTIONS)]

        async def go_round(ws: trunkline.WebSocket, sent: list[str | bytes], *, is_large: bool) -> int:
            ws.send_many(sent)
            got: list[str | bytes] = []
            while len(got) < len(sent):
                got += await anext(batches[ws])
            if got != sent:
                raise AssertionError("an echo differs from what was sent")
            if not is_large:
                return len(sent)
            await ws.send([large[:100], b"", large[100:70_000], large[70_000:]])
            if await ws.recv() != large:
                raise AssertionError("the echo of a large message differs from what was sent")
            return len(sent) + 1

        batches = {ws: aiter(ws.batches()) for ws in connections}
        for turn in itertools.count():
            sent = bursts[turn % LARGE]
            done += sum(await asyncio.gather(*(go_round(ws, sent, is_large=turn % LARGE == 0) for ws in connections)))
            if watch.is_over(done):
                break
        for ws in connections:
            await ws.close()
    return watch


async def reconnects(total: int, mode: Mode) -> Watch:
    """Open `total` connections, send a message on each, and end it: closed or aborted, by either side."""
    watch, done = Watch(total, RECONNECTS), 0
    async with party(mode) as (server, connect):

        async def live(ending: int) -> None:
            ws = await connect()
            await ws.send("hello")
            if await ws.recv() != "hello":
                raise AssertionError("an echo differs from what was sent")
            if ending == 0:
                await ws.close()
            elif ending == 1:
                ws.abort()
            else:
                for other in server.connections:
                    other.abort() if ending == 2 else other.start_closing(1001)
            await ws.wait_closed()

        for turn in itertools.count():
            await asyncio.gather(*(live(turn % 4) for _ in range(CONNECTIONS)), return_exceptions=turn % 4 > 1)
            done += CONNECTIONS
            while server.connections or len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0)
            if watch.is_over(done):
                break
    return watch


async def managed(total: int) -> Watch:
    """Reconnect managed connections `total` times behind a proxy that cuts or resets them; send a message each time."""
    watch, done = Watch(total, RECONNECTS), 0
    async with (
        trunkline.serve(listener=Echo, host="127.0.0.1", port=0, ping_interval=PING) as server,
        FaultProxy("127.0.0.1", server.port, log_size=100) as proxy,
    ):
        service = trunkline.Service(
            "soak",
            f"ws://127.0.0.1:{proxy.port}/{{number}}",
            sends=str,
            receives=str,
            ping_interval=PING,
            retry=trunkline.manager.RetryPolicy(base=0.001, cap=0.002, first_at_once=True, hints=False),
        )
        manager = trunkline.ConnectionManager(
            [service],
            budget=RetryBudget(1e9, per_second=1e9),
            gate=trunkline.manager.GatePolicy(under_way=MANAGED, per_second=1e4),
        )
        async with manager:
            connections = [await manager.connect(service, number=number) for number in range(MANAGED)]
            for turn in itertools.count():
                before = [connection.generation for connection in connections]
                proxy.cut() if turn % 2 else proxy.reset()
                for connection, generation in zip(connections, before, strict=True):
                    while connection.generation == generation:  # noqa: ASYNC110
                        await asyncio.sleep(0)
                    await connection.wait_connected()
                    text = f"{turn}"
                    await connection.send(text)
                    while await anext(connection) != text:
                        pass
                done += MANAGED
                while len(server.connections) > MANAGED or len(proxy.lines) > MANAGED:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                if watch.is_over(done):
                    break
    return watch

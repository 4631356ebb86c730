"""However messages are sent, those of one task arrive in order at a peer that reads slowly."""

import asyncio
import random
import ssl

import pytest

import trunkline
from lines import connected_socket, listening_socket

SMALL = 8192  # bytes of the kernel's buffers, so that nearly everything waits


async def send_in_every_way(ws: trunkline.WebSocket, count: int) -> list[str | bytes]:
    """Send messages that begin with their number, in one way after another."""
    sent: list[str | bytes] = []
    dice = random.Random(17)

    def message() -> str | bytes:
        size = dice.choice([0, 10, 130, 5_000, 40_000, 70_000])
        words = dice.choice(["x", "é", "語", "😀"]) * (size // 4)
        sent.append(made := f"{len(sent)} {words}" if dice.random() < 0.5 else b"%d " % len(sent) + bytes(size))
        return made

    while len(sent) < count:
        way = dice.randrange(6)
        await ws.wait_writable()
        if way == 0:
            ws.send_nowait(message())
        elif way == 1:
            ws.send_many([message() for _ in range(dice.randrange(1, 5))])
        elif way == 2:
            await ws.send(message())
        elif way == 3:
            assert trunkline.broadcast([ws], message()).sent == 1
        elif way == 4:
            ws.ping_nowait()
        else:
            await asyncio.sleep(0)
    return sent


@pytest.mark.anyio
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("compression", [None, "deflate", "threads"])
async def test_of_messages_that_wait(
    secure: bool, compression: str | None, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    deflate = trunkline.Deflate(threshold=100, off_thread=30_000) if compression == "threads" else compression
    sent: asyncio.Future[list[str | bytes]] = asyncio.get_running_loop().create_future()

    async def handler(ws: trunkline.WebSocket) -> None:
        sent.set_result(await send_in_every_way(ws, 300))

    async with (
        asyncio.timeout(60),
        trunkline.serve(
            handler, sock=listening_socket(SMALL), ssl=server_tls if secure else None, compression=deflate
        ) as server,
        trunkline.connect(
            f"{'wss' if secure else 'ws'}://localhost:{server.port}/",
            sock=connected_socket(server.port, SMALL),
            ssl=client_tls if secure else None,
            compression=deflate,
            max_queue=1,
        ) as client,
    ):
        got = [message async for message in client]
        assert got == await sent

"""What the servers of tests do with a connection."""

import trunkline


async def echo(ws: trunkline.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)

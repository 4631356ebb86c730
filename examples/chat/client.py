"""Send each line of standard input to a chat room, and print what is said there.

client.py ROOM [NAME] [URL]

What you say while the connection is down is sent when it is up again, in order, and under the same name.
"""

import asyncio
import contextlib
import sys

from messages import Asked, Enter, Heard, Said, Say

import trunkline


async def main(room: str, name: str = "somebody", url: str = "ws://127.0.0.1:8802") -> None:
    """Chat until the input ends."""

    async def enter(session: trunkline.manager.Session[Asked, Heard]) -> None:
        print(f"* {await session.request(Enter(name))}", flush=True)

    chat: trunkline.Service[Asked, Heard] = trunkline.Service(
        "chat",
        url + "/{room}",
        sends=Asked,
        receives=Heard,
        correlate=("id", "id"),
        on_connected=enter,
        on_undelivered=lambda delivery: print(f"! {delivery.message.text}: {delivery.outcome}", flush=True),
    )
    async with trunkline.ConnectionManager([chat]) as manager:
        connection = await manager.connect(chat, room=room)
        hearing = asyncio.create_task(hear(connection))
        while text := await asyncio.to_thread(sys.stdin.readline):
            await connection.send(Say(text.rstrip()))
        await connection.drain(5)
        await connection.close()
        await hearing


async def hear(connection: trunkline.Connection[Asked, Heard]) -> None:
    """Print what is said, until the connection is closed."""
    async for heard in connection:
        print(f"{heard.who}: {heard.text}" if isinstance(heard, Said) else f"* {heard}", flush=True)


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))

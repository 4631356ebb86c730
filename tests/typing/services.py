"""What a type checker knows of services. scripts/lint checks it, strictly: each `type: ignore` must be needed."""

from typing import assert_type

import msgspec

import trunkline


class Say(msgspec.Struct, tag="say"):
    text: str


class Leave(msgspec.Struct, tag="leave"):
    pass


class Said(msgspec.Struct, tag="said"):
    who: str


class Shout:
    """A codec of one's own."""

    def __init__(self, sends: type[str], receives: type[str]) -> None: ...

    def encode(self, message: str) -> str:
        return message.upper()

    def decode(self, payload: str | bytes) -> str:
        return str(payload)


def make_services() -> None:
    chat = trunkline.Service("chat", "ws://h/{room}", sends=Say, receives=Said)
    assert_type(chat, trunkline.Service[Say, Said])
    assert_type(chat.decode("{}"), Said)
    chat.encode(Said("ann"))  # type: ignore[arg-type]
    trunkline.Service("chat", "ws://h/", sends=Say, receives=Said, codec=trunkline.manager.MessagePackCodec)
    trunkline.Service("chat", "ws://h/", sends=Say, receives=Said, colour="red")  # type: ignore[call-arg]
    raw = trunkline.Service("raw", "ws://h/", sends=str, receives=bytes, codec=trunkline.manager.RawCodec)
    assert_type(raw, trunkline.Service[str, bytes])
    assert_type(
        trunkline.Service("shout", "ws://h/", sends=str, receives=str, codec=Shout), trunkline.Service[str, str]
    )


async def use(manager: trunkline.ConnectionManager) -> None:
    chat: trunkline.Service[Say | Leave, Said] = trunkline.Service(
        "chat",
        "ws://h/{room}",
        sends=Say | Leave,
        receives=Said,
        on_connected=greet,
        on_undelivered=lambda delivery: assert_type(delivery, trunkline.Delivery[Say | Leave]),
    )
    line = await manager.connect(chat, room="lobby")
    assert_type(line, trunkline.Connection[Say | Leave, Said])
    assert_type(await line.send(Say("hello")), trunkline.Delivery[Say | Leave])
    assert_type(line.send_nowait(Leave()), trunkline.Delivery[Say | Leave])
    async for received in line.received():
        assert_type(received, trunkline.Received[Said])
        assert_type(received.message, Said)
    assert_type(await line.request(Say("who?")), Said)
    await line.send("hello")  # type: ignore[arg-type]
    async for said in line:
        assert_type(said, Said)
    async with manager.lease(chat, room="lobby") as leased:
        assert_type(leased, trunkline.Connection[Say | Leave, Said])
    pool = manager.pool(chat, room="lobby")
    assert_type(pool, trunkline.Pool[Say | Leave, Said])
    assert_type(await pool.request(Leave(), key="ann"), Said)
    async for said in pool:
        assert_type(said, Said)
    assert_type(manager.find(chat, room="lobby"), trunkline.Connection[Say | Leave, Said] | None)


async def greet(session: trunkline.manager.Session[Say | Leave, Said]) -> None:
    assert_type(await session.request(Say("me")), Said)
    await session.send(Said("me"))  # type: ignore[arg-type]
